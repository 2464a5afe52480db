#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "planner/placement/problem.h"
#include "sim/workload/plan.h"

namespace moeplan::planner {

/// Places one layer after the other. Const and thread-safe; deterministic.
class PlacementSolver {
 public:
  virtual ~PlacementSolver() = default;
  virtual std::string_view name() const = 0;
  /// Why this solver has no answer to such problems (the exact one: too large; hierarchical EPLB: groups that
  /// nodes do not divide); empty = it has.
  virtual std::string find_refusal(const LayerProblem&) const { return ""; }
  /// Requires find_problem_fault() and find_refusal() empty. The slots of a GPU hold experts in rising order.
  virtual Slots solve(const LayerProblem& layer) const = 0;
  /// Seconds of the layer by the performance model that a published planner decides with, for what it placed;
  /// nothing where it has none. Says what that planner believed, not how long a layer takes.
  virtual std::optional<double> own_cost(const LayerProblem&, const Slots&) const { return std::nullopt; }
};

/// Baselines, moeplan and exact, then published systems: see docs/models/placement.md.
std::vector<std::string> solver_names();
/// Is it a published training system's planner (smartmoe, fastermoe ...)?
bool is_system(std::string_view name);
/// Throws InputError for a name that is none.
std::unique_ptr<PlacementSolver> make_solver(std::string_view name);

/// Every layer by one solver. Shape: result.slots[layer]. Layers run on up to `threads` threads (0 = as many
/// as the machine has); the result does not depend on it.
sim::Placement solve_all_layers(const PlacementSolver& solver, const PlacementProblem& problem,
                                int threads = 1);

}  // namespace moeplan::planner
