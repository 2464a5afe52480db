#pragma once

#include <optional>
#include <vector>

#include "report/explain/kineto_trace.h"
#include "sim/result/rank_timeline.h"

namespace moeplan::report {

/// The ranges around a launch, outermost first, and what they say of it.
struct LaunchPlace {
  std::vector<std::uint32_t> names;  ///< index into KinetoTrace::names
  std::optional<sim::StepPart> part;
  int layer = -1;
};

/// Of every GPU operation, in the order of `trace.operations`.
///
/// Algorithm: per thread, ranges by start and launches by time are walked together with a stack of open
/// ranges. Cost: O(n log n).
std::vector<LaunchPlace> find_launch_places(const KinetoTrace& trace);

}  // namespace moeplan::report
