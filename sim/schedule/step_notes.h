#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "sim/schedule/simulate.h"

namespace moeplan::sim {

/// What a spread of rank speeds did to the step.
std::string describe_spread(double spread, int draws, base::Seconds named_speeds, base::Seconds mean);

/// What is assumed or not modelled for this input.
std::vector<std::string> collect_notes(const Job& job, const PlanSpec& plan, const SimulateOptions& options);

/// Origin of the load and its imbalance between the ranks of an EP group, mean over layers and `iterations`.
void describe_load(const Job& job, const PlanSpec& plan, const std::vector<int>& iterations,
                   StepResult& result);

/// Experts on the slots of a MoE layer; empty = contiguous.
std::span<const std::int32_t> slots_of(const PlanSpec& plan, int layer);
/// Shares of the EP ranks, replicas splitting their expert's share. Shape: share[expert] -> [ep]
std::vector<double> rank_shares(std::span<const double> share, std::span<const std::int32_t> slots, int ep);

}  // namespace moeplan::sim
