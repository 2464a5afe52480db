#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <numeric>
#include <vector>

#include "base/random.h"
#include "planner/placement/problem.h"

namespace moeplan::planner::test {

/// One layer with a few iterations of skewed loads.
inline PlacementProblem random_layer(base::RandomStream& random, int experts, int iterations,
                                     const SlotShape& shape) {
  PlacementProblem problem{shape, 1, experts, iterations, {}, {}};
  const double skew = 0.3 + 1.5 * random.uniform();
  std::vector<double> base;
  for (int e = 0; e < experts; ++e) base.push_back(std::exp(skew * random.normal()));
  for (int i = 0; i < iterations; ++i) {
    for (int e = 0; e < experts; ++e)
      problem.load.push_back(base[static_cast<std::size_t>(e)] * std::exp(0.2 * random.normal()));
  }
  problem.fill_means();
  return problem;
}

/// Mean over iterations of the largest GPU load, counted plainly.
inline double plain_objective(const PlacementProblem& problem, const std::vector<std::int32_t>& slots) {
  const auto experts = static_cast<std::size_t>(problem.experts);
  double sum = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(problem.iterations); ++i) {
    std::vector<double> gpu(static_cast<std::size_t>(problem.shape.gpus), 0.0);
    for (std::size_t s = 0; s < slots.size(); ++s) {
      const auto copies = static_cast<double>(std::count(slots.begin(), slots.end(), slots[s]));
      gpu[s / static_cast<std::size_t>(problem.shape.slots_per_gpu)] +=
          problem.load[i * experts + static_cast<std::size_t>(slots[s])] / copies;
    }
    sum += *std::max_element(gpu.begin(), gpu.end());
  }
  return sum / problem.iterations;
}

/// The best objective of all placements without two replicas on one GPU, by trying them all: each GPU in turn
/// takes every set of slots_per_gpu different experts.
inline double brute_force(const PlacementProblem& problem) {
  const int per_gpu = problem.shape.slots_per_gpu;
  std::vector<std::vector<std::int32_t>> sets;
  std::vector<std::int32_t> set;
  const std::function<void(int)> choose = [&](int from) {
    if (static_cast<int>(set.size()) == per_gpu) {
      sets.push_back(set);
      return;
    }
    for (int e = from; e < problem.experts; ++e) {
      set.push_back(e);
      choose(e + 1);
      set.pop_back();
    }
  };
  choose(0);
  double best = INFINITY;
  std::vector<std::int32_t> slots;
  const std::function<void(int, std::size_t)> fill = [&](int gpu, std::size_t from) {
    if (gpu == problem.shape.gpus) {
      for (std::int32_t e = 0; e < problem.experts; ++e) {
        if (std::find(slots.begin(), slots.end(), e) == slots.end()) return;
      }
      best = std::min(best, plain_objective(problem, slots));
      return;
    }
    for (std::size_t i = from; i < sets.size(); ++i) {  // GPUs are alike: sets in rising order only
      slots.insert(slots.end(), sets[i].begin(), sets[i].end());
      fill(gpu + 1, i);
      slots.resize(slots.size() - sets[i].size());
    }
  };
  fill(0, 0);
  return best;
}

}  // namespace moeplan::planner::test
