#pragma once

#include "planner/placement/problem.h"

namespace moeplan::planner {

/// No placement has a smaller mean of largest GPU loads; same unit as the loads.
///
/// Model:   mean over iterations of the largest of
///   mean:     total / gpus
///   replica:  min over replica counts (at most one a GPU) of max_e load_e / c_e
///   pigeons:  without spare slots: of the j*gpus + 1 heaviest experts some GPU holds j + 1, and its other
///   slots
///             at least the lightest ones: sum of ranks j*gpus - j .. j*gpus (from 0) + sum of the
///             slots_per_gpu - j - 1 lightest, for j = 0 .. slots_per_gpu - 1
/// Per iteration the counts may differ, which only lowers it. With groups, replicas of one expert stay on one
/// node: the cap is gpus_per_node.
/// Cost: O(iterations * E log E)
double lower_bound(const LayerProblem& layer);

}  // namespace moeplan::planner
