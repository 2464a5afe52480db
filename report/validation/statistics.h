#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "report/validation/case.h"

namespace moeplan::report {

/// The figures of a group. Empty where there is nothing to take them of.
///
/// mape        mean of |error|
/// median      median of |error|
/// worst       the error of largest size, with its sign
/// bias        mean of error
/// naive_mape  mean of |naive error| over the cases that have a baseline
/// skill       1 - mape/naive_mape, both over the cases that have a baseline
/// coverage    share of the cases with a band whose measured value lies in it
/// p95         95th percentile of |error|
/// half_width  median over the cases with a band of its half width, of the prediction
/// asked_*     the same quantiles where each case counts by its weight; empty where all weigh 1
/// judged      cases / (cases + skipped usable rows)
struct Statistics {
  std::size_t cases = 0;
  std::optional<double> mape, median, worst, bias, naive_mape, skill, coverage, judged;
  std::optional<double> p95, half_width, asked_median, asked_p95;
  std::string worst_case;  ///< its name
};

Statistics compute_statistics(const std::vector<Case>& cases, const std::vector<Skipped>& skipped);

/// The middle value; the mean of the two middle ones where their number is even. Requires: not empty.
double compute_median(std::vector<double> values);

/// The value below which a share q of the total weight lies. Requires: as many weights as values, some above
/// 0.
double weighted_quantile(const std::vector<double>& values, const std::vector<double>& weights, double q);

/// Medians of a list with one item, or a few equal ones, left out: the baseline "median of the other rows".
/// Cost: O(n log n) to build, O(log n) a question.
class LeaveOneOutMedian {
 public:
  void add(double value) { values_.push_back(value); }
  /// Call once after the last add().
  void sort();
  std::size_t size() const { return values_.size(); }
  /// The median of the values without one that equals `value`, which is one of them; empty where it is alone.
  std::optional<double> without(double value) const;

 private:
  std::vector<double> values_;
};

}  // namespace moeplan::report
