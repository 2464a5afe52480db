#pragma once

#include <string>
#include <vector>

#include "sim/workload/model.h"
#include "sim/workload/plan.h"

namespace moeplan::planner {

/// Rules that a plan breaks, in the order in which they are asked.
struct FaultList {
  std::vector<sim::PlanFault> found;
  void require(bool holds, const char* rule, std::string message) {
    if (!holds) found.push_back({rule, std::move(message)});
  }
};

/// Rules of frameworks that place experts in order, so that a placement reaches them through the checkpoint
/// alone: `placement-permutes` (each expert of each MoE layer once) and `placement-keeps-groups` (routing
/// groups stay whole). `why` ends the first message ("Megatron holds each expert once").
void require_permutation(const sim::ModelSpec& model, const sim::Placement& placement, const char* why,
                         FaultList& faults);

}  // namespace moeplan::planner
