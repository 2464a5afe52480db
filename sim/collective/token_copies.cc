#include "sim/collective/token_copies.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"

namespace moeplan::sim {

namespace {

double log_choose(double n, double k) {
  return std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1);
}

/// P(k of n drawn at random avoid a part of `size`).
double avoid(std::int64_t n, std::int64_t k, std::int64_t size) {
  if (n - size < k) return 0.0;
  const auto d = [](std::int64_t x) { return static_cast<double>(x); };
  return std::exp(log_choose(d(n - size), d(k)) - log_choose(d(n), d(k)));
}

/// e_0..e_k of the weights.
std::vector<double> symmetric(std::span<const double> weights, int k) {
  std::vector<double> e(static_cast<std::size_t>(k) + 1, 0.0);
  e[0] = 1.0;
  for (const double w : weights) {
    for (int j = k; j >= 1; --j) e[static_cast<std::size_t>(j)] += w * e[static_cast<std::size_t>(j) - 1];
  }
  return e;
}

constexpr double kLargestMarginal = 1.0 - 1e-6;
constexpr int kIterations = 12;

/// P(expert is in the set) under the weights: w_i e_{k-1}(without i) / e_k, by dividing i out.
double inclusion(const std::vector<double>& e, double w, int k, std::span<const double> weights,
                 std::size_t i) {
  double without = 1.0;  // e_j(without i)
  for (int j = 1; j < k; ++j) {
    const double next = e[static_cast<std::size_t>(j)] - w * without;
    if (!(next > 1e-9 * e[static_cast<std::size_t>(j)])) {  // cancelled: count it afresh
      std::vector<double> rest(weights.begin(), weights.end());
      rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(i));
      return w * symmetric(rest, k - 1).back() / e.back();
    }
    without = next;
  }
  return w * without / e.back();
}

std::vector<double> find_weights(std::span<const double> marginal, int k) {
  std::vector<double> p(marginal.begin(), marginal.end());
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& x : p) x = std::min(kLargestMarginal, sum > 0 ? x * k / sum : 0.0);
  std::vector<double> weights(p.size());
  const auto normalise = [&] {
    // Weights have no scale of their own; a mean of k/E keeps e_k in range.
    const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
    for (double& w : weights) w *= k / total;
  };
  for (std::size_t i = 0; i < p.size(); ++i) weights[i] = p[i] / (1.0 - p[i]);
  normalise();
  for (int pass = 0; pass < kIterations; ++pass) {
    const std::vector<double> e = symmetric(weights, k);
    double furthest = 0.0;
    std::vector<double> next(weights);
    for (std::size_t i = 0; i < p.size(); ++i) {
      if (p[i] <= 0.0) continue;
      const double got = inclusion(e, weights[i], k, weights, i);
      furthest = std::max(furthest, std::abs(got / p[i] - 1.0));
      if (got > 0.0) next[i] = weights[i] * p[i] / got;
    }
    weights = std::move(next);
    normalise();
    if (furthest < 1e-3) break;
  }
  return weights;
}

}  // namespace

double expected_distinct(std::int64_t experts, int top_k, std::int64_t parts, GroupLimit limit) {
  MOEPLAN_CHECK(experts > 0 && parts > 0 && top_k > 0 && top_k <= experts, "a set of different experts");
  if (parts >= experts) return std::min<double>(top_k, static_cast<double>(parts));
  const std::int64_t size = experts / parts;
  const auto all = static_cast<double>(parts);
  const bool limited = limit.groups > 1 && limit.chosen < limit.groups && experts % limit.groups == 0;
  if (!limited) return all * (1.0 - avoid(experts, top_k, size));
  const std::int64_t group = experts / limit.groups;
  const std::int64_t in_play = group * limit.chosen;
  if (top_k > in_play) return all * (1.0 - avoid(experts, top_k, size));
  if (size <= group) {  // inside one group
    return all * limit.chosen / limit.groups * (1.0 - avoid(in_play, top_k, size));
  }
  const std::int64_t held = size / group;  // whole groups in a part
  double untouched = 0.0;
  for (std::int64_t j = 0; j <= std::min<std::int64_t>(held, limit.chosen); ++j) {
    if (limit.chosen - j > limit.groups - held) continue;
    const auto d = [](std::int64_t x) { return static_cast<double>(x); };
    const double ways =
        std::exp(log_choose(d(held), d(j)) + log_choose(d(limit.groups - held), d(limit.chosen - j)) -
                 log_choose(limit.groups, limit.chosen));
    untouched += ways * avoid(in_play, top_k, j * group);
  }
  return all * (1.0 - untouched);
}

std::vector<double> touch_probability(std::span<const double> marginal, int top_k, int parts) {
  MOEPLAN_CHECK(parts > 0 && marginal.size() % static_cast<std::size_t>(parts) == 0,
                "parts hold equally many experts");
  const std::size_t size = marginal.size() / static_cast<std::size_t>(parts);
  const int k = std::min(top_k, static_cast<int>(marginal.size()));
  std::vector<double> touched(static_cast<std::size_t>(parts), 0.0);
  if (std::accumulate(marginal.begin(), marginal.end(), 0.0) <= 0.0) return touched;
  if (size == 1) {
    for (std::size_t i = 0; i < touched.size(); ++i) touched[i] = std::min(1.0, marginal[i]);
    return touched;
  }
  const std::vector<double> weights = find_weights(marginal, k);
  const double all = symmetric(weights, k).back();
  std::vector<double> rest(weights.size() - size);
  for (std::size_t part = 0; part < touched.size(); ++part) {
    const auto begin = weights.begin() + static_cast<std::ptrdiff_t>(part * size);
    auto end = std::copy(weights.begin(), begin, rest.begin());
    std::copy(begin + static_cast<std::ptrdiff_t>(size), weights.end(), end);
    touched[part] = std::clamp(1.0 - symmetric(rest, k).back() / all, 0.0, 1.0);
  }
  return touched;
}

std::vector<std::int64_t> count_distinct(std::span<const std::int32_t> experts, int top_k,
                                         std::int64_t all_experts, int parts) {
  const std::int64_t size = all_experts / parts;
  std::vector<std::int64_t> count(static_cast<std::size_t>(parts));
  std::vector<std::int64_t> last(count.size(), -1);
  for (std::size_t i = 0; i < experts.size(); ++i) {
    const auto token = static_cast<std::int64_t>(i) / top_k;
    const auto part = static_cast<std::size_t>(experts[i] / size);
    if (last[part] == token) continue;
    last[part] = token;
    ++count[part];
  }
  return count;
}

}  // namespace moeplan::sim
