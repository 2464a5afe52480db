#include "sim/cost/profile_fields.h"

#include <optional>
#include <string>

#include <fmt/format.h>

#include "base/units.h"

namespace moeplan::sim {

using base::ObjectReader;

namespace {

constexpr double kLargestShare = 1.5;  // of a datasheet figure that a sane fit may reach

std::optional<Evidence> parse_evidence(std::string_view text) {
  for (int i = 0; i < kEvidenceLevels; ++i) {
    const auto evidence = static_cast<Evidence>(i);
    if (name(evidence) == text) return evidence;
  }
  return std::nullopt;
}

}  // namespace

Evidence read_evidence(ObjectReader& at) {
  const std::string word =
      at.one_of("evidence", {"measured", "interpolated", "extrapolated", "assumed"}, std::nullopt);
  return parse_evidence(word).value_or(Evidence::kAssumed);
}

NumberFormat read_format(ObjectReader& at, std::string_view key) {
  const std::string word = at.one_of(key, number_format_names(), std::nullopt);
  return parse_number_format(word).value_or(NumberFormat::kBf16);
}

double read_positive(ObjectReader& at, std::string_view key, double limit) {
  const double value = at.required<double>(key);
  if (at.has(key) && !(value > 0.0 && value <= limit)) {
    at.fault(key, fmt::format("found {}, expected a number above 0 and up to {}", value, limit));
    return 1.0;
  }
  return value;
}

double read_share(ObjectReader& at, std::string_view key) { return read_positive(at, key, kLargestShare); }

double read_seconds(ObjectReader& at, std::string_view key) {
  const base::Seconds time = at.required<base::Seconds>(key);
  if (time.s() < 0.0) at.fault(key, "found a negative time, expected zero or more");
  return time.s();
}

}  // namespace moeplan::sim
