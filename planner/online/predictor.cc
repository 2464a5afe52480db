#include "planner/online/predictor.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "planner/placement/study.h"

namespace moeplan::planner {

namespace {

/// What each of the window's iterations counts in the prediction: all sum to 1.
std::vector<double> weights(Predictor predictor, int count, double ahead) {
  std::vector<double> weight(static_cast<std::size_t>(count), 1.0 / count);
  if (predictor != Predictor::kLinear || count < 2) return weight;
  // Least squares is linear in the data: y(T) = sum y_i (1/n + (t_i - m)(T - m) / sum (t_j - m)^2), t_i = 0
  // .. n-1.
  const double middle = (count - 1) / 2.0;
  const double spread = count * (static_cast<double>(count) * count - 1.0) / 12.0;
  for (int i = 0; i < count; ++i)
    weight[static_cast<std::size_t>(i)] += (i - middle) * (count + ahead - middle) / spread;
  return weight;
}

}  // namespace

PlacementProblem predict_loads(const sim::ExpertLoads& loads, int now, const OnlinePolicy& policy,
                               const SlotShape& shape) {
  MOEPLAN_CHECK(now >= 1, "a prediction needs an iteration to rest on");
  const int count = std::min(policy.predictor == Predictor::kLast ? 1 : policy.window, now);
  PlacementProblem seen = make_problem(loads, {now - count, now}, shape);
  if (policy.predictor == Predictor::kWindow || count == 1) return seen;
  const std::vector<double> weight = weights(policy.predictor, count, (policy.period - 1) / 2.0);
  PlacementProblem expected{shape, seen.layers, seen.experts, 1, {}, {}};
  const auto experts = static_cast<std::size_t>(seen.experts);
  for (int l = 0; l < seen.layers; ++l) {
    const LayerProblem layer = seen.layer(l);
    std::vector<double> share(experts, 0.0);
    for (int i = 0; i < count; ++i) {
      for (std::size_t e = 0; e < experts; ++e)
        share[e] += weight[static_cast<std::size_t>(i)] * layer.at(i)[e];
    }
    for (double& value : share) value = std::max(value, 0.0);
    const double sum = std::accumulate(share.begin(), share.end(), 0.0);
    for (double& value : share) value = sum > 0 ? value / sum : 0.0;
    expected.load.insert(expected.load.end(), share.begin(), share.end());
  }
  expected.fill_means();
  return expected;
}

}  // namespace moeplan::planner
