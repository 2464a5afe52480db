#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/cost/estimate.h"

namespace moeplan::report {

/// A 90 % interval of a prediction, in the unit of its case.
struct Band {
  double low = 0;
  double high = 0;
};

/// One published figure beside what moeplan and a naive baseline say of it.
struct Case {
  std::string name;     ///< FILE#ID, the file relative to its corpus
  double measured = 0;  ///< > 0
  double predicted = 0;
  std::string_view unit = "s";  ///< "s" or "B"; static text
  std::optional<double>
      naive;  ///< what the baseline of the group says; empty: too few other rows to say anything
  std::optional<Band> band;
  sim::Evidence evidence = sim::Evidence::kAssumed;
  std::string gpu;      ///< for tables by GPU; may be empty
  double weight = 1.0;  ///< how much plans ask for it, in any unit within one (gpu, kind)
  std::string kind;     ///< cases that a figure of its own is stated for, "bf16"; may be empty
  std::string note;     ///< what of the row is not modelled or was assumed; may be empty

  double error() const { return (predicted - measured) / measured; }
  std::optional<double> naive_error() const;
  bool inside_band() const { return band && band->low <= measured && measured <= band->high; }
};

/// A row without a prediction.
struct Skipped {
  std::string name;
  std::string why;
  /// The source marks the row usable: that we cannot judge it counts against us.
  bool usable = true;
};

/// What one group of rows gave.
struct GroupReport {
  std::string group;
  std::vector<Case> cases;
  std::vector<Skipped> skipped;
  /// Only some of the group's rows were asked for; limits do not apply.
  bool narrowed = false;
  /// The figures of each kind stand apart.
  bool by_kind = false;
};

/// What all groups gave, in the order of groups().
using ValidationReport = std::vector<GroupReport>;

}  // namespace moeplan::report
