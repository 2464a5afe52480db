#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "planner/search/search.h"
#include "planner/search/sieve.h"

namespace moeplan::planner {

/// How a contest spends simulations.
struct ContestOptions {
  int top = 5;              ///< plans of distinct families that are wanted
  std::int64_t budget = 0;  ///< simulations
  bool exhaustive = false;  ///< every point that fits and whose lower bound does not rule it out
  int samples = 1;          ///< routing matrices of an iteration and layer
  int threads = 0;
};

/// Simulates points in the order of their estimates until no other can be among the best.
///
///     order = points by estimate
///     repeat: next 16 points of the order that fit the memory,
///               bound     but none whose lower bound is above the K-th best simulated time
///               estimate  none whose estimate is above it by more than estimates err
///             half of the budget to the first of each family, half to the next estimates; simulate them
///     until the order or the budget is at its end
///
/// K-th best: over families, of which the best counts. Batches are of one size, so that the outcome does not
/// depend on the number of threads.
/// Marks in points: rule memory (with over), bound, estimate, budget, wall-budget. Points that were marked
/// before some better time was known, and that the bound rules out in the end, are counted under bound.
struct ContestResult {
  std::vector<RankedPlan> simulated;  ///< in the order of their estimates
  Unseen unseen;
};
ContestResult run_contest(const Space& space, const Evaluator& evaluator, const std::string& framework,
                          const ContestOptions& options, const std::function<bool()>& out_of_time,
                          std::vector<Point>& points);

/// Sorts by step time; plans that are equally fast stay as they were.
void sort_by_time(std::vector<RankedPlan>& plans);

/// Of sorted plans the first `limit`, at most `copies` of a family.
std::vector<RankedPlan> keep_distinct(const std::vector<RankedPlan>& sorted, std::size_t limit, int copies);

}  // namespace moeplan::planner
