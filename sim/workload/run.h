#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/document.h"
#include "sim/cost/format.h"
#include "sim/workload/documents.h"

namespace moeplan::sim {

/// Which number format each part of a training step uses.
struct PrecisionRecipe {
  NumberFormat gemm = NumberFormat::kBf16;             ///< linear layers and experts
  NumberFormat attention = NumberFormat::kBf16;        ///< attention core
  NumberFormat dispatch = NumberFormat::kBf16;         ///< payload of dispatch
  NumberFormat combine = NumberFormat::kBf16;          ///< payload of combine
  NumberFormat gradient_reduce = NumberFormat::kFp32;  ///< data-parallel reduction and main gradients
  NumberFormat parameter_gather = NumberFormat::kBf16;
  int optimizer_bytes_per_parameter = 12;  ///< master weight + two moments (Adam, fp32)
  friend bool operator==(const PrecisionRecipe&, const PrecisionRecipe&) = default;
};

/// What the framework fuses in a layer. The defaults are what training recipes of today set; a bare MoE layer
/// of Megatron-Core has none of those of the experts, and the frameworks of 2022 have no fused attention.
struct KernelFusion {
  bool attention = true;     ///< one kernel keeps the scores on chip; false: scores pass through memory
  bool experts = false;      ///< all experts of a rank in one launch; false: one dense product an expert
  bool epilogue = false;     ///< products of the experts hold activation and quantisation of their results
  bool activation = true;    ///< activation and router probability in one kernel
  bool accumulation = true;  ///< weight gradients add to fp32 sums inside the product
  bool padding = true;       ///< expert rows come padded for low-precision products: no copy into padded rows
  bool cached_weights = true;  ///< quantised weights are kept over the micro-batches of a step
  friend bool operator==(const KernelFusion&, const KernelFusion&) = default;
};

/// What CUDA graphs launch at once, so that the host costs nothing there.
struct GraphScope {
  bool attention = false;   ///< norm and attention
  bool router = false;      ///< router, shared experts and preparation of the dispatch
  bool whole_step = false;  ///< everything: the host neither launches nor reads the tokens per expert
  bool any() const { return attention || router || whole_step; }
  friend bool operator==(const GraphScope&, const GraphScope&) = default;
};

/// Passes over the gradients that a rank holds, before they are reduced.
struct GradientPasses {
  bool check = true;  ///< for NaNs (Megatron's check_for_nan_in_grad, on by default)
  /// The collective averages (--ddp-average-in-collective); false: gradients are scaled in a pass of their
  /// own.
  bool average_in_collective = false;
  friend bool operator==(const GradientPasses&, const GradientPasses&) = default;
};

enum class GatePolicy {
  kDropless,  ///< every token reaches all its experts
  kCapacity,  ///< an expert takes at most capacity_factor x the mean load, and buffers are padded to that
  kForceBalanced,  ///< benchmarks: the router's choice is replaced by an even one
};
std::string_view name(GatePolicy gate);

/// The loss that balances the router, by whose tokens an expert's share is taken: those of a micro-batch on a
/// tensor- and context-parallel group, those of a sequence, those of all ranks. Megatron's
/// --moe-router-load-balancing-type words.
enum class RouterLoss { kNone, kMicroBatch, kSequence, kGlobal };
std::string_view name(RouterLoss loss);

/// What is trained, apart from how it is laid out on the cluster.
struct RunSpec {
  std::string name;
  std::int64_t global_batch = 0;  ///< sequences per step
  std::int64_t seq_len = 0;       ///< tokens per sequence
  PrecisionRecipe precision;
  std::string optimizer = "adam";
  GatePolicy gate = GatePolicy::kDropless;
  double capacity_factor = 0;  ///< with kCapacity
  RouterLoss router_loss = RouterLoss::kNone;
  bool router_bias_update =
      false;  ///< biases of the router follow the load once a step (balance without a loss)
  bool fused_cross_entropy = true;
  KernelFusion fusion;
  GraphScope graph;
  GradientPasses gradients;
  /// What the sequences are made of, where attention stays inside documents; nullopt: a sequence is one
  /// document.
  std::optional<DocumentSpec> documents;
  std::string stack;  ///< software stack the run will use, for the record
  friend bool operator==(const RunSpec&, const RunSpec&) = default;
};

/// Reads a run file (YAML); unknown keys are errors. Format: docs/formats/run.md.
RunSpec load_run(const std::string& path);
RunSpec read_run(const base::Document& document);
RunSpec parse_run(const std::string& text, const std::string& file);
/// The YAML that parse_run gives `run` back for (a list of document lengths: beside the same files).
std::string write_run(const RunSpec& run);
std::string describe(const RunSpec& run);

}  // namespace moeplan::sim
