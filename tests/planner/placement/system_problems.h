#pragma once

#include <vector>

#include "planner/placement/problem.h"

namespace moeplan::planner::test {

/// Round numbers: 1,000 assignments a GPU, 1 ms of work for each, 1 ms to send one inside a node and 2 ms
/// across, an expert of 0.5 B.
inline PlacementProblem round_problem(const SlotShape& shape, std::vector<double> loads) {
  const int experts = static_cast<int>(loads.size());
  PlacementProblem problem{shape, 1, experts, 1, std::move(loads), {}};
  problem.fill_means();
  problem.job = {1000, 1, 0.5, 1, 1e3, 1e3, 500};
  return problem;
}

}  // namespace moeplan::planner::test
