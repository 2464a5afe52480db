#pragma once

#include "sim/schedule/cost_cache.h"
#include "sim/schedule/stage_contents.h"

namespace moeplan::sim {

/// Layers and ends of plans that differ in virtual stages, schedule and split alone, on the first stage.
/// Cached by everything that they depend on. `kinds` = layer_kinds(job.model).
const VariantCosts& variant_costs(const Job& job, const PlanSpec& plan, const std::vector<LayerKind>& kinds,
                                  CostCache& cache);

}  // namespace moeplan::sim
