#pragma once

#include <cstdint>
#include <string>

#include "base/units.h"
#include "sim/cost/estimate.h"
#include "sim/cost/profile.h"
#include "sim/workload/model.h"
#include "sim/workload/plan.h"
#include "sim/workload/run.h"
#include "topology/cluster.h"

namespace moeplan::report {

/// One MoE layer under a stop-watch: router, permutation, dispatch, experts, combine, unpermutation.
struct MoeLayerTimes {
  sim::Estimate forward;
  sim::Estimate backward;
};

/// Times of the first layer of `model` on its own, under balanced routing, built from the kernels and
/// collectives that simulate_step builds layers from. Left out, because a benchmark of the layer alone does
/// not run them: the norm before the layer, the residual additions, and the accumulation into main gradients.
/// Requires: one pipeline stage, tp = cp = etp = 1.
MoeLayerTimes compute_moe_layer(const topology::Cluster& cluster, const sim::Profile& profile,
                                const sim::ModelSpec& model, const sim::RunSpec& run,
                                const sim::PlanSpec& plan);

/// Bytes allocated at the worst moment of one forward and backward of that layer, eager, without recompute.
///
/// Model:   docs/models/memory.md, "One layer alone": the highest of three moments, the combine of the
///          forward, fc2's backward, the backward of the activation; and the workspaces of the products
/// Left out, as the benchmark has none: main gradients, optimizer states, communicators, context.
base::Bytes compute_moe_layer_peak(const sim::ModelSpec& model, const sim::RunSpec& run,
                                   const sim::PlanSpec& plan);

}  // namespace moeplan::report
