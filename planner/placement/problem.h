#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "planner/placement/system_job.h"

namespace moeplan::planner {

/// Experts of one MoE layer in slot order: slot s lives on EP rank s / slots_per_gpu.
using Slots = std::vector<std::int32_t>;

/// Where replicas may go. All GPUs of an EP group have the same number of slots; node n holds the n-th run of
/// gpus_per_node of them.
struct SlotShape {
  int gpus = 1;
  int gpus_per_node = 1;
  int slots_per_gpu = 1;
  /// Experts form so many equal groups, and all replicas of a group stay on one node; 1 = anywhere.
  int groups = 1;

  int nodes() const { return gpus / gpus_per_node; }
  int slots() const { return gpus * slots_per_gpu; }
  friend bool operator==(const SlotShape&, const SlotShape&) = default;
};

/// One MoE layer: what each expert gets in each iteration that the plan is made for. A view.
struct LayerProblem {
  SlotShape shape;
  int experts = 0;
  int iterations = 0;
  std::span<const double> load;  ///< [iteration][expert], any unit, none negative
  std::span<const double> mean;  ///< [expert], mean over iterations
  SystemJob job{};               ///< of published planners alone

  std::span<const double> at(int iteration) const {
    const auto n = static_cast<std::size_t>(experts);
    return load.subspan(static_cast<std::size_t>(iteration) * n, n);
  }
};

/// What is to be placed.
///
/// Objective: mean over iterations of the largest load of a GPU, where each of an expert's c replicas carries
///            load / c; per layer, layers do not depend on each other.
/// Constraint: every expert has a slot; no two replicas of one on one GPU unless slots_per_gpu > experts.
struct PlacementProblem {
  SlotShape shape;
  int layers = 0;
  int experts = 0;
  int iterations = 0;
  std::vector<double> load;  ///< [layer][iteration][expert]
  std::vector<double> mean;  ///< [layer][expert]; fill_means() makes it
  SystemJob job{};           ///< of published planners alone

  void fill_means();
  LayerProblem layer(int index) const;
};

/// Most experts, GPUs and slots that a problem may have.
inline constexpr int kMaxExperts = 65'536;
inline constexpr int kMaxSlots = 1'048'576;

/// Why the problem cannot be solved: fewer slots than experts, a GPU count that nodes do not divide, loads
/// that are not finite ... ; empty = it can. Layers whose loads are all zero are fine: every placement is as
/// good.
std::string find_problem_fault(const PlacementProblem& problem);

}  // namespace moeplan::planner
