#pragma once

#include <vector>

#include "sim/result/step_result.h"
#include "sim/schedule/cost_cache.h"
#include "sim/schedule/pipeline_graph.h"

namespace moeplan::sim {

/// The same step with one cost taken away. All but "no pipeline bubble" are simulations; they are run on one
/// iteration and scaled to the mean step: gain = 1 - t(change) / t(iteration).
///
///     balanced routing             every expert gets its exact share (only for MoE models with real routing)
///     twice the NIC bandwidth      NICs and given uplinks of the cluster doubled, all collectives solved
///     again free communication in layers dispatch, combine and TP traffic take no time: what perfect overlap
///     could give no pipeline bubble           the step without the busiest stage's waits for other stages
///     (an attribution, not a simulation)
std::vector<WhatIf> compute_what_if(const Job& job, const PlanSpec& plan, const SimulateOptions& options, int iteration,
                                    base::Seconds iteration_time, const PipelineStep& balanced,
                                    CostCache& cache, base::Seconds step_time);

}  // namespace moeplan::sim
