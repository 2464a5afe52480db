#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "planner/placement/problem.h"

namespace moeplan::planner {

/// Replicas of each expert so that the largest load of one slot is smallest.
///
/// Model:   minimise max_e load_e / c_e  subject to  sum c_e = slots, 1 <= c_e <= cap.
///          With T = total / (slots - experts), c_e = ceil(load_e / T) needs at most `slots` and stands at
///          the start of the greedy order (one more replica to the largest load / c); a heap makes the rest
///          of it. That order is optimal: an exchange argument, as for divisor methods of apportionment
///          (Adams).
/// Symbols: cap = GPUs that may hold one expert, so that no two replicas need share a GPU
/// Requires: experts <= slots <= experts * cap. Ties: the lower expert.
/// Cost:    O((slots - experts + E) log E) at most; O(E log E) with T > 0
std::vector<int> count_replicas(std::span<const double> load, int slots, int cap);

/// One of an expert's replicas.
struct Replica {
  double load = 0;
  std::int32_t expert = 0;
};

/// All replicas of a layer, heaviest first (ties: the lower expert).
std::vector<Replica> list_replicas(std::span<const double> load, std::span<const int> replicas);

/// Sorts the experts of each GPU.
void sort_slots_of_gpus(Slots& slots, int slots_per_gpu);

/// Makes the one answer where every GPU has room for all experts: the same on each GPU, which is perfectly
/// even.
Slots fill_every_gpu(const SlotShape& shape, int experts);

}  // namespace moeplan::planner
