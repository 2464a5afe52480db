#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace moeplan::sim {

/// Megatron-Core's router trace (--moe-routing-trace-path): one file a rank, router_trace_rank{r}.jsonl, one
/// record a line for each step, block and layer of a micro-batch:
///     {"step": 3, "stage": "pre_dispatch", "block": "decoder", "layer": 5, "rank": 0, "num_tokens": 2,
///     "topk": 2, "top_indices": [[0, 7], [3, 1]]}
/// Source: megatron/core/transformer/moe/router_trace.py
struct RouterRecord {
  std::int64_t step = 0;
  std::int64_t layer = 0;
  std::int64_t rank = 0;
  bool is_counted = true;  ///< of stage pre_dispatch and block decoder
  std::int64_t tokens = 0;
  std::int64_t top_k = 0;
  std::vector<std::uint32_t> per_expert{};  ///< choices of each expert up to the highest that was chosen
};

/// One line. Throws InputError with file and line. Cost: one pass over the text.
RouterRecord parse_router_record(std::string_view line, const std::string& file, int number);

/// What a trace holds, as a load has it.
struct RouterLoad {
  int iterations = 0, sources = 0, layers = 0, micro_batches = 0, experts = 0;
  std::int64_t top_k = 0, tokens = 0;  ///< tokens of one source and micro-batch
  std::vector<std::uint32_t> counts;   ///< [iteration][source][layer][micro-batch][expert]
  std::vector<std::string> notes;      ///< what was left out
};

struct RouterTraceOptions {
  int experts = 0;  ///< 0: one more than the highest that was chosen
  /// Called with bytes read and bytes in all, every few MiB.
  std::function<void(std::uint64_t, std::uint64_t)> progress{};
};

/// Reads a file or all router_trace_rank*.jsonl of a folder. Layers are the MoE layers in rising order; the
/// sources of a layer are the ranks that hold it, in rising order (under pipeline parallelism each stage has
/// its own). The n-th record of a rank, step and layer is micro-batch n. Steps in which a rank lacks records,
/// as the last one of a run that was ended, are left out with a note. Memory: a line and the counts, about
/// experts / (tokens x topk x 4) of the trace. Throws InputError.
RouterLoad read_router_trace(const std::string& path, const RouterTraceOptions& options);

/// A .npy of shape [iteration, rank, layer, micro-batch, expert], 32-bit whole numbers.
std::string write_npy(const RouterLoad& load);

}  // namespace moeplan::sim
