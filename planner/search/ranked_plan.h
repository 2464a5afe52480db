#pragma once

#include <cstddef>
#include <limits>
#include <string>

#include "sim/result/step_result.h"
#include "sim/workload/plan.h"

namespace moeplan::planner {

inline constexpr std::size_t kNoPoint = std::numeric_limits<std::size_t>::max();

/// A plan that was simulated, with why it stands where it stands.
struct RankedPlan {
  sim::PlanSpec plan;
  sim::StepResult result;
  std::string why;
  std::size_t point = kNoPoint;  ///< of a search over points
  base::Seconds ranked = {};     ///< its step time in the ranking
};

}  // namespace moeplan::planner
