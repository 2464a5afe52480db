#pragma once

#include <cstdint>
#include <vector>

namespace moeplan::sim {

/// One forward or backward of one virtual stage.
struct PipelineOp {
  int chunk = 0;  ///< virtual stage of this pipeline rank, 0 .. vp-1
  int micro_batch = 0;
  bool backward = false;
  friend bool operator==(const PipelineOp&, const PipelineOp&) = default;
};

/// The order in which pipeline rank `stage` runs its virtual stages, as Megatron-Core's schedules.py does.
///
///     1F1B:         warm-up forwards W = min(pp - stage - 1, m); then one forward, one backward; then the
///     rest backward interleaved:  virtual micro-batches k go through groups of pp micro-batches, all chunks
///     of a group in turn
///                   (backward: chunks in reverse); W = min(2 (pp - stage - 1) + (vp - 1) pp, m vp)
/// Requires: m >= 1, 0 <= stage < pp. m need not be a multiple of pp: the last group is smaller.
std::vector<PipelineOp> pipeline_order(int pp, int vp, int stage, int micro_batches);

}  // namespace moeplan::sim
