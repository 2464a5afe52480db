#include <algorithm>
#include <vector>

#include "sim/schedule/activation_bytes.h"
#include "sim/schedule/data_parallel.h"
#include "sim/schedule/layer_kernels.h"
#include "sim/schedule/offload.h"
#include "sim/schedule/variant_costs.h"

namespace moeplan::sim {

namespace {

using base::Seconds;

enum KeyKind : std::int64_t { kTailKey = 11, kContentsKey };

struct StageLoad {
  double forward = 0, backward = 0;  ///< s, of one micro-batch
  double weight = 0;                 ///< s, of backward: weight gradients
  double low_forward = 0, low_backward = 0, low_host = 0;
  double total() const { return forward + backward; }
  double low() const { return std::max(low_forward + low_backward, low_host); }
  void add(const LayerEstimate& part, double share) {
    forward += part.forward * share;
    backward += part.backward * share;
    weight += part.weight * share;
    low_forward += part.low_forward * share;
    low_backward += part.low_backward * share;
    low_host += part.low_host * share;
  }
};

/// Waits for the copies of activations that leave for the host: there is one stage with all layers, and
/// experts work on an even load.
void add_copies(const Job& job, const PlanSpec& plan, const VariantCosts& costs,
                const std::vector<LayerKind>& kinds, StageLoad& stage) {
  const ActivationBytes activations(job.model, job.run, plan);
  const HostLink link(job);
  const OffloadOrder order = offload_order(job.model, plan);
  std::vector<double> forward, backward, out, in;
  for (int i = 0; i < order.layers; ++i) {
    const LayerSpec& spec = job.model.layers[static_cast<std::size_t>(i)];
    const LayerEstimate& layer = costs.layers[find_kind(kinds, spec, false)];
    forward.push_back(layer.forward);
    backward.push_back(layer.backward);
    if (!order.leaves(i)) continue;
    const LayerBytes bytes = activations.layer(spec);
    const LayerCopies copies = link.copies(bytes.kept + bytes.kept_per_row * activations.mean_rows());
    out.push_back(copies.out.time().s());
    in.push_back(copies.in.time().s());
  }
  const ExposedCopies exposed = exposed_copies(order, forward, backward, out, in);
  stage.forward += exposed.forward;
  stage.backward += exposed.backward;
}

StageLoad load_of(const std::vector<double>& count, int firsts, int lasts, const VariantCosts& costs,
                  double share) {
  StageLoad load;
  for (std::size_t k = 0; k < count.size(); ++k) {
    if (count[k] > 0) load.add(costs.layers[k], count[k] * share);
  }
  if (firsts > 0) load.add(costs.first, firsts * share);
  if (lasts > 0) load.add(costs.last, lasts * share);
  return load;
}

/// Sum of chunk_parameters() over the chunks of a stage.
RankParameters parameters_of(const Job& job, const PlanSpec& plan, const std::vector<LayerKind>& kinds,
                             const StageContents::Stage& stage) {
  RankParameters sum;
  for (std::size_t k = 0; k < kinds.size(); ++k) {
    if (stage.count[k] <= 0) continue;
    const std::vector<PlacedLayer> layer{{kinds[k].spec, 0, -1, kinds[k].is_mtp}};
    sum.dense +=
        chunk_parameters(job.model, plan, layer, false, false).dense * static_cast<int>(stage.count[k]);
  }
  for (const StageContents::Ends& ends : stage.ends)
    sum.dense += chunk_parameters(job.model, plan, {}, ends.first, ends.last).dense;
  for (const auto& [from, to] : stage.moe_rows) {
    for (int row = from; row < to; ++row)
      sum.expert += chunk_parameters(job.model, plan, {{LayerSpec(), 0, row, false}}, false, false).expert;
  }
  sum.moe_layers = stage.moe_layers;
  return sum;
}

CacheKey tail_key(const PlanSpec& plan, const RankParameters& parameters, int layers) {
  const ParallelLayout& l = plan.layout;
  return {kTailKey,
          l.tp,
          l.cp,
          l.ep,
          l.etp,
          l.ranks_per_stage(),
          l.pp,
          static_cast<int>(plan.data_parallel()),
          plan.shard_group,
          parameters.dense,
          parameters.expert,
          parameters.moe_layers,
          layers,
          plan.distributed_optimizer,
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
double exposed_shards(const PlanSpec& plan, const StageLoad& stage, int stage_layers, double gather,
                      double reduce, double micro_batches) {
  const int layers = std::max(1, stage_layers);
  const double g = shards_parameters(plan.data_parallel()) ? gather : 0.0;
  const double each =
      std::max(0.0, g - stage.forward / layers) + std::max(0.0, g + reduce - stage.backward / layers);
  return micro_batches * layers * each + g + reduce;
}

TailCosts tail_costs(const Job& job, const PlanSpec& plan, const RankParameters& parameters, int layers,
                     const CommNetwork& network) {
  const ChunkExchange exchange =
      compute_exchange(job, plan, network, stage_ranks(plan.layout, 0), parameters, layers);
  const StageUpdate u = compute_update(job, plan, network, 0, parameters);
  return {exchange.reduce_piece.time.s(), exchange.gather_piece.time.s(),
          (u.gradients.time() + u.router_bias.time() + u.loss_scale.time() + u.norm.time() +
           u.optimizer.time() + u.tied_embedding.time)
              .s()};
}

/// What gradients, update and parameters add behind and before the pipeline.
double step_tail(const PlanSpec& plan, const StageLoad& stage, int layers, const TailCosts& tail, double m) {
  const auto& [reduce, gather, update] = tail;
  // The chunk that is done last (or needed first) has its own pass to hide behind, all of them those of the
  // other chunks for a round of the pipeline, too.
  const int pp = plan.layout.pp, vp = plan.layout.vp;
  const auto behind = [&](double piece, bool overlap, double pass) {
    const double all = piece * layers;
    if (!overlap) return all;
    return std::max({piece, (all - pass) / vp, all - pass * (1 + pp * (vp - 1)) / vp});
  };
  const DataParallel sharding = plan.data_parallel();
  if (shards_gradients(sharding)) {
    return exposed_shards(plan, stage, layers, gather, reduce, m) + update +
           (shards_parameters(sharding) ? 0.0 : behind(gather, plan.overlap_param_gather, stage.forward));
  }
  return behind(reduce, plan.overlap_grad_reduce, stage.backward) + update +
         behind(gather, plan.overlap_param_gather, stage.forward);
}

/// Does a micro-batch that is done on a stage still have to go back through all stages before it, and nothing
/// else of it run meanwhile on that stage?
bool drains_backward(PipelineSchedule schedule) {
  return schedule == PipelineSchedule::kOneForwardOneBackward || schedule == PipelineSchedule::kInterleaved ||
         schedule == PipelineSchedule::kGpipe;
}

/// The stage whose own work and place in the pipeline bound the step most: where it is and for how long.
struct LowStage {
  std::size_t stage = 0;
  double time = 0;  ///< s, without what a step does once
};

LowStage find_low_stage(const PlanSpec& plan, const StageContents& contents,
                        const std::vector<StageLoad>& stages, const VariantCosts& costs, double m) {
  const PipelineSchedule schedule = plan.schedule();
  const bool fills = drains_backward(schedule) || schedule == PipelineSchedule::kZeroBubbleH1;
  LowStage most;
  double before = 0, behind = 0;
  for (std::size_t s = 0; s < stages.size(); ++s) {
    const double time = before + m * stages[s].low() + behind;
    if (time > most.time) most = {s, time};
    // Elsewhere another stage may have faster links than those that all are estimated with.
    if (!costs.stages_alike) break;
    if (!fills) continue;
    const StageContents::Stage& stage = contents.stages[s];
    const StageLoad front =
        load_of(stage.front, stage.front_ends.first ? 1 : 0, stage.front_ends.last ? 1 : 0, costs, 1.0);
    before += front.low_forward + costs.transfer;
    if (drains_backward(schedule)) behind += front.low_backward + costs.transfer;
  }
  return most;
}

}  // namespace

/// Model:   time:  t = m * max_s(F_s + B_s) + fill + transfers + tail; fill of 1F1B, interleaved and GPipe:
///          (sum_s(F_s + B_s) - max_s(F_s + B_s)) / v; of the others see fill_time
///          lower: max_s(m (f_s + b_s) + sum_{r<s}(f'_r + b'_r)) + update, with the b' of schedules alone
///          whose stages are done once their last micro-batch has gone back, without the f' where a pipeline
///          is entered from both ends; of the first stage alone where the stages do not sit alike on the
///          cluster
/// Symbols: F_s, B_s = one micro-batch through all virtual stages of pipeline rank s; v = virtual stages per
/// rank; f, b = the same with RoutedFloor for experts and exchange; f', b' = the chunk that a micro-batch
///          comes to first;
///          transfers: 2 (pp - 1) to fill and drain, and 2 m more where the sender waits (1F1B)
StepEstimate estimate_step(const Job& job, const PlanSpec& plan, CostCache& cache) {
  const std::vector<LayerKind>& kinds = cache.kinds([&] { return layer_kinds(job.model); });
  const ParallelLayout& l = plan.layout;
  CacheKey contents_key{kContentsKey, l.pp, l.vp, static_cast<int>(plan.schedule()), plan.overlap.all_to_all};
  for (const int layers : plan.split.layers_per_chunk) contents_key.push_back(layers);
  const StageContents& contents =
      cache.contents(contents_key, [&] { return stage_contents(job.model, kinds, plan); });
  const VariantCosts& costs = variant_costs(job, plan, kinds, cache);

  std::vector<StageLoad> stages;
  double f = 0, b = 0, w = 0;
  std::size_t busiest = 0;
  for (std::size_t s = 0; s < contents.stages.size(); ++s) {
    const StageContents::Stage& stage = contents.stages[s];
    stages.push_back(load_of(stage.count, stage.firsts(), stage.lasts(), costs, contents.share));
    if (plan.offload.any() && s == 0) add_copies(job, plan, costs, kinds, stages.front());
    f += stages[s].forward;
    b += stages[s].backward;
    w += stages[s].weight;
    if (stages[s].total() > stages[busiest].total()) busiest = s;
  }
  const auto tail_of = [&](std::size_t s) -> const TailCosts& {
    const RankParameters parameters = parameters_of(job, plan, kinds, contents.stages[s]);
    const int layers = contents.stages[s].layers;
    return cache.tail(tail_key(plan, parameters, layers), [&] {
      const auto sharing = make_sharing({SharingMode::kBound, 0});
      const CommNetwork network(job.cluster, job.profile, *sharing);
      return tail_costs(job, plan, parameters, layers, network);
    });
  };
  const auto m = static_cast<double>(micro_batches(plan, job.run.global_batch));
  const StageLoad& most = stages[busiest];
  const double fill = fill_time(plan, f - most.forward, b - most.backward, w - most.weight);
  const bool sender_waits = plan.schedule() == PipelineSchedule::kOneForwardOneBackward;
  const double transfers = 2.0 * costs.transfer * (l.pp - 1 + (sender_waits ? m : 0.0));
  const double tail = step_tail(plan, most, contents.stages[busiest].layers, tail_of(busiest), m);
  const LowStage low = find_low_stage(plan, contents, stages, costs, m);
  return {Seconds::of(m * most.total() + fill + transfers + tail),
          Seconds::of(low.time + tail_of(low.stage).update)};
}

Seconds estimate_step_time(const Job& job, const PlanSpec& plan, CostCache& cache) {
  return estimate_step(job, plan, cache).time;
}

}  // namespace moeplan::sim
