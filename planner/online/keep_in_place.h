#pragma once

#include "planner/placement/problem.h"

namespace moeplan::planner {

/// `fresh` with its GPUs renamed so that as many replicas as a greedy matching finds stay where `old` has
/// them: the pair of an old and a new GPU with most experts in common is matched first (ties: lower old, then
/// lower new GPU). Loads of GPUs stay what they are. Cost: O(gpus^2 (slots_per_gpu + log gpus))
Slots keep_in_place(const Slots& old, const Slots& fresh, const SlotShape& shape);

}  // namespace moeplan::planner
