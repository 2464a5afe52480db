#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "planner/search/evaluator.h"
#include "planner/search/point.h"

namespace moeplan::planner {

/// What a space holds before anything is simulated.
struct Sieved {
  std::int64_t searched = 0;                   ///< points of the space
  std::map<std::string, std::int64_t> pruned;  ///< that break a rule of the framework or of arithmetic
  std::vector<Point> points;  ///< the others, in the order of the space, with their estimates
};

/// The points of a space that keep the rules, with estimate and lower bound.
///
/// `out_of_time`: asked before a point that opened axes add is estimated; such points then get the rule
/// wall-budget. With it those points come last and are spread over the space, so that what is reached in time
/// is a sample of it; null: no wall budget.
/// Cost: a microsecond or two a point, and some milliseconds for each set of layer costs that points share.
Sieved sieve_space(const Space& space, const Evaluator& evaluator, const std::string& framework, int threads,
                   const std::function<bool()>& out_of_time);

/// Points that keep the rules, in the order of the space, without estimates.
std::vector<Candidate> list_points(const Space& space, const Evaluator& evaluator,
                                   const std::string& framework, int threads);

/// The plan of a point, with its placement.
sim::PlanSpec plan_at(const Space& space, const Evaluator& evaluator, const std::string& framework,
                      const Candidate& candidate);

}  // namespace moeplan::planner
