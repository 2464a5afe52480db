#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "sim/cost/format.h"

namespace moeplan::sim {

/// Which number format each part of a training step uses.
struct PrecisionRecipe {
  NumberFormat gemm = NumberFormat::kBf16;            ///< linear layers and experts
  NumberFormat attention = NumberFormat::kBf16;       ///< attention core
  NumberFormat dispatch = NumberFormat::kBf16;        ///< payload of dispatch
  NumberFormat combine = NumberFormat::kBf16;         ///< payload of combine
  NumberFormat gradient_reduce = NumberFormat::kFp32; ///< data-parallel reduction and main gradients
  NumberFormat parameter_gather = NumberFormat::kBf16;
  int optimizer_bytes_per_parameter = 12;             ///< master weight + two moments (Adam, fp32)
  friend bool operator==(const PrecisionRecipe&, const PrecisionRecipe&) = default;
};

/// What the framework fuses in a MoE layer. The defaults are what training recipes set; a bare layer of
/// Megatron-Core has none of them.
struct MoeFusion {
  bool activation = true;     ///< activation and router probability in one kernel
  bool accumulation = true;   ///< weight gradients add to fp32 sums inside the product
  bool padding = true;        ///< expert rows come padded for low-precision products: no copy into padded rows
  bool cached_weights = true; ///< quantised weights are kept over the micro-batches of a step
  friend bool operator==(const MoeFusion&, const MoeFusion&) = default;
};

enum class GatePolicy {
  kDropless,       ///< every token reaches all its experts
  kCapacity,       ///< an expert takes at most capacity_factor x the mean load, and buffers are padded to that
  kForceBalanced,  ///< benchmarks: the router's choice is replaced by an even one
};
std::string_view name(GatePolicy gate);

/// What is trained, apart from how it is laid out on the cluster.
struct RunSpec {
  std::string name;
  std::int64_t global_batch = 0;  ///< sequences per step
  std::int64_t seq_len = 0;       ///< tokens per sequence
  PrecisionRecipe precision;
  std::string optimizer = "adam";
  GatePolicy gate = GatePolicy::kDropless;
  double capacity_factor = 0;     ///< with kCapacity
  bool fused_cross_entropy = true;
  MoeFusion fusion;
  std::string stack;              ///< software stack the run will use, for the record
  friend bool operator==(const RunSpec&, const RunSpec&) = default;
};

/// Reads a run file (YAML); unknown keys are errors. Format: docs/formats/run.md.
RunSpec load_run(const std::string& path);
RunSpec parse_run(const std::string& text, const std::string& file);
std::string describe(const RunSpec& run);

}  // namespace moeplan::sim
