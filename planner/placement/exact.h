#pragma once

#include <cstdint>
#include <memory>

#include "planner/placement/solver.h"

namespace moeplan::planner {

struct ExactResult {
  Slots slots;
  double objective = 0;  ///< mean over iterations of the largest GPU load
  bool proven = false;   ///< nothing is better by more than the tolerance; false: the nodes ran out
  std::int64_t nodes = 0;
};

struct ExactOptions {
  double tolerance = 1e-6;  ///< share of the objective
  std::int64_t max_nodes = 2'000'000;
};

/// Most GPUs that the search takes: it goes through sets of them.
inline constexpr int kMaxExactGpus = 10;

/// Branch and bound over the sets of GPUs that hold each expert.
///
/// Order:  experts by falling mean load; for each, replica counts and sets, the lightest GPUs first
/// Bound:  mean over iterations of max(largest load so far, total / gpus), and lower_bound() of the whole
/// Alike:  GPUs with equal loads and equal room are exchangeable: of such only the first are taken
/// Starts from `start` (a legal placement), which is the result where nothing better is found.
/// Requires: gpus <= kMaxExactGpus, slots_per_gpu <= experts, groups = 1
ExactResult solve_exactly(const LayerProblem& layer, const Slots& start, const ExactOptions& options = {});

/// solve_exactly() as a solver: refuses more than 16 experts, 8 GPUs or 48 slots. Where the nodes run out it
/// gives the best that it found.
std::unique_ptr<PlacementSolver> make_exact();

}  // namespace moeplan::planner
