#include "planner/placement/problem.h"

#include <cmath>

#include <fmt/format.h>

#include "base/check.h"

namespace moeplan::planner {

void PlacementProblem::fill_means() {
  const auto n = static_cast<std::size_t>(experts);
  mean.assign(static_cast<std::size_t>(layers) * n, 0.0);
  for (std::size_t l = 0; l < static_cast<std::size_t>(layers); ++l) {
    for (std::size_t i = 0; i < static_cast<std::size_t>(iterations); ++i) {
      const double* row = load.data() + (l * static_cast<std::size_t>(iterations) + i) * n;
      for (std::size_t e = 0; e < n; ++e) mean[l * n + e] += row[e];
    }
    for (std::size_t e = 0; e < n; ++e) mean[l * n + e] /= iterations;
  }
}

LayerProblem PlacementProblem::layer(int index) const {
  MOEPLAN_CHECK(index >= 0 && index < layers, fmt::format("layer {} of {}", index, layers));
  const auto l = static_cast<std::size_t>(index);
  const auto n = static_cast<std::size_t>(experts);
  const std::size_t rows = static_cast<std::size_t>(iterations) * n;
  return {
      shape, experts, iterations, std::span(load).subspan(l * rows, rows), std::span(mean).subspan(l * n, n),
      job};
}

std::string find_problem_fault(const PlacementProblem& problem) {
  const SlotShape& s = problem.shape;
  if (problem.layers < 1 || problem.experts < 1 || problem.iterations < 1) {
    return fmt::format("{} layers, {} experts and {} iterations, expected at least one of each",
                       problem.layers, problem.experts, problem.iterations);
  }
  if (problem.experts > kMaxExperts)
    return fmt::format("{} experts, expected at most {}", problem.experts, kMaxExperts);
  if (s.gpus < 1 || s.gpus_per_node < 1 || s.slots_per_gpu < 1 || s.groups < 1) {
    return fmt::format("{} GPUs, {} a node, {} slots on each and {} groups, expected at least one of each",
                       s.gpus, s.gpus_per_node, s.slots_per_gpu, s.groups);
  }
  if (std::int64_t{s.gpus} * s.slots_per_gpu > kMaxSlots) {
    return fmt::format("{} GPUs with {} slots each are more than {} slots", s.gpus, s.slots_per_gpu,
                       kMaxSlots);
  }
  if (s.gpus % s.gpus_per_node != 0)
    return fmt::format("{} GPUs are no whole nodes of {}", s.gpus, s.gpus_per_node);
  if (s.slots() < problem.experts) {
    return fmt::format("{} experts do not fit into {} slots ({} GPUs x {})", problem.experts, s.slots(),
                       s.gpus, s.slots_per_gpu);
  }
  if (s.groups > 1 && (problem.experts % s.groups != 0 || s.groups % s.nodes() != 0)) {
    return fmt::format(
        "{} experts in {} groups on {} nodes: groups have to be equal, and equally many on each node",
        problem.experts, s.groups, s.nodes());
  }
  const auto wanted = static_cast<std::size_t>(problem.layers) *
                      static_cast<std::size_t>(problem.iterations) *
                      static_cast<std::size_t>(problem.experts);
  if (problem.load.size() != wanted) return fmt::format("{} loads, expected {}", problem.load.size(), wanted);
  for (std::size_t i = 0; i < problem.load.size(); ++i) {
    if (std::isfinite(problem.load[i]) && problem.load[i] >= 0.0) continue;
    const std::size_t n = static_cast<std::size_t>(problem.experts);
    return fmt::format("found a load of {} for expert {} of layer {}, expected a number of at least 0",
                       problem.load[i], i % n, i / n / static_cast<std::size_t>(problem.iterations));
  }
  return "";
}

}  // namespace moeplan::planner
