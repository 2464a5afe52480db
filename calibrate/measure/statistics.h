#pragma once

#include <span>
#include <vector>

namespace moeplan::calibrate {

/// Median of the values; of an even number the mean of the two in the middle. Requires one value at least.
double median(std::vector<double> values);

/// Where the median of the population lies with 95 % confidence, from order statistics and with no assumption
/// on the distribution: the values of rank n/2 -+ 0.98 sqrt(n) (Hollander, Wolfe, Nonparametric Statistical
/// Methods, 3.6: normal approximation of the binomial). Below 6 values no rank reaches 95 %: the extremes.
struct Interval {
  double low = 0.0, high = 0.0;
};
Interval median_interval(std::vector<double> values);

/// 1.4826 times the median distance from the median: the standard deviation, were the values normal.
double robust_deviation(std::span<const double> values);

/// Values above median + kOutlierDeviations robust deviations and more than 1 % above the median. They are
/// counted and kept: the median hardly sees them.
inline constexpr double kOutlierDeviations = 6.0;
int count_outliers(std::span<const double> values);

/// Median of the last third over that of the first third: above 1, the device slowed down while it was measured.
/// 1 below 6 values.
double drift(std::span<const double> values);

}  // namespace moeplan::calibrate
