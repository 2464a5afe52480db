#include "report/validation/moe_layer.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "sim/network/sharing.h"
#include "sim/schedule/layer_kernels.h"
#include "sim/schedule/moe_times.h"

namespace moeplan::report {

namespace {

/// Parts of a segment that belong to the block around the layer or to the training loop.
constexpr std::array<std::string_view, 2> kOutsideTheLayer = {"norm", "residual"};

/// The parts inside the layer, and what the host needs for them; it runs ahead over the whole pass.
struct Inside {
  sim::CostSum cost;
  base::Seconds host;

  void add(const sim::Segment& segment) {
    for (const sim::Part& part : segment.parts()) {
      const bool outside =
          std::find(kOutsideTheLayer.begin(), kOutsideTheLayer.end(), part.name) != kOutsideTheLayer.end();
      if (outside || part.name == sim::kLaunchWait) continue;
      cost.add(part.time_class, part.estimate);
      host += part.host;
    }
  }
  /// Balanced: every rank takes the same time up to rounding, and rank 0 stands for all.
  void add(const std::vector<sim::Segment>& ranks) {
    if (!ranks.empty()) add(ranks.front());
  }
  sim::Estimate estimate() const {
    sim::CostSum sum = cost;
    const double wait = host.s() - sum.total();
    if (wait > 0.0)
      sum.add(sim::TimeClass::kHost, sim::exactly(base::Seconds::of(wait), sim::Evidence::kAssumed));
    return sum.estimate();
  }
};

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
  const sim::MoeTimes moe =
      sim::build_moe_times(kernels, traffic, times, plan.chunk_degree, plan.backward_chunks());

  Inside forward, backward;
  forward.add(kernels.moe_before_forward());
  forward.add(moe.dispatch);
  forward.add(moe.experts);
  forward.add(moe.combine);
  forward.add(kernels.moe_after_forward());
  backward.add(kernels.moe_after_backward());
  backward.add(moe.combine_gradient);
  backward.add(moe.experts_backward);
  backward.add(moe.dispatch_gradient);
  backward.add(kernels.moe_before_backward());
  return {forward.estimate(), backward.estimate()};
}

namespace {

/// Bytes of the tensors that the ledger of the peak is made of.
struct LayerTensors {
  double rows = 0;                ///< token copies of the rank, bf16
  double wide = 0;                ///< rows x expert ffn, bf16
  double fc1 = 0;                 ///< output of fc1
  double input = 0;               ///< tokens of the rank
  double received = 0;            ///< what a library delivers before the permutation
  double weights = 0;             ///< with their quantised copies
  double gradient2 = 0;           ///< of fc2's weights
  double saved1 = 0, saved2 = 0;  ///< inputs that the two products keep
  bool low = false;               ///< products below bf16
};

LayerTensors size_tensors(const sim::ModelSpec& model, const sim::RunSpec& run, const sim::PlanSpec& plan) {
  constexpr double kBf16 = 2.0;
  LayerTensors t;
  const auto tokens = static_cast<double>(plan.micro_batch * run.seq_len);
  const auto hidden = static_cast<double>(model.hidden);
  const auto ffn = static_cast<double>(model.expert_ffn);
  const double halves = model.gated ? 2.0 : 1.0;
  const double element = sim::bytes_per_element(run.precision.gemm);
  const double local = static_cast<double>(model.experts) / plan.layout.ep;
  t.low = element < kBf16;
  t.rows = tokens * model.top_k * hidden * kBf16;
  t.wide = tokens * model.top_k * ffn * kBf16;
  t.fc1 = halves * t.wide;
  t.input = tokens * hidden * kBf16;
  t.received = sim::distinct_share(model, plan) * t.rows;
  t.weights = local * (halves + 1.0) * hidden * ffn * (kBf16 + (t.low ? 2.0 * element : 0.0));
  t.gradient2 = local * hidden * ffn * kBf16;
  t.saved1 = t.rows * (t.low ? element / kBf16 : 1.0);
  t.saved2 = t.wide * (t.low ? element / kBf16 : 1.0);
  return t;
}

/// Row buffers alive in the forward combine besides what is saved. Megatron's layer keeps the tensors between
/// its steps in local variables until it returns: permuted, received, sorted.
double combine_buffers(const LayerTensors& t, sim::Dispatcher dispatcher, bool sorts, bool pads) {
  switch (dispatcher) {
    case sim::Dispatcher::kFlat:
    case sim::Dispatcher::kPairwise:
    case sim::Dispatcher::kTwoLevel:  // staging between the levels is not modelled
    case sim::Dispatcher::kLeader:
    case sim::Dispatcher::kSplitPipe:
    case sim::Dispatcher::kRailRelay:
      // permuted and, if sorted, received; fc2's output on its way back, twice; padded: the sorted rows, and
      // the unpadded output, too. Without quantisation the sorted rows are those that fc1 saves.
      return t.rows * (3.0 + (sorts ? 1.0 : 0.0) + (pads ? 2.0 : 0.0));
    case sim::Dispatcher::kDeepEp:
      return t.received + (pads ? 4.0 * t.rows : t.rows + t.received);
    case sim::Dispatcher::kHybridEp:
      return t.rows * (t.low ? 2.0 : 1.0);
  }
  return 0.0;
}

}  // namespace

base::Bytes compute_moe_layer_peak(const sim::ModelSpec& model, const sim::RunSpec& run,
                                   const sim::PlanSpec& plan) {
  /// cuBLAS workspaces on Hopper: PyTorch's for the forward and the backward thread, TransformerEngine's for
  /// its four streams, 32 MiB each (their sources).
  constexpr double kWorkspaces = 6.0 * 32.0 * 1024.0 * 1024.0;
  const LayerTensors t = size_tensors(model, run, plan);
  const bool sorts = model.experts > plan.layout.ep;
  const bool pads = t.low && !run.fusion.padding;
  const double router = 2.0 * t.input;  // its input in fp32
  const double held = t.weights + 2.0 * t.input + router;
  const double saved = t.saved1 + t.fc1 + (run.fusion.activation ? 0.0 : t.wide) + t.saved2;
  const double combine = held + saved + combine_buffers(t, plan.dispatcher, sorts, pads);
  // The output's gradient; its rows, quantised by rows and by columns; fc2's two gradients.
  const double fc2 = held + t.input + saved + t.rows + (t.low ? t.rows : 0.0) + t.wide + t.gradient2;
  // Not fused: the gradient in fp32 and its products with probability and activation. Fused: gradient in,
  // out.
  const double work = run.fusion.activation ? t.wide + t.fc1 : 3.0 * 2.0 * t.wide;
  const double activation = held + t.input + saved - t.saved2 + t.gradient2 + work;
  return base::Bytes::rounded(std::max({combine, fc2, activation}) + kWorkspaces);
}

}  // namespace moeplan::report
