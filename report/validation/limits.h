#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "report/validation/case.h"

namespace moeplan::report {

/// What a group may reach at most (errors, as fractions) or has to reach at least (judged).
struct GroupLimits {
  std::optional<double> mape, median, worst;  ///< upper limits; `worst` on the size of the error
  std::optional<double> judged;               ///< lower limit
  std::optional<int> cases;  ///< fewest cases, so that a group does not pass by falling silent
};

using Limits = std::map<std::string, GroupLimits>;

/// Reads a limits file: a map of group -> {mape, median, worst, judged, cases}; unknown keys and groups are
/// errors.
Limits load_limits(const std::string& path);

/// One sentence per limit that is broken; empty = all held. Groups that were not run, or run in part, are not
/// judged.
std::vector<std::string> find_violations(const ValidationReport& report, const Limits& limits);

}  // namespace moeplan::report
