#include "report/validation/limits.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/document.h"
#include "base/object_reader.h"
#include "report/validation/statistics.h"
#include "report/validation/validate.h"

namespace moeplan::report {

namespace {

void check_upper(const std::string& group, const char* figure, std::optional<double> value,
                 std::optional<double> limit, std::vector<std::string>& violations) {
  if (!limit || !value || std::abs(*value) <= *limit) return;
  violations.push_back(fmt::format("{}: {} is {:.4g}, the limit is {:.4g}", group, figure, *value, *limit));
}

}  // namespace

Limits load_limits(const std::string& path) {
  const base::Document document = base::load_document(path);
  base::DiagnosticSink sink;
  base::ObjectReader top(document, sink, "limits");
  const std::vector<std::string> known = group_names();
  Limits limits;
  for (const std::string& group : top.keys()) {
    if (std::find(known.begin(), known.end(), group) == known.end()) continue;  // finish() reports it
    base::ObjectReader entry = top.object(group);
    GroupLimits& one = limits[group];
    one.mape = entry.optional<double>("mape");
    one.median = entry.optional<double>("median");
    one.worst = entry.optional<double>("worst");
    one.judged = entry.optional<double>("judged");
    one.cases = entry.optional<int>("cases");
    entry.finish();
  }
  top.finish();
  sink.throw_if_any();
  return limits;
}

std::vector<std::string> find_violations(const ValidationReport& report, const Limits& limits) {
  std::vector<std::string> violations;
  for (const GroupReport& group : report) {
    const auto found = limits.find(group.group);
    if (found == limits.end() || group.narrowed) continue;
    const GroupLimits& limit = found->second;
    const Statistics s = compute_statistics(group.cases, group.skipped);
    check_upper(group.group, "mape", s.mape, limit.mape, violations);
    check_upper(group.group, "median", s.median, limit.median, violations);
    check_upper(group.group, "worst", s.worst, limit.worst, violations);
    const double judged = s.judged.value_or(0);
    if (limit.judged && judged < *limit.judged) {
      violations.push_back(
          fmt::format("{}: judged is {:.4g}, at least {:.4g} is wanted", group.group, judged, *limit.judged));
    }
    if (limit.cases && static_cast<int>(s.cases) < *limit.cases) {
      violations.push_back(
          fmt::format("{}: {} cases, at least {} are wanted", group.group, s.cases, *limit.cases));
    }
  }
  return violations;
}

}  // namespace moeplan::report
