#include "calibrate/measure/statistics.h"

#include <algorithm>
#include <cmath>

namespace moeplan::calibrate {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : 0.5 * (values[half - 1] + values[half]);
}

Interval median_interval(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const double n = static_cast<double>(values.size());
  // Ranks from 1: floor(n/2 - 0.98 sqrt n) and, from the other end, the same.
  const double rank = std::floor(0.5 * n - 0.98 * std::sqrt(n));
  const std::size_t below = rank < 1.0 ? 0 : static_cast<std::size_t>(rank) - 1;
  return {values[below], values[values.size() - 1 - below]};
}

double robust_deviation(std::span<const double> values) {
  const double middle = median({values.begin(), values.end()});
  std::vector<double> distances;
  distances.reserve(values.size());
  for (const double value : values) distances.push_back(std::abs(value - middle));
  return 1.4826 * median(std::move(distances));
}

int count_outliers(std::span<const double> values) {
  const double middle = median({values.begin(), values.end()});
  const double limit = middle + std::max(kOutlierDeviations * robust_deviation(values), 0.01 * middle);
  return static_cast<int>(std::count_if(values.begin(), values.end(), [&](double v) { return v > limit; }));
}

double drift(std::span<const double> values) {
  if (values.size() < 6) return 1.0;
  const auto third = static_cast<std::ptrdiff_t>(values.size() / 3);
  return median({values.end() - third, values.end()}) / median({values.begin(), values.begin() + third});
}

}  // namespace moeplan::calibrate
