#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "include/moeplan.h"
#include "planner/placement/problem.h"
#include "planner/placement/solver.h"

namespace moeplan::planner {

/// What stands behind a moeplan_planner: loads of the last calls and the placement in force. One thread at a
/// time.
class CPlanner {
 public:
  /// Why there is no planner with such options; empty = there is.
  static std::string find_fault(const moeplan_options& options);
  /// Requires: find_fault() empty.
  explicit CPlanner(const moeplan_options& options);

  /// Why these are no loads; empty = they are. Shape: [layer][expert]
  std::string find_load_fault(const double* loads) const;
  /// Plans and returns how many layers changed. Strong guarantee: an exception changes nothing.
  int plan(const double* loads);
  /// Why these are no placement; empty = they are, and are now in force. Shape: [layer][slot]
  std::string set_placement(const std::int32_t* slots);
  double imbalance(const double* loads) const;

  std::span<const std::int32_t> placement() const { return slots_; }
  std::size_t loads_size() const { return layers_ * experts_; }

  std::string message;

 private:
  LayerProblem layer(std::size_t index) const;  ///< of next_load_
  void append(const double* loads);

  SlotShape shape_;
  std::size_t layers_, experts_, per_layer_, history_;
  double hysteresis_;
  std::unique_ptr<PlacementSolver> solver_;
  std::size_t seen_ = 0;  // iterations in load_
  std::size_t next_seen_ = 0;
  std::vector<double> load_, next_load_, next_mean_;  // [layer][iteration][expert], [layer][expert]
  std::vector<std::int32_t> slots_, next_slots_;      // [layer][slot]
};

}  // namespace moeplan::planner
