#pragma once

#include <vector>

#include "sim/result/step_result.h"
#include "sim/schedule/cost_cache.h"
#include "sim/schedule/step_simulator.h"

namespace moeplan::sim {

/// The same step with one cost taken away. All are simulations, run on one iteration and scaled to the mean
/// step: gain = 1 - t(change) / t(iteration).
///
///     balanced routing                  every expert gets its exact share (MoE models with real routing)
///     equal documents                   every micro-batch of every rank holds the mean documents (packed
///     sequences) equal ranks, whole links          no slow rank and no degraded link (clusters that have
///     such) twice the NIC bandwidth           NICs and given uplinks doubled, all collectives solved again
///     free communication inside layers  dispatch, combine and TP traffic take no time: overlap's most
///     no launch cost                    the host takes no time: launches, calls of the framework, syncs
///     no pipeline bubble                no pass waits for another stage: each runs its passes one after the
///                                       other; the last one done bounds the step, unequal stages stay so
///
/// `simulator` is the one of the step at hand; it simulates `step` again.
std::vector<WhatIf> compute_what_if(const Job& job, const PlanSpec& plan, const SimulateOptions& options,
                                    StepSimulator& simulator, const StepSample& step,
                                    base::Seconds iteration_time, base::Seconds balanced_time,
                                    CostCache& cache, base::Seconds step_time);

}  // namespace moeplan::sim
