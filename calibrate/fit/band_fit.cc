#include "calibrate/fit/band_fit.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "calibrate/fit/descend.h"

namespace moeplan::calibrate {

namespace {

constexpr double kTail = 0.05;
constexpr int kEdgeDigits = 3;

/// The i-th smallest, from 1; the nearest end outside.
double order_statistic(const std::vector<double>& sorted, double i) {
  const double last = static_cast<double>(sorted.size());
  return sorted[static_cast<std::size_t>(std::clamp(i, 1.0, last)) - 1];
}

}  // namespace

sim::Band fit_band(const std::vector<Compared>& apart, std::size_t most) {
  MOEPLAN_CHECK(!apart.empty() && most > 0, "a band needs a row");
  const std::size_t classes = std::clamp<std::size_t>(apart.size() / kLeastBandRows, 1, most);
  std::vector<double> times;
  for (const Compared& row : apart) times.push_back(row.predicted * 1e6);
  sim::Band band;
  for (std::size_t i = 1; i < classes; ++i) {
    const double edge =
        significant(quantile(times, static_cast<double>(i) / static_cast<double>(classes)), kEdgeDigits);
    if (band.edges_us.empty() || edge > band.edges_us.back()) band.edges_us.push_back(edge);
  }
  std::vector<std::vector<double>> ratios(band.edges_us.size() + 1);
  for (const Compared& row : apart)
    ratios[band.cell(row.predicted * 1e6)].push_back(row.measured / row.predicted);
  band.low.clear();
  band.high.clear();
  for (std::vector<double>& part : ratios) {
    if (part.empty()) part.push_back(1.0);
    std::sort(part.begin(), part.end());
    const double n = static_cast<double>(part.size()) + 1.0;
    band.low.push_back(significant(std::min(1.0, order_statistic(part, std::floor(n * kTail)))));
    band.high.push_back(significant(std::max(1.0, order_statistic(part, std::ceil(n * (1.0 - kTail))))));
  }
  return band;
}

}  // namespace moeplan::calibrate
