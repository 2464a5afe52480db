#pragma once

#include "sim/schedule/cost_cache.h"
#include "sim/schedule/stage_model.h"

namespace moeplan::sim {

/// MoE layers whose mean load an estimate looks at: at most this many, spread evenly over the model.
inline constexpr int kEstimateLayers = 4;

/// Rows of the load (and of the placement) that an estimate looks at.
std::vector<int> estimate_rows(const Job& job);

/// Time of one layer on the first EP group of the first stage, all ranks waiting for the slowest at each
/// collective.
///
/// Model:   routing = the mean shares of the load's middle iteration, the same for every source; all-to-alls
/// under `bound`;
///          dispatch, experts and combine each take as long as on the slowest rank, mean over estimate_rows()
/// Cached by everything it depends on.
LayerEstimate estimate_layer(const Job& job, const PlanSpec& plan, const PlacedLayer& layer,
                             CostCache& cache);

/// Embedding (first) or output head and loss (last), forward and backward.
LayerEstimate estimate_end(const Job& job, const PlanSpec& plan, bool last, CostCache& cache);

}  // namespace moeplan::sim
