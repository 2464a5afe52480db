#pragma once

#include <algorithm>
#include <vector>

#include "sim/schedule/cost_cache.h"
#include "sim/schedule/segment.h"

namespace moeplan::sim {

/// MoE layers whose mean load an estimate looks at: at most this many, spread evenly over the model.
inline constexpr int kEstimateLayers = 4;

/// Rows of the load (and of the placement) that an estimate looks at.
std::vector<int> estimate_rows(const Job& job);

/// Fingerprint of the placement's estimate_rows(); 0: contiguous, or routing is balanced anyway.
std::int64_t placement_digest(const Job& job, const PlanSpec& plan);

/// Routed experts and their all-to-alls on the first EP group of the first stage, all ranks waiting for the
/// slowest at each collective.
///
/// Model:   routing = the mean shares of the load's middle iteration, the same for every source; all-to-alls
/// under `bound`; dispatch, experts and combine each take as long as on the slowest rank, mean over
/// estimate_rows()
/// Cached by what it depends on: tokens of a rank, but neither the pipeline, nor TP, CP and micro-batch that give
/// as many, nor what the rest of the layer recomputes.
const RoutedCosts& estimate_routed(const Job& job, const PlanSpec& plan, std::int64_t placement,
                                   CostCache& cache);

/// What no routing can go below, whatever the load: see StepEstimate.
///
/// Model:   experts: every rank works on the mean of the rows, as evenly as they come or all for one expert,
/// whichever takes less; all-to-alls: every pair of ranks exchanges the mean under `bound`. With one
/// distribution of experts for all sources the share of copies that leave a node, or a rank, is the same
/// however uneven it is. Nothing of what a capacity may drop or a dispatcher may find to be a duplicate.
const RoutedFloor& estimate_routed_floor(const Job& job, const PlanSpec& plan, CostCache& cache);

}  // namespace moeplan::sim
