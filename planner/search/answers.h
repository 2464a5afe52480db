#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/units.h"
#include "planner/search/evaluator.h"
#include "planner/search/point.h"
#include "planner/search/ranked_plan.h"

namespace moeplan::planner {

/// The best plan whose value of one axis is not that of rank 1: what it would cost to have to choose
/// otherwise.
struct Alternative {
  std::string axis;         ///< word of --pin: "tp"
  std::string chosen;       ///< rank 1's value
  std::string other;        ///< empty: no other value keeps the rules and fits
  base::Seconds step_time;  ///< as rank 1's is measured in full, times the ratio of their rankings
  double loss = 0;          ///< step time over rank 1's, less 1; below 0: within what the ranking errs
  sim::PlanSpec plan;
};

/// What rank 1 was in the ranking, and what to simulate others with.
struct AlternativeSearch {
  const Space& space;
  const Evaluator& evaluator;
  const std::string& framework;
  const std::vector<Point>& points;          ///< after a contest: rule empty = simulated
  const std::vector<RankedPlan>& simulated;  ///< of the contest
  int samples = 1;                           ///< as there
  int threads = 0;
};

/// One alternative for each axis of the space that has several values, the dearest first: the best simulated
/// plan, or where none of the axis' other values was simulated the point with the best estimate that fits,
/// simulated now. Cost: at most one simulation an axis.
std::vector<Alternative> find_alternatives(const AlternativeSearch& search, const RankedPlan& best);

/// Plans that no other beats in step time, memory and GPUs at once.
struct FrontPlan {
  sim::PlanSpec plan;
  int gpus = 0;
  base::Seconds step_time;  ///< of the ranking
  base::Bytes reserved;     ///< worst rank
};
/// Of several plans those on the front, by falling step time. Equal plans stand once.
std::vector<FrontPlan> pareto_front(std::vector<FrontPlan> plans);
std::vector<FrontPlan> pareto_front(const std::vector<RankedPlan>& plans, int gpus);

/// Chance of each plan to be the fastest in truth.
///
/// Model:   ln(true / predicted) of each plan is normal and its own, with deviation sim::kPlanDeviation (what
///          plans share, as the same kernels on the same network, cancels);
///          P(k) = integral of phi(z) prod_{j != k} (1 - Phi(z + (x_k - x_j) / sigma)) dz, x = ln predicted,
///          by the midpoint rule on [-8, 8]
/// Shape:   [plan]; sums to 1
std::vector<double> chance_of_best(const std::vector<base::Seconds>& step_times);

}  // namespace moeplan::planner
