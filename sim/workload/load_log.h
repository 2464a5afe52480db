#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sim/workload/loads.h"

namespace moeplan::sim {

/// What a load file holds, before it is checked against a model.
struct LoadLog {
  std::string file;
  int iterations = 0;
  int layers = 0;
  int experts = 0;
  /// Counts or rates summed over sources. Shape: [iteration][layer][expert]; empty if `counts` is set.
  std::vector<double> values;
  /// Token counts by source and micro-batch. Shape: [iteration][source][layer][micro-batch][expert]
  std::vector<std::int32_t> counts;
  int sources = 0;        ///< of `counts`
  int micro_batches = 0;  ///< of `counts`
};

/// Which experts each token chose, layer by layer: the trace of a router.
struct TokenTrace {
  std::string file;
  int iterations = 1;
  int sources = 1;
  std::int64_t tokens = 0;  ///< of a source, over its micro-batches
  int layers = 0;
  int top_k = 0;
  /// Shape: [iteration][source][token][layer][top_k]
  std::vector<std::int32_t> experts;
};

/// Readers, one a file format. Throw InputError with place and reason.
LoadLog read_load_csv(const std::string& path);
LoadLog read_load_npy(const std::string& path);     ///< .npy or .npz
LoadLog read_load_tables(const std::string& path);  ///< folder of SmartMoE's table_iter{t}_rank{r}.log

/// The array `topk_ids` of an .npz, of shape [token, layer, k] or [iteration, rank, token, layer, k]; nothing
/// where the archive holds none. Throws InputError: numbers that are no experts, an expert twice in a token.
std::optional<TokenTrace> read_token_trace(const std::string& path);

/// Loads whose matrices carry the token sets. A plan of the trace's own shape reads its tokens in order; any
/// other shape takes for every source and micro-batch a run of tokens that starts at a random place of the
/// iteration, the same one in all layers. Throws InputError: experts or top-k of another model.
std::unique_ptr<ExpertLoads> make_token_loads(TokenTrace trace, const LoadOptions& options);

/// Checks a log against the model's numbers, takes shares and dispersion from it. Throws InputError.
std::unique_ptr<ExpertLoads> make_log_loads(LoadLog log, const LoadOptions& options);

/// nullptr if `source` is no generator's name. Throws InputError where its parameter is wrong.
std::unique_ptr<ExpertLoads> make_generated_loads(const std::string& source, const LoadOptions& options);
std::vector<std::string> generator_names();

}  // namespace moeplan::sim
