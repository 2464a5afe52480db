#pragma once

#include "sim/result/rank_timeline.h"
#include "sim/schedule/step_simulator.h"

namespace moeplan::sim {

/// All operations of one rank in a step, those of every micro-batch.
///
/// Model:   passes, transfers and exchanges are those of the rank's block; inside a pass kernels follow each
///          other as in a trace (step_trace.h). A collective of a layer starts for its rank when the rank is
///          ready, as a NCCL kernel does, and its wait counts until the group is.
/// Not modelled: waits inside a chunk for parameters between its layers, as in a trace.
/// Requires: the chunks were simulated with keep_bars of the rank's place in its stage.
RankTimeline build_rank_timeline(const PipelineStep& step, const StepSimulator& simulator,
                                 const PlanSpec& plan, int rank);

}  // namespace moeplan::sim
