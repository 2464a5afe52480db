#pragma once

#include "sim/result/step_result.h"
#include "sim/schedule/pipeline_graph.h"

namespace moeplan::sim {

/// The pipeline rank whose compute stream is busy longest (lowest index among equals), and its busiest block.
struct BusiestStage {
  int stage = 0;
  int block = 0;
  base::Seconds busy;
};
BusiestStage find_busiest_stage(const PipelineStep& step);
/// The block of a stage that is busy longest.
int find_busiest_block(const PipelineStep& step, int stage);

/// Where the time of a step goes at one stage and block. The parts sum to step.time(); imbalance is left at
/// 0.
///
/// Model:   a chunk's time is split like its critical path (compute, exposed communication, host);
///          a wait before a chunk is p2p as far as the transfer it waited for lasted, parameter gather if
///          that bound it, else bubble; after the last chunk: the rest of the gradient reduction is
///          communication, waiting for other stages bubble, norm, optimizer and a gather that follows are
///          optimizer; other = rounding to picoseconds
Breakdown attribute_stage(const PipelineStep& step, const BusiestStage& where);

/// Sum over the critical path of the whole step: by class, by evidence, with the band.
CostSum critical_cost(const PipelineStep& step);

}  // namespace moeplan::sim
