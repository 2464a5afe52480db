#include "report/validation/statistics.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace moeplan::report {

namespace {

constexpr double kHighQuantile = 0.95;

double mean(double sum, std::size_t count) { return sum / static_cast<double>(count); }

}  // namespace

std::optional<double> Case::naive_error() const {
  if (!naive) return std::nullopt;
  return (*naive - measured) / measured;
}

double compute_median(std::vector<double> values) {
  MOEPLAN_CHECK(!values.empty(), "median of nothing");
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2.0;
}

double weighted_quantile(const std::vector<double>& values, const std::vector<double>& weights, double q) {
  MOEPLAN_CHECK(values.size() == weights.size(), "a weight for each value");
  std::vector<std::pair<double, double>> order;
  double total = 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (weights[i] <= 0.0) continue;
    order.emplace_back(values[i], weights[i]);
    total += weights[i];
  }
  MOEPLAN_CHECK(!order.empty(), "quantile of nothing");
  std::sort(order.begin(), order.end());
  double below = 0.0;
  for (const auto& [value, weight] : order) {
    below += weight;
    if (below >= q * total) return value;
  }
  return order.back().first;
}

void LeaveOneOutMedian::sort() { std::sort(values_.begin(), values_.end()); }

std::optional<double> LeaveOneOutMedian::without(double value) const {
  const auto found = std::lower_bound(values_.begin(), values_.end(), value);
  MOEPLAN_CHECK(found != values_.end() && *found == value, "the value left out is not in the list");
  const std::size_t rest = values_.size() - 1;
  if (rest == 0) return std::nullopt;
  const auto gap = static_cast<std::size_t>(found - values_.begin());
  const auto at = [&](std::size_t i) { return values_[i < gap ? i : i + 1]; };
  return rest % 2 == 1 ? at(rest / 2) : (at(rest / 2 - 1) + at(rest / 2)) / 2.0;
}

Statistics compute_statistics(const std::vector<Case>& cases, const std::vector<Skipped>& skipped) {
  Statistics s;
  s.cases = cases.size();
  const auto unjudged = static_cast<std::size_t>(
      std::count_if(skipped.begin(), skipped.end(), [](const Skipped& row) { return row.usable; }));
  if (cases.size() + unjudged > 0)
    s.judged = mean(static_cast<double>(cases.size()), cases.size() + unjudged);
  if (cases.empty()) return s;

  std::vector<double> sizes, weights, half_widths;
  double sum = 0, size_sum = 0, naive_sum = 0, size_sum_with_naive = 0;
  std::size_t with_naive = 0, with_band = 0, inside = 0;
  for (const Case& one : cases) {
    const double error = one.error();
    sizes.push_back(std::abs(error));
    weights.push_back(one.weight);
    sum += error;
    size_sum += std::abs(error);
    if (!s.worst || std::abs(error) > std::abs(*s.worst)) {
      s.worst = error;
      s.worst_case = one.name;
    }
    if (const std::optional<double> naive = one.naive_error()) {
      ++with_naive;
      naive_sum += std::abs(*naive);
      size_sum_with_naive += std::abs(error);
    }
    if (one.band) {
      ++with_band;
      inside += one.inside_band() ? 1U : 0U;
      if (one.predicted > 0.0) half_widths.push_back((one.band->high - one.band->low) / 2.0 / one.predicted);
    }
  }
  s.mape = mean(size_sum, cases.size());
  s.p95 = weighted_quantile(sizes, std::vector<double>(sizes.size(), 1.0), kHighQuantile);
  const bool weighted = std::any_of(weights.begin(), weights.end(), [](double w) { return w != 1.0; });
  if (weighted && *std::max_element(weights.begin(), weights.end()) > 0.0) {
    s.asked_median = weighted_quantile(sizes, weights, 0.5);
    s.asked_p95 = weighted_quantile(sizes, weights, kHighQuantile);
  }
  if (!half_widths.empty()) s.half_width = compute_median(std::move(half_widths));
  s.median = compute_median(std::move(sizes));
  s.bias = mean(sum, cases.size());
  if (with_naive > 0) {
    s.naive_mape = mean(naive_sum, with_naive);
    if (naive_sum > 0) s.skill = 1.0 - size_sum_with_naive / naive_sum;
  }
  if (with_band > 0) s.coverage = mean(static_cast<double>(inside), with_band);
  return s;
}

}  // namespace moeplan::report
