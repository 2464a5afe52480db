#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "planner/placement/problem.h"

namespace moeplan::planner {

/// What a placement of one layer is worth, found from the slots alone.
struct LayerScore {
  std::string fault;             ///< why it is illegal; empty = legal, and only then is the rest set
  int duplicates = 0;            ///< slots whose expert stands on the same GPU before them
  int avoidable_duplicates = 0;  ///< those of them that another placement of as many slots would not need
  int split_groups = 0;          ///< groups whose replicas stand on more than one node
  std::vector<double> largest;   ///< [iteration] largest load of a GPU
  std::vector<double> mean;      ///< [iteration] mean load of a GPU
  double max_over_mean = 1.0;  ///< mean over iterations of largest / mean; an iteration without load counts 1
  double objective = 0;        ///< mean over iterations of largest
};

/// The independent checker: counts everything from scratch, iteration by iteration, and shares no code with
/// the solvers.
///
/// Legal:  gpus * slots_per_gpu slots, each with an expert 0 .. experts - 1, every expert at least once
/// Loads:  each of an expert's c replicas carries load / c
/// Shape:  loads[iteration][expert]
LayerScore check_layer(const SlotShape& shape, int experts, std::span<const double> loads,
                       std::span<const std::int32_t> slots);

}  // namespace moeplan::planner
