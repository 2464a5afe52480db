#include "calibrate/fit/residuals.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "calibrate/fit/descend.h"

namespace moeplan::calibrate {

namespace {

constexpr std::size_t kLeastRows = 20;
const std::vector<double> kEdgesUs{30.0, 300.0, 3000.0};

}  // namespace

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0.0;
  std::sort(values.begin(), values.end());
  const double at = q * static_cast<double>(values.size() - 1);
  const auto i = static_cast<std::size_t>(at);
  if (i + 1 >= values.size()) return values.back();
  return values[i] + (at - static_cast<double>(i)) * (values[i + 1] - values[i]);
}

sim::Residuals summarise(const std::vector<Compared>& rows) {
  std::vector<double> ratios, errors;
  for (const Compared& row : rows) {
    ratios.push_back(row.measured / row.predicted);
    errors.push_back(std::abs(row.predicted / row.measured - 1.0));
  }
  sim::Residuals r;
  r.shapes = static_cast<int>(rows.size());
  if (rows.empty()) return r;
  r.p05 = significant(quantile(ratios, 0.05));
  r.p50 = significant(quantile(ratios, 0.5));
  r.p95 = significant(quantile(ratios, 0.95));
  r.median_error = significant(quantile(errors, 0.5), 3);
  r.mean_error =
      significant(std::accumulate(errors.begin(), errors.end(), 0.0) / static_cast<double>(errors.size()), 3);
  r.p90_error = significant(quantile(errors, 0.9), 3);
  r.p95_error = significant(quantile(errors, 0.95), 3);
  r.worst_error = significant(quantile(errors, 1.0), 3);
  return r;
}

sim::Band find_band(const std::vector<Compared>& rows) {
  sim::Band band;
  band.edges_us = kEdgesUs;
  band.low.clear();
  band.high.clear();
  std::vector<std::vector<double>> classes(kEdgesUs.size() + 1);
  std::vector<double> all;
  for (const Compared& row : rows) {
    classes[band.cell(row.predicted * 1e6)].push_back(row.measured / row.predicted);
    all.push_back(row.measured / row.predicted);
  }
  for (const std::vector<double>& part : classes) {
    const std::vector<double>& used = part.size() < kLeastRows ? all : part;
    band.low.push_back(significant(std::min(1.0, quantile(used, 0.05))));
    band.high.push_back(significant(std::max(1.0, quantile(used, 0.95))));
  }
  return band;
}

}  // namespace moeplan::calibrate
