#pragma once

#include "sim/result/trace.h"
#include "sim/schedule/step_simulator.h"

namespace moeplan::sim {

/// The timeline of one step: one process per stage, its busiest block shown; in a chunk the rank that ends it
/// last. Threads: compute, communication (dispatch and combine), p2p, gradients and parameters.
/// Chunk-internal bars stand at their chunk's start; a chunk that waits between its layers for parameters or
/// buckets is drawn without those waits. Kernels are drawn of the first four micro-batches and the last; of
/// those between a bar a chunk. Requires: the chunks were simulated with keep_bars.
Trace build_trace(const PipelineStep& step, const StepSimulator& simulator, const PlanSpec& plan);

}  // namespace moeplan::sim
