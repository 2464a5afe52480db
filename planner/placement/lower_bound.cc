#include "planner/placement/lower_bound.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <vector>

#include "planner/placement/replicas.h"

namespace moeplan::planner {

namespace {

double replica_bound(std::span<const double> load, const SlotShape& shape) {
  const auto experts = static_cast<int>(load.size());
  const int gpus = shape.groups > 1 ? shape.gpus_per_node : shape.gpus;
  const int cap = std::max(1, std::min(gpus, shape.slots() - experts + 1));
  const int slots = static_cast<int>(std::min<std::int64_t>(shape.slots(), std::int64_t{experts} * cap));
  const std::vector<int> replicas = count_replicas(load, slots, cap);
  double largest = 0;
  for (std::size_t e = 0; e < load.size(); ++e) largest = std::max(largest, load[e] / replicas[e]);
  return largest;
}

double pigeon_bound(std::span<const double> load, const SlotShape& shape) {
  std::vector<double> sorted(load.begin(), load.end());
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  const auto gpus = static_cast<std::size_t>(shape.gpus);
  const auto per_gpu = static_cast<std::size_t>(shape.slots_per_gpu);
  double best = 0;
  for (std::size_t j = 0; j < per_gpu && j * gpus < sorted.size(); ++j) {
    double sum = 0;
    for (std::size_t i = j * gpus - j; i <= j * gpus; ++i) sum += sorted[i];
    for (std::size_t i = 0; i < per_gpu - j - 1; ++i) sum += sorted[sorted.size() - 1 - i];
    best = std::max(best, sum);
  }
  return best;
}

}  // namespace

double lower_bound(const LayerProblem& layer) {
  double sum = 0;
  for (int i = 0; i < layer.iterations; ++i) {
    const std::span<const double> load = layer.at(i);
    double best = std::accumulate(load.begin(), load.end(), 0.0) / layer.shape.gpus;
    if (layer.shape.slots_per_gpu < layer.experts) {
      best = std::max(best, replica_bound(load, layer.shape));
      if (layer.shape.slots() == layer.experts) best = std::max(best, pigeon_bound(load, layer.shape));
    }
    sum += best;
  }
  return sum / layer.iterations;
}

}  // namespace moeplan::planner
