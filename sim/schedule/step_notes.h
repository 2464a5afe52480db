#pragma once

#include <string>
#include <vector>

#include "sim/schedule/simulate.h"

namespace moeplan::sim {

/// What is assumed or not modelled for this input.
std::vector<std::string> collect_notes(const Job& job, const PlanSpec& plan, const SimulateOptions& options);

/// Origin of the load and its imbalance between the ranks of an EP group, mean over layers and `iterations`.
void describe_load(const Job& job, const PlanSpec& plan, const std::vector<int>& iterations,
                   StepResult& result);

}  // namespace moeplan::sim
