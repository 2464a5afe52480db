#include <algorithm>
#include <vector>

#include "sim/collective/point_to_point.h"
#include "sim/schedule/activation_bytes.h"
#include "sim/schedule/data_parallel.h"
#include "sim/schedule/estimate_layer.h"
#include "sim/schedule/layer_kernels.h"
#include "sim/schedule/offload.h"

namespace moeplan::sim {

namespace {

using base::Seconds;

enum KeyKind : std::int64_t { kTransferKey = 10, kReduceKey, kGatherKey, kUpdateKey };
constexpr double kBf16Bytes = 2.0;

struct StageLoad {
  double forward = 0, backward = 0;  ///< s, of one micro-batch
  double weight = 0;                 ///< s, of backward: weight gradients
  RankParameters parameters;
  int layers = 0;
  double total() const { return forward + backward; }
  void add(const LayerEstimate& part, double share) {
    forward += part.forward * share;
    backward += part.backward * share;
    weight += part.weight * share;
  }
};

/// Waits for the copies of activations that leave for the host: there is one stage with all layers, and
/// experts work on an even load. `layers`: of the decoder, in model order.
void add_copies(const Job& job, const PlanSpec& plan, const std::vector<LayerEstimate>& layers,
                StageLoad& stage) {
  const ActivationBytes activations(job.model, job.run, plan);
  const HostLink link(job);
  const OffloadOrder order = offload_order(job.model, plan);
  std::vector<double> forward, backward, out, in;
  for (int i = 0; i < order.layers; ++i) {
    const auto l = static_cast<std::size_t>(i);
    forward.push_back(layers[l].forward);
    backward.push_back(layers[l].backward);
    if (!order.leaves(i)) continue;
    const LayerBytes bytes = activations.layer(job.model.layers[l]);
    const LayerCopies copies = link.copies(bytes.kept + bytes.kept_per_row * activations.mean_rows());
    out.push_back(copies.out.time().s());
    in.push_back(copies.in.time().s());
  }
  const ExposedCopies exposed = exposed_copies(order, forward, backward, out, in);
  stage.forward += exposed.forward;
  stage.backward += exposed.backward;
}

std::vector<StageLoad> load_stages(const Job& job, const PlanSpec& plan, CostCache& cache) {
  std::vector<StageLoad> stages(static_cast<std::size_t>(plan.layout.pp));
  const auto chunks = place_layers(job.model, plan);
  // Layers of one kind follow each other: most look-ups are saved by remembering the last one.
  const PlacedLayer* before = nullptr;
  LayerEstimate layer_time;
  std::vector<LayerEstimate> decoder;  // with offload
  const ChunkMap map(plan);
  const double share = 1.0 / map.routes();  // of the micro-batches
  for (std::size_t c = 0; c < chunks.size(); ++c) {
    StageLoad& stage = stages[static_cast<std::size_t>(map.stage(static_cast<int>(c)))];
    for (const PlacedLayer& layer : chunks[c]) {
      const bool same = before != nullptr && before->spec.mixer == layer.spec.mixer &&
                        before->spec.ffn == layer.spec.ffn && before->spec.window == layer.spec.window &&
                        before->is_mtp == layer.is_mtp;
      if (!same) layer_time = estimate_layer(job, plan, layer, cache);
      before = &layer;
      stage.add(layer_time, share);
      if (plan.offload.any() && !layer.is_mtp) decoder.push_back(layer_time);
    }
    const bool first = map.is_first(static_cast<int>(c));
    const bool last = map.is_last(static_cast<int>(c));
    for (const bool end : {false, true}) {
      if (!(end ? last : first)) continue;
      stage.add(estimate_end(job, plan, end, cache), share);
    }
    const RankParameters parameters = chunk_parameters(job.model, plan, chunks[c], first, last);
    stage.parameters.dense += parameters.dense;
    stage.parameters.expert += parameters.expert;
    stage.parameters.moe_layers += parameters.moe_layers;
    stage.layers += static_cast<int>(chunks[c].size());
  }
  if (plan.offload.any()) add_copies(job, plan, decoder, stages.front());
  return stages;
}

double transfer_time(const Job& job, const PlanSpec& plan, const CommNetwork& network, CostCache& cache) {
  if (plan.layout.pp == 1) return 0;
  const double elements =
      static_cast<double>(rank_tokens(plan, job.run).local) * static_cast<double>(job.model.hidden);
  const base::Bytes bytes = base::Bytes::rounded(elements * kBf16Bytes);
  return cache.number({kTransferKey, plan.layout.ranks_per_stage(), bytes.count()}, [&] {
    return solve_point_to_point(network, stage_ranks(plan.layout, 0).ranks, stage_ranks(plan.layout, 1).ranks,
                                bytes)
        .makespan.s();
  });
}

CacheKey stage_key(KeyKind kind, const PlanSpec& plan, const StageLoad& stage) {
  const ParallelLayout& l = plan.layout;
  return {kind,
          l.tp,
          l.cp,
          l.ep,
          l.etp,
          l.ranks_per_stage(),
          l.pp,
          static_cast<int>(plan.data_parallel()),
          plan.shard_group,
          stage.parameters.dense,
          stage.parameters.expert,
          stage.parameters.moe_layers,
          stage.layers,
          ChunkMap(plan).routes()};
}

/// What other ranks' work adds in front of and behind the busiest rank's. `f`, `b`, `w`: of one micro-batch
/// on all other ranks together; weight gradients are part of b. Model:   the published bubbles
/// (pipeline_order.h), a share (pp - 1) of them for every other rank; ZB-V, with
///          a norm that waits for all ranks: half of max(F, D, 2 (D - W)); pairs of DualPipe as F + B, one
///          after the other: what overlaps inside of them is left to the simulation
double fill_time(const PlanSpec& plan, double f, double b, double w) {
  const int pp = plan.layout.pp;
  switch (plan.schedule()) {
    case PipelineSchedule::kZeroBubbleH1:
      return std::max(0.0, f + b - 2.0 * w);
    case PipelineSchedule::kZeroBubbleV:
      return 0.5 * std::max({f, b - w, 2.0 * (b - 2.0 * w)});
    case PipelineSchedule::kDualPipe:
      return std::max(0.0, f + 2.0 * b - 3.0 * w) * (0.5 * pp - 1.0) / std::max(1, pp - 1);
    case PipelineSchedule::kDualPipeV:
      return 0.5 * std::max(0.0, f + 2.0 * b - 3.0 * w);
    default:
      return (f + b) / plan.layout.vp;
  }
}

/// What sharded parameters and gradients add to the micro-batches: of each layer what its computation does
/// not hide. Model: m (L max(0, g - f) + L max(0, g + r - b)) + g + r;  g, r, f, b = gather, reduction,
/// forward and backward of a layer, g = 0 where parameters are whole
double exposed_shards(const PlanSpec& plan, const StageLoad& stage, double gather, double reduce,
                      double micro_batches) {
  const int layers = std::max(1, stage.layers);
  const double g = shards_parameters(plan.data_parallel()) ? gather : 0.0;
  const double each =
      std::max(0.0, g - stage.forward / layers) + std::max(0.0, g + reduce - stage.backward / layers);
  return micro_batches * layers * each + g + reduce;
}

/// What gradients, update and parameters add behind and before the pipeline.
double step_tail(const Job& job, const PlanSpec& plan, const StageLoad& stage, double micro_batch_backward,
                 double micro_batch_forward, const CommNetwork& network, CostCache& cache) {
  const StageRanks ranks = stage_ranks(plan.layout, 0);
  const auto exchange = [&] {
    return compute_exchange(job, plan, network, ranks, stage.parameters, stage.layers);
  };
  const double reduce =
      cache.number(stage_key(kReduceKey, plan, stage), [&] { return exchange().reduce_piece.time.s(); });
  const double gather =
      cache.number(stage_key(kGatherKey, plan, stage), [&] { return exchange().gather_piece.time.s(); });
  const double update = cache.number(stage_key(kUpdateKey, plan, stage), [&] {
    const StageUpdate u = compute_update(job, plan, network, 0, stage.parameters);
    return (u.gradients.time() + u.router_bias.time() + u.loss_scale.time() + u.norm.time() + u.optimizer.time() +
            u.tied_embedding.time)
        .s();
  });
  const auto behind = [&](double piece, bool overlap, double cover) {
    const double all = piece * stage.layers;
    return overlap ? std::max(piece, all - cover) : all;
  };
  const DataParallel sharding = plan.data_parallel();
  if (shards_gradients(sharding)) {
    const auto m = static_cast<double>(micro_batches(plan, job.run.global_batch));
    return exposed_shards(plan, stage, gather, reduce, m) + update +
           (shards_parameters(sharding) ? 0.0
                                        : behind(gather, plan.overlap_param_gather, micro_batch_forward));
  }
  return behind(reduce, plan.overlap_grad_reduce, micro_batch_backward) + update +
         behind(gather, plan.overlap_param_gather, micro_batch_forward);
}

}  // namespace

/// Model:   t = m * max_s(F_s + B_s) + fill + transfers + tail; fill of 1F1B, interleaved and GPipe:
///          (sum_s(F_s + B_s) - max_s(F_s + B_s)) / v; of the others see fill_time
/// Symbols: F_s, B_s = one micro-batch through all virtual stages of pipeline rank s; v = virtual stages per
/// rank;
///          transfers: 2 (pp - 1) to fill and drain, and 2 m more where the sender waits (1F1B)
Seconds estimate_step_time(const Job& job, const PlanSpec& plan, CostCache& cache) {
  const auto sharing = make_sharing({SharingMode::kBound, 0});
  const CommNetwork network(job.cluster, job.profile, *sharing);
  const std::vector<StageLoad> stages = load_stages(job, plan, cache);
  double f = 0, b = 0, w = 0;
  const StageLoad* busiest = &stages.front();
  for (const StageLoad& stage : stages) {
    f += stage.forward;
    b += stage.backward;
    w += stage.weight;
    if (stage.total() > busiest->total()) busiest = &stage;
  }
  const auto m = static_cast<double>(micro_batches(plan, job.run.global_batch));
  const double fill = fill_time(plan, f - busiest->forward, b - busiest->backward, w - busiest->weight);
  const double transfer = transfer_time(job, plan, network, cache);
  const bool sender_waits = plan.schedule() == PipelineSchedule::kOneForwardOneBackward;
  const double transfers =
      plan.layout.pp == 1 ? 0.0 : 2.0 * transfer * (plan.layout.pp - 1 + (sender_waits ? m : 0.0));
  const double chunk = 1.0 / plan.layout.vp;
  return Seconds::of(
      m * busiest->total() + fill + transfers +
      step_tail(job, plan, *busiest, busiest->backward * chunk, busiest->forward * chunk, network, cache));
}

}  // namespace moeplan::sim
