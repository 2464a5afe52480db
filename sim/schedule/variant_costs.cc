#include "sim/schedule/variant_costs.h"

#include <algorithm>
#include <utility>

#include "sim/collective/point_to_point.h"
#include "sim/schedule/estimate_routed.h"
#include "sim/schedule/layer_kernels.h"
#include "sim/schedule/packing.h"
#include "sim/schedule/stage_model.h"

namespace moeplan::sim {

namespace {

enum KeyKind : std::int64_t { kVariantKey = 2, kDocumentKey = 4, kTransferKey = 10 };
constexpr double kBf16Bytes = 2.0;

CacheKey variant_key(const Job& job, const PlanSpec& plan, std::int64_t placement) {
  const ParallelLayout& l = plan.layout;
  std::int64_t modules = 0;
  for (const RecomputeModule module : plan.recompute.modules)
    modules |= std::int64_t{1} << static_cast<int>(module);
  return {kVariantKey,
          l.tp,
          l.cp,
          l.ep,
          l.etp,
          l.sequence_parallel,
          l.ranks_per_stage(),
          l.pp > 1,
          plan.micro_batch,
          static_cast<int>(plan.recompute.mode),
          modules,
          static_cast<int>(plan.dispatcher),
          plan.dispatcher_sms,
          plan.chunk_degree,
          plan.backward_chunks(),
          static_cast<int>(plan.cp_comm()),
          plan.cp_a2a_size,
          plan.overlap.shared_experts,
          plan.overlap.tile_fused,
          plan.pairs_passes(),
          static_cast<std::int64_t>(job.run.gate),
          placement};
}

/// Lengths of documents and their mean shares of the tokens; one whole sequence where the run has none.
std::vector<std::pair<std::int64_t, double>> mean_documents(const Job& job, CostCache& cache) {
  if (!job.run.documents) return {{0, 1.0}};
  const std::vector<std::int64_t> nodes = document_nodes(job.run.seq_len);
  std::vector<std::pair<std::int64_t, double>> documents;
  std::vector<double> mean;
  for (std::size_t n = 0; n < nodes.size(); ++n) {
    const double share = cache.number({kDocumentKey, static_cast<std::int64_t>(n)}, [&] {
      if (mean.empty()) mean = even_packing(job.run).mean;
      return mean[n];
    });
    if (share > 0.0) documents.emplace_back(n == 0 ? 0 : nodes[n], share);
  }
  return documents;
}

/// Least time of the routed part of a pass: nothing overlaps in a plain layer; token chunks and fused tiles
/// hide either of exchange and experts behind the other, and a paired pass hides its exchange.
double routed_low(const PlanSpec& plan, double experts, double exchange) {
  if (plan.pairs_passes()) return experts;
  const bool hides = plan.overlap.tile_fused || std::max(plan.chunk_degree, plan.backward_chunks()) > 1;
  return hides ? std::max(experts, exchange) : experts + exchange;
}

double sum_gpu(std::initializer_list<const Segment*> segments) {
  double sum = 0;
  for (const Segment* segment : segments) sum += segment->gpu_time().s();
  return sum;
}

class VariantBuilder {
 public:
  VariantBuilder(const Job& job, const PlanSpec& plan, const CommNetwork& network, std::int64_t placement,
                 CostCache& cache)
      : plan_(plan), model_(job, plan, network, 0, false, &cache), documents_(mean_documents(job, cache)) {
    if (!job.model.is_moe()) return;
    const RoutedCosts& costs = estimate_routed(job, plan, placement, cache);
    routed_ = recomputes(RecomputeModule::kMoeAct) ? &costs.again : &costs.plain;
    floor_ = &estimate_routed_floor(job, plan, cache);
  }

  LayerEstimate layer(const LayerKind& kind) {
    const PlacedLayer placed{kind.spec, 0, kind.spec.ffn == FfnKind::kMoe ? 0 : -1, kind.is_mtp};
    const LayerTemplate& t = model_.layer(placed);
    const bool routes = t.is_moe && routed_ != nullptr;
    PassTime feed_forward, backward, weight;
    LayerEstimate estimate;
    double low_routed = 0, host_feed_forward = 0;
    if (routes) {
      feed_forward = routed_->forward, backward = routed_->backward, weight = routed_->weight;
      low_routed = routed_low(plan_, floor_->experts_forward, floor_->exchange_forward);
      estimate.low_backward = routed_low(plan_, floor_->experts_backward, floor_->exchange_backward);
      host_feed_forward = floor_->host_forward;
      estimate.low_host = floor_->host_backward;
    }
    for (const Segment* s : {&t.before_forward, &t.after_forward}) feed_forward.add(*s);
    PassTime forward = feed_forward, attention;
    for (const auto& [document, share] : documents_) {
      const LayerTemplate& packed = model_.layer(placed, document);
      attention.add(packed.attention_forward, share);
      backward.add(packed.attention_backward.whole, share);
      weight.add(packed.attention_backward.weight, share);
      estimate.low_backward += packed.attention_backward.whole.gpu_time().s() * share;
      estimate.low_host += packed.attention_backward.whole.host().s() * share;
    }
    forward.add(attention);
    for (const Segment* s : {&t.before_forward, &t.after_forward}) host_feed_forward += s->host().s();
    estimate.low_host += attention.host + host_feed_forward;
    const double host_forward = attention.host + host_feed_forward;
    for (const BackwardSegment* s : {&t.before_backward, &t.after_backward}) {
      estimate.low_host += s->whole.host().s();
      backward.add(s->whole);
      weight.add(s->weight);
    }
    estimate.forward = forward.time();
    estimate.backward = backward.time();
    estimate.weight = weight.time();
    const double low_feed_forward = sum_gpu({&t.before_forward, &t.after_forward}) + low_routed;
    estimate.low_forward = attention.gpu + low_feed_forward;
    estimate.low_backward += sum_gpu({&t.before_backward.whole, &t.after_backward.whole});
    if (plan_.recompute.mode == RecomputeMode::kFull) {
      estimate.backward += estimate.forward;
      estimate.low_backward += estimate.low_forward;
      estimate.low_host += host_forward;
    }
    if (t.is_moe && recomputes(RecomputeModule::kMoe)) {
      estimate.backward += feed_forward.time();
      estimate.low_backward += low_feed_forward;
      estimate.low_host += host_feed_forward;
    }
    return estimate;
  }

  LayerEstimate end(bool last) const {
    const ChunkEnds ends = model_.ends(!last, last);
    const Segment* forward = last ? ends.last_forward : ends.first_forward;
    const BackwardSegment* backward = last ? ends.last_backward : ends.first_backward;
    return {forward->time().s(),
            backward->whole.time().s(),
            backward->weight.time().s(),
            forward->gpu_time().s(),
            backward->whole.gpu_time().s(),
            forward->host().s() + backward->whole.host().s()};
  }

 private:
  bool recomputes(RecomputeModule module) const {
    return plan_.recompute.mode == RecomputeMode::kSelective && plan_.recompute.has(module);
  }

  const PlanSpec& plan_;
  StageModel model_;
  std::vector<std::pair<std::int64_t, double>> documents_;
  const RoutedTimes* routed_ = nullptr;
  const RoutedFloor* floor_ = nullptr;
};

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

}  // namespace

const VariantCosts& variant_costs(const Job& job, const PlanSpec& plan, const std::vector<LayerKind>& kinds,
                                  CostCache& cache) {
  const std::int64_t placement = placement_digest(job, plan);
  return cache.variant(variant_key(job, plan, placement), [&] {
    const auto sharing = make_sharing({SharingMode::kBound, 0});
    const CommNetwork network(job.cluster, job.profile, *sharing);
    VariantBuilder builder(job, plan, network, placement, cache);
    VariantCosts costs;
    for (const LayerKind& kind : kinds) costs.layers.push_back(builder.layer(kind));
    costs.first = builder.end(false);
    costs.last = builder.end(true);
    costs.transfer = transfer_time(job, plan, network, cache);
    costs.stages_alike = stage_signature(job.cluster, stage_ranks(plan.layout, 0), 0).front() >= 0;
    return costs;
  });
}

}  // namespace moeplan::sim
