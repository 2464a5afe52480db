#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/units.h"
#include "planner/search/answers.h"
#include "planner/search/ranked_plan.h"
#include "planner/search/space.h"
#include "sim/schedule/simulate.h"

namespace moeplan::planner {

struct SearchOptions {
  std::string framework = "megatron";  ///< or "any": only what arithmetic forbids is left out
  int top = 5;
  std::int64_t budget = 0;  ///< simulated plans; 0 = default_budget
  /// Zero = none; else half of it goes to the points that opened axes add, no simulation starts after it, and
  /// the result is not deterministic.
  base::Seconds wall_budget;
  Pins pins;
  OpenAxes open;
  AxisChoices choices;  ///< of a space file
  /// Simulate every point that fits and that its lower bound does not rule out: nothing better is left.
  bool exhaustive = false;
  int threads = 0;
  int iterations = 8;  ///< of a load trace, for the plans that are shown
};

inline constexpr std::int64_t kDefaultBudget = 96;
/// Every axis that is opened adds so many, so that its values do not crowd out the layouts.
inline constexpr std::int64_t kBudgetOfAnAxis = 48;
inline std::int64_t default_budget(const OpenAxes& open) {
  return kDefaultBudget + kBudgetOfAnAxis * open.count();
}
/// Points are not simulated whose estimate times the least simulation / estimate of the job so far, less a
/// scatter, is not among the best, within these limits; plans whose passes pair excepted. Simulation /
/// estimate was 0.81 to 1.38 over the 8,324 plans of ten spaces; of those within a tenth of the best it
/// differs by 0.005 to 0.16 in a space (docs/models/search.md).
inline constexpr double kLeastOfEstimate = 0.8;
inline constexpr double kMostOfEstimate = 0.97;
inline constexpr double kEstimateScatter = 0.08;
/// Below this difference two plans are equally fast as far as measurements go. Source: DESIGN section 6
inline constexpr double kNoise = 0.03;

/// A plan that would be worth it and does not fit.
struct Misfit {
  sim::PlanSpec plan;
  base::Bytes over;  ///< past the limit on the worst rank
  int stage = 0;
  std::string largest_part;  ///< "activations 41.3 GiB"
  base::Seconds estimate;    ///< of its step time, if it fitted
};

/// Points that keep the rules and that neither a simulation nor a bound decided.
struct Unseen {
  std::int64_t points = 0;                          ///< some of them may not fit
  base::Seconds floor = base::Seconds::infinity();  ///< no one of them that fits takes less; infinity: none
  bool not_estimated = false;                       ///< a wall budget left some without a bound
  base::Seconds limit = base::Seconds::infinity();  ///< K-th best time of the ranking, which bounds prune by
};

/// The answer, and an account of every point of the space: searched = sum of pruned + evaluated.
struct SearchResult {
  bool feasible = false;
  bool deterministic = true;
  std::int64_t searched = 0;
  std::int64_t evaluated = 0;                  ///< simulated
  int placed = 0;                              ///< of the best: those that moeplan's placement made faster
  std::map<std::string, std::int64_t> pruned;  ///< rule -> points that it ruled out first
  std::vector<RankedPlan> plans;               ///< best first, at most top
  Unseen unseen;
  std::vector<Alternative> alternatives;  ///< to rank 1, axis by axis
  std::vector<FrontPlan> front;           ///< of all simulated plans: step time against memory
  std::vector<double> chance;             ///< [plan]: to be the fastest of those that are shown
  std::vector<Misfit> misfits;            ///< most promising first, at most three
  std::vector<std::string>
      changes_that_fit;  ///< of the input, smallest first, where nothing fits (changes.h)
  std::string why;       ///< the answer in words, several lines
};

/// Searches the space for the plans with the shortest step.
///
/// Model:   enumerate; rules of the framework; estimate and lower bound of every point; memory in the order
/// of
///          estimates; simulation of one iteration until bound, estimate or budget end it (contest.h); the
///          best of those again with all iterations. Plans that differ only in virtual stages, placement,
///          overlap, dispatcher or the exchange of context parallelism are one family: its best stands, and
///          half of the budget goes to the best estimate of each family.
/// Keys of `pruned`: those of megatron_rule_keys() and find_faults(), tp-within-nvlink, memory, bound,
///          estimate, budget, placement-gains-nothing, wall-budget.
/// Deterministic for any number of threads unless a wall budget is set. Throws InputError where the framework
/// cannot run the job under any plan, or a layer kind has no cost.
SearchResult search_plans(const sim::Job& job, const SearchOptions& options);

/// Changes to the plan one has, ranked by what they gain: every plan one axis away, simulated; then the best
/// combination, found by repeating from the best neighbour until nothing gains. Unlike search_plans the base
/// plan may break the framework's rules: it runs already. plans[0..] are the changed plans, best first;
/// result.why says what the run takes now.
SearchResult search_neighbours(const sim::Job& job, const sim::PlanSpec& base, const SearchOptions& options);

}  // namespace moeplan::planner
