#pragma once

#include <string>
#include <string_view>

#include "base/units.h"

namespace moeplan::planner {

/// When a policy asks the solver for a new placement.
enum class ReplanRule {
  kEvery,  ///< every `period` iterations; a layer takes the new map where it predicts a smaller largest load
  kTrigger,  ///< the same once the iteration before had a mean max/mean above `imbalance`
  kGain,     ///< every `period` iterations; a layer takes it where the time it saves is worth the migration
};
std::string_view name(ReplanRule rule);

/// What the solver is given as the load to come, layer by layer. All of them read finished iterations alone.
enum class Predictor {
  kLast,    ///< the iteration before
  kMean,    ///< the mean of the last `window` ones
  kLinear,  ///< a straight line through the last `window` ones, read in the middle of the next period; not
            ///< below 0
  kWindow,  ///< the last `window` ones as they are: the solver minimises the mean of their maxima
};
std::string_view name(Predictor predictor);

/// Time that a planning of all layers takes, where a policy does not say it: 8.4 ms for 61 layers of 384
/// experts in 512 slots on 64 GPUs, one thread (docs/models/placement.md, Speed), rounded up. Unit: s
inline constexpr base::Seconds kPlanningTime = base::Seconds::from_ms(10);

/// How placements are changed while training goes on. Iterations are those of the load.
struct OnlinePolicy {
  std::string name;
  ReplanRule rule = ReplanRule::kEvery;
  int period = 10;         ///< iterations from one look to the next, at least
  double imbalance = 1.2;  ///< kTrigger: mean over layers of max/mean GPU load
  double hysteresis = 0;   ///< kEvery, kTrigger: a layer's largest load has to fall by more than this
                          ///< fraction; kGain: the saving has to exceed the cost by this fraction
  int horizon = 10;  ///< kGain: iterations that a saving is counted for
  Predictor predictor = Predictor::kWindow;
  int window = 10;
  std::string solver = "moeplan";
  base::Seconds planning_time = kPlanningTime;  ///< training waits so long each time the solver is asked
  friend bool operator==(const OnlinePolicy&, const OnlinePolicy&) = default;
};

/// `every:N`, `trigger:X`, `gain` or `gain:N`, or a policy file (YAML, docs/formats/policy.md). Throws
/// InputError.
OnlinePolicy load_policy(const std::string& source);
OnlinePolicy parse_policy(const std::string& text, const std::string& file);

}  // namespace moeplan::planner
