#pragma once

#include <string>
#include <vector>

#include "base/units.h"

namespace moeplan::sim {

/// What a bar of the pipeline timeline is.
enum class BarKind { kForward, kBackward, kWeight, kBoth, kTransfer, kReduce, kGather, kOptimizer };
inline constexpr int kBarKinds = 8;
/// "forward", "backward", "weight gradients", "forward beside backward", "transfer", "gradient reduction",
/// "parameter gather", "optimizer".
std::string_view name(BarKind kind);

/// One pass, transfer or exchange of a pipeline stage.
struct StepBar {
  BarKind kind = BarKind::kForward;
  int stage = 0;
  int chunk = -1;        ///< -1: of no chunk
  int micro_batch = -1;  ///< -1: of no micro-batch
  base::Instant start;
  base::Seconds duration;
};

/// What the hottest rank of a stage holds from `at` on.
struct MemoryPoint {
  base::Instant at;
  base::Bytes weights;  ///< parameters, gradients, optimizer states
  base::Bytes kept;     ///< activations that a backward waits for; inputs of products whose W waits
  base::Bytes working;  ///< what a backward needs besides: gradients, recomputed tensors, buffers, logits
  base::Bytes allocated() const { return weights + kept + working; }
};

/// Where the tokens go, as shares of the mean: 1 = what an even load gives. Empty without MoE layers.
struct LoadView {
  std::vector<double> per_rank;                              ///< [EP rank]: mean over layers
  std::vector<double> per_expert;                            ///< [expert]: mean over layers
  std::vector<double> per_rank_busiest, per_expert_busiest;  ///< the same in the layer where it has most
  std::vector<double> max_over_mean;                         ///< [MoE layer]: of EP ranks
  std::vector<double> expert_max_over_mean;                  ///< [MoE layer]: of experts
};

/// A stretch of the critical path: passes of one stage one after the other, or transfers, or exchanges of one
/// kind.
struct ChainStretch {
  int stage = 0;
  std::string what;  ///< "forward, backward", "transfer to stage 3", "gradient reduction"
  int first_chunk = -1, last_chunk = -1;              ///< the least and the largest; -1: of no chunk
  int first_micro_batch = -1, last_micro_batch = -1;  ///< the same
  int count = 0;                                      ///< passes, transfers, exchanges
  base::Instant start;
  base::Seconds time;
  std::string bound;  ///< "gemm 52 %, dispatch 21 %", or the link
};

/// All passes of one kind of a stage on the path, or its transfers, or exchanges.
struct ChainSum {
  std::string what;
  int stage = 0;
  int count = 0;
  base::Seconds time;
  std::string bound;
};

/// The chain of tasks, each of which the next one waited for, that ends with the step.
struct ChainView {
  std::vector<ChainStretch> stretches;                         ///< in time order; their times sum to the step
  std::vector<ChainSum> sums;                                  ///< longest first
  std::vector<std::pair<std::string, base::Seconds>> classes;  ///< kernel classes and links, longest first
};

/// One simulated step as one looks at it: the middle one of the iterations, at the ranks' named speeds.
struct StepView {
  int stages = 1;
  base::Seconds step;
  std::vector<StepBar> bars;                     ///< of the busiest block of each stage, by stage and start
  std::vector<std::vector<MemoryPoint>> memory;  ///< [stage]
  LoadView loads;
  ChainView chain;
};

/// The memory timeline as CSV (`stage,time_s,weights_bytes,kept_bytes,working_bytes,allocated_bytes`), or as
/// JSON.
std::string write_memory_csv(const StepView& view);
std::string write_memory_json(const StepView& view);

/// The critical path for a terminal: sums, then the longest stretches in time order.
std::string write_chain(const StepView& view);

}  // namespace moeplan::sim
