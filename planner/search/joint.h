#pragma once

#include <vector>

#include "planner/search/evaluator.h"
#include "planner/search/ranked_plan.h"

namespace moeplan::planner {

/// Places the experts of plans that matter by moeplan's own solver, on the largest load of each iteration
/// where greedy placement sees mean shares alone: a permutation of the experts, and with `replicas` one spare
/// slot on each GPU, too. Each is simulated as the plan was, and takes its place where it is faster (by any
/// margin) and fits.
///
/// Leaves alone: plans whose rank holds one expert or all, models with group-limited routing (a permutation
/// that keeps groups whole leaves nothing to solve beyond the greedy one), loads that are even.
/// Cost: one planning for each EP degree and number of slots, two simulations a plan.
/// Returns how many plans were given another placement.
int place_jointly(const Evaluator& evaluator, bool replicas, int samples, int threads,
                  std::vector<RankedPlan>& plans);

}  // namespace moeplan::planner
