#pragma once

#include <vector>

#include "sim/result/step_view.h"
#include "sim/schedule/pipeline_graph.h"
#include "sim/schedule/simulate.h"

namespace moeplan::sim {

/// What the hottest rank of one stage holds, by what frees it again.
struct StageHeld {
  MemoryPart part;           ///< at the peak
  std::vector<double> kept;  ///< [place on the rank]: bytes that a micro-batch in flight keeps of the chunk
  std::vector<double> stashed;  ///< [place]: bytes of one whose weight gradients wait
  double at_peak = 0;           ///< both, over all micro-batches, at the peak that `part` states
};
/// Shape: [stage]
std::vector<StageHeld> find_held(const Job& job, const PlanSpec& plan);

/// What the hottest rank of each stage holds over one step, at the ends of its passes. Shape: [stage][point]
///
/// Model:   held(t) = weights + sum over chunks (f_c(t) kept_c + s_c(t) stashed_c) + (working while a
/// backward runs)
///          f = micro-batches whose forward has begun and whose backward (or D) is not done; s = D done, W
///          not; working = what the peak of MemoryResult has beside weights and kept activations: the layer
///          that needs most, or the loss; the same for every backward of the stage So the highest point is
///          the stage's peak wherever the simulated order has as much in flight as the memory model counts;
///          it differs where interleaved chunks keep unequal amounts (the memory model counts them at the
///          first backward).
/// Not modelled: layers inside a pass (a forward has all it keeps from its start), what differs between the
/// backwards of a stage, gradients that a reduction frees.
std::vector<std::vector<MemoryPoint>> build_memory_timeline(const std::vector<StageHeld>& held,
                                                            const ChunkMap& map, const PipelineStep& step);

}  // namespace moeplan::sim
