#include "report/validation/moe_layer.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "sim/network/sharing.h"
#include "sim/schedule/activation_bytes.h"
#include "sim/schedule/layer_kernels.h"
#include "sim/schedule/moe_times.h"

namespace moeplan::report {

namespace {

/// Parts of a segment that belong to the block around the layer or to the training loop.
constexpr std::array<std::string_view, 2> kOutsideTheLayer = {"norm", "residual"};

sim::Estimate sum_inside(const sim::Segment& segment) {
  sim::Estimate sum;
  for (const sim::Part& part : segment.parts()) {
    const bool outside =
        std::find(kOutsideTheLayer.begin(), kOutsideTheLayer.end(), part.name) != kOutsideTheLayer.end();
    if (!outside) sum += part.estimate;
  }
  return sum;
}

/// Balanced: every rank takes the same time up to rounding, and rank 0 stands for all.
sim::Estimate first_rank(const std::vector<sim::Segment>& ranks) {
  return ranks.empty() ? sim::Estimate{} : sum_inside(ranks.front());
}

}  // namespace

MoeLayerTimes compute_moe_layer(const topology::Cluster& cluster, const sim::Profile& profile,
                                const sim::ModelSpec& model, const sim::RunSpec& run,
                                const sim::PlanSpec& plan) {
  const auto no_traffic = [](sim::LayerGroup, sim::CollectiveKind, base::Bytes) { return sim::Estimate{}; };
  const sim::LayerKernels kernels(model, run, plan, profile, no_traffic);
  const sim::StageRanks stage = sim::stage_ranks(plan.layout, 0);
  const sim::RoutingMatrix routing = sim::balanced_routing(
      static_cast<int>(stage.ranks.size()), kernels.tokens().routed, model.experts, model.top_k);
  const sim::MoeTraffic traffic = sim::map_to_ranks(routing, plan.layout, {});
  const auto sharing = sim::make_sharing({});
  const sim::CommNetwork network(cluster, profile, *sharing);
  const sim::AllToAllTimes times =
      sim::solve_all_to_alls(network, stage, traffic, sim::make_exchange(plan, model, kernels));
  const sim::MoeTimes moe = sim::build_moe_times(kernels, traffic, times, plan.chunk_degree);

  MoeLayerTimes layer;
  layer.forward = sum_inside(kernels.moe_before_forward()) + first_rank(moe.dispatch) +
                  first_rank(moe.experts) + first_rank(moe.combine) + sum_inside(kernels.moe_after_forward());
  layer.backward = sum_inside(kernels.moe_after_backward()) + first_rank(moe.combine_gradient) +
                   first_rank(moe.experts_backward) + first_rank(moe.dispatch_gradient) +
                   sum_inside(kernels.moe_before_backward());
  return layer;
}

base::Bytes compute_moe_layer_peak(const sim::ModelSpec& model, const sim::RunSpec& run,
                                   const sim::PlanSpec& plan) {
  constexpr double kBf16 = 2.0;  // bytes
  const sim::ActivationBytes activations(model, run, plan);
  const sim::LayerBytes layer = activations.layer({sim::MixerKind::kNone, sim::FfnKind::kMoe, 0});
  const double rows = activations.shard_tokens() * model.top_k;  // balanced: as many as the rank routes
  const double low = sim::value_bytes(run.precision.gemm);
  const double weights = static_cast<double>(sim::expert_parameters(model)) * model.experts / plan.layout.ep +
                         static_cast<double>(sim::router_parameters(model));
  const double per_weight =
      kBf16 + kBf16 + (low < kBf16 ? 2.0 * low : 0.0);  // weight, gradient, two quantised copies
  const double kept = layer.kept + layer.dropped + (layer.kept_per_row + layer.dropped_per_row) * rows;
  const double backward = layer.backward + layer.backward_per_row * rows;
  const double copies =
      sim::removes_duplicates(plan.dispatcher) ? sim::distinct_share(model, plan) : 2.0;  // of a row
  const double buffers = copies * rows * static_cast<double>(model.dispatch_width) * kBf16;
  const double ends =
      2.0 * activations.tokens() * static_cast<double>(model.hidden) * kBf16;  // output, and its gradient
  return base::Bytes::rounded(weights * per_weight + kept + backward + buffers + ends);
}

}  // namespace moeplan::report
