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

/// How the benchmark's layer moves tokens.
enum class LayerDispatcher {
  kAllToAll,  ///< NCCL all-to-all of every copy, then chunks sorted by local expert
  kDeepEp,    ///< one copy a rank, then permuted by local expert
  kHybridEp,  ///< one copy a rank, delivered by local expert
};

/// Ranks that the top-k experts of a token lie on, expected under even routing and at most `limit`.
///
/// Model:   n (1 - prod_{i<k} (E - E/n - i) / (E - i)): top-k distinct experts of E, E/n of them on a rank
double expected_ranks_per_token(int experts, int top_k, int ranks, int limit);

/// Times of the first layer of `model` on its own, under balanced routing, built from the kernels and
/// collectives that simulate_step builds layers from. Left out, because a benchmark of the layer alone does
/// not run them: the norm before the layer, the residual additions, and the accumulation into main gradients.
/// `copies_per_token`: with a library, copies that leave a rank per token, its own included.
/// Requires: one pipeline stage, tp = cp = etp = 1.
/// Not modelled: a library's own bandwidth; its copies travel as an all-to-all of that many bytes.
MoeLayerTimes compute_moe_layer(const topology::Cluster& cluster, const sim::Profile& profile,
                                const sim::ModelSpec& model, const sim::RunSpec& run,
                                const sim::PlanSpec& plan,
                                LayerDispatcher dispatcher = LayerDispatcher::kAllToAll,
                                double copies_per_token = 0.0);

/// Bytes allocated at the worst moment of one forward and backward of that layer, eager, without recompute.
///
/// Model:   docs/models/memory.md, "One layer alone": the highest of three moments, the combine of the
///          forward, fc2's backward, the backward of the activation; and the workspaces of the products
/// Left out, as the benchmark has none: main gradients, optimizer states, communicators, context.
base::Bytes compute_moe_layer_peak(const sim::ModelSpec& model, const sim::RunSpec& run,
                                   const sim::PlanSpec& plan,
                                   LayerDispatcher dispatcher = LayerDispatcher::kAllToAll,
                                   double copies_per_token = 0.0);

}  // namespace moeplan::report
