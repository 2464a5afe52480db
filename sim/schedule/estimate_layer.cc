#include "sim/schedule/estimate_layer.h"

#include <algorithm>
#include <cmath>

#include "base/files.h"
#include "sim/schedule/load_sample.h"
#include "sim/schedule/packing.h"
#include "sim/schedule/shared_experts.h"
#include "sim/schedule/tile_fused.h"

namespace moeplan::sim {

namespace {

enum KeyKind : std::int64_t { kLayerKey = 2, kEndKey = 3, kDocumentKey = 4 };

CacheKey layout_key(const Job& job, const PlanSpec& plan, KeyKind kind) {
  const ParallelLayout& l = plan.layout;
  CacheKey key{kind,
               l.tp,
               l.cp,
               l.ep,
               l.etp,
               l.sequence_parallel,
               l.ranks_per_stage(),
               plan.micro_batch,
               static_cast<int>(plan.recompute.mode),
               static_cast<int>(plan.dispatcher),
               plan.dispatcher_sms,
               plan.chunk_degree,
               static_cast<int>(plan.cp_comm()),
               plan.cp_a2a_size,
               plan.backward_chunks(),
               plan.overlap.shared_experts,
               plan.overlap.tile_fused};
  for (const RecomputeModule module : plan.recompute.modules) key.push_back(1 + static_cast<int>(module));
  key.push_back(static_cast<std::int64_t>(job.run.gate));
  return key;
}

std::span<const std::int32_t> row_slots(const PlanSpec& plan, int row) {
  const auto& rows = plan.placement.slots;
  const auto r = static_cast<std::size_t>(row);
  return r < rows.size() ? std::span<const std::int32_t>(rows[r]) : std::span<const std::int32_t>();
}

/// Every source sends each expert its mean share; the surplus of rounding goes to the first experts.
RoutingMatrix mean_routing(const Job& job, int row, int sources, std::int64_t tokens) {
  if (row < 0) return balanced_routing(sources, tokens, job.model.experts, job.model.top_k);
  const std::span<const double> share = job.loads.mean_share(job.loads.iterations() / 2, row);
  RoutingMatrix routing{sources, static_cast<int>(share.size()), {}};
  for (int s = 0; s < sources; ++s) {
    for (const double p : share) {
      routing.tokens.push_back(
          static_cast<std::int32_t>(std::llround(p * static_cast<double>(tokens * job.model.top_k))));
    }
  }
  return routing;
}

double slowest(const std::vector<Segment>& segments) {
  double most = 0;
  for (const Segment& segment : segments) most = std::max(most, segment.gpu_time().s());
  return most;
}

/// Of the rank whose host has most to do.
double most_host(const std::vector<Segment>& segments, int pieces) {
  double most = 0;
  for (const Segment& segment : segments) most = std::max(most, segment.host().s());
  return most * pieces;
}

/// A pass through a layer: the GPU's time, or the host's where that is longer, since the host runs ahead over
/// the segments of a pass.
struct PassTime {
  double gpu = 0, host = 0;
  void add(const Segment& segment, double share = 1.0) {
    gpu += segment.gpu_time().s() * share;
    host += segment.host().s() * share;
  }
  double time() const { return std::max(gpu, host); }
};

/// Dispatch, work and combine in n pieces; the dispatches come first on the communication stream.
double pipelined(double in, double work, double out, int pieces) {
  double arrived = 0;
  double worked = 0;
  double returned = in * pieces;  // the combines queue up behind the dispatches
  for (int i = 0; i < pieces; ++i) {
    arrived += in;
    worked = std::max(worked, arrived) + work;
    returned = std::max(returned, worked) + out;
  }
  return returned;
}

/// Of experts fused with their all-to-alls (tile_fused.h).
double fused(const FusedWay& way) {
  const double in = slowest(way.first_in) + std::max(slowest(way.rest_in), slowest(way.most_work));
  const double out = slowest(way.first_work) + std::max(slowest(way.rest_work), slowest(way.most_out));
  return in + slowest(way.last_work) + out + std::max(slowest(way.last_out), slowest(way.weights));
}

struct RoutedTimes {
  PassTime forward, backward, weight;
};

/// Weight gradients of the rank whose experts take longest.
PassTime slowest_weights(const MoeTimes& moe) {
  const auto slowest =
      std::max_element(moe.experts_backward.begin(), moe.experts_backward.end(),
                       [](const Segment& a, const Segment& b) { return a.gpu_time() < b.gpu_time(); });
  const Segment weight = BackwardSegment(*slowest).weight;
  return {weight.gpu_time().s() * moe.backward_pieces, weight.host().s() * moe.backward_pieces};
}

RoutedTimes estimate_routed(const Job& job, const PlanSpec& plan, const StageModel& model,
                            const CommNetwork& network, int row) {
  StageRanks group = model.ranks();
  const int group_size = plan.layout.ep * plan.layout.etp;
  group.ranks.resize(static_cast<std::size_t>(group_size));
  const std::int64_t tokens = model.kernels().tokens().routed;
  RoutingMatrix routing = mean_routing(job, row, group_size, tokens);
  if (job.run.gate == GatePolicy::kCapacity)
    apply_capacity(routing, job.run.capacity_factor, tokens, job.model.top_k);
  const MoeTraffic traffic =
      map_to_ranks(routing, plan.layout, row < 0 ? std::span<const std::int32_t>() : row_slots(plan, row));
  AllToAllTimes times;
  if (group_size > 1) {
    times = solve_all_to_alls(network, group, traffic, make_exchange(plan, job.model, model.kernels()));
  }
  MoeTimes moe = build_moe_times(model.kernels(), traffic, times, plan.chunk_degree, plan.backward_chunks());
  if (plan.overlap.shared_experts) add_shared_experts(model.kernels(), moe);
  if (plan.overlap.tile_fused && plan.layout.ep > 1) {
    fuse_tiles(model.kernels(), traffic, moe);
    return {{fused(moe.fused_forward), most_host(moe.experts, moe.pieces)},
            {fused(moe.fused_backward), most_host(moe.experts_backward, moe.backward_pieces)},
            slowest_weights(moe)};
  }
  // Shared experts beside an all-to-all: what comes next waits for the longer of the two.
  const auto both = [](const std::vector<Segment>& exchange, const std::vector<Segment>& shared) {
    return std::max(slowest(exchange), slowest(shared));
  };
  return {{pipelined(both(moe.dispatch, moe.shared_up), slowest(moe.experts),
                     both(moe.combine, moe.shared_down), moe.pieces),
           most_host(moe.experts, moe.pieces)},
          {pipelined(both(moe.combine_gradient, moe.shared_down_backward), slowest(moe.experts_backward),
                     both(moe.dispatch_gradient, moe.shared_up_backward), moe.backward_pieces),
           most_host(moe.experts_backward, moe.backward_pieces)},
          slowest_weights(moe)};
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

LayerEstimate compute_layer(const Job& job, const PlanSpec& plan, const PlacedLayer& layer,
                            CostCache& cache) {
  const auto sharing = make_sharing({SharingMode::kBound, 0});
  const CommNetwork network(job.cluster, job.profile, *sharing);
  StageModel model(job, plan, network, 0, false);
  const LayerTemplate& t = model.layer(layer);
  LayerEstimate estimate;
  RoutedTimes routed;
  if (t.is_moe) {
    const std::vector<int> rows = has_real_routing(job) ? estimate_rows(job) : std::vector<int>{-1};
    for (const int row : rows) {
      const RoutedTimes one = estimate_routed(job, plan, model, network, row);
      const double share = 1.0 / static_cast<double>(rows.size());
      for (const auto pass : {&RoutedTimes::forward, &RoutedTimes::backward, &RoutedTimes::weight}) {
        (routed.*pass).gpu += (one.*pass).gpu * share;
        (routed.*pass).host += (one.*pass).host * share;
      }
    }
  }
  PassTime feed_forward = routed.forward, forward, backward = routed.backward, weight = routed.weight;
  for (const Segment* s : {&t.before_forward, &t.after_forward}) feed_forward.add(*s);
  forward = feed_forward;
  for (const auto& [document, share] : mean_documents(job, cache)) {
    const LayerTemplate& packed = model.layer(layer, document);
    forward.add(packed.attention_forward, share);
    backward.add(packed.attention_backward.whole, share);
    weight.add(packed.attention_backward.weight, share);
  }
  for (const BackwardSegment* s : {&t.before_backward, &t.after_backward}) {
    backward.add(s->whole);
    weight.add(s->weight);
  }
  estimate.forward = forward.time();
  estimate.backward = backward.time();
  estimate.weight = weight.time();
  if (plan.recompute.mode == RecomputeMode::kFull) estimate.backward += estimate.forward;
  if (t.is_moe && plan.recompute.mode == RecomputeMode::kSelective &&
      plan.recompute.has(RecomputeModule::kMoe)) {
    estimate.backward += feed_forward.time();
  }
  return estimate;
}

}  // namespace

std::vector<int> estimate_rows(const Job& job) {
  const int have = job.loads.moe_layers();
  const int want = std::min(have, kEstimateLayers);
  std::vector<int> rows;
  for (int i = 0; i < want; ++i) rows.push_back(static_cast<int>((2LL * i + 1) * have / (2LL * want)));
  return rows;
}

LayerEstimate estimate_layer(const Job& job, const PlanSpec& plan, const PlacedLayer& layer,
                             CostCache& cache) {
  CacheKey key = layout_key(job, plan, kLayerKey);
  key.insert(key.end(), {static_cast<int>(layer.spec.mixer), static_cast<int>(layer.spec.ffn),
                         layer.spec.window, layer.is_mtp});
  if (layer.moe_index >= 0 && !plan.placement.is_contiguous() && has_real_routing(job)) {
    base::Digest digest;
    for (const int row : estimate_rows(job)) {
      const std::span<const std::int32_t> slots = row_slots(plan, row);
      digest.add({reinterpret_cast<const char*>(slots.data()), slots.size_bytes()});
    }
    key.push_back(static_cast<std::int64_t>(digest.value()));
  }
  return cache.layer_estimate(key, [&] { return compute_layer(job, plan, layer, cache); });
}

LayerEstimate estimate_end(const Job& job, const PlanSpec& plan, bool last, CostCache& cache) {
  CacheKey key = layout_key(job, plan, kEndKey);
  key.push_back(last);
  return cache.layer_estimate(key, [&] {
    const auto sharing = make_sharing({SharingMode::kBound, 0});
    const CommNetwork network(job.cluster, job.profile, *sharing);
    const StageModel model(job, plan, network, 0, false);
    const ChunkEnds ends = model.ends(!last, last);
    const Segment* forward = last ? ends.last_forward : ends.first_forward;
    const BackwardSegment* backward = last ? ends.last_backward : ends.first_backward;
    return LayerEstimate{forward->time().s(), backward->whole.time().s(), backward->weight.time().s()};
  });
}

}  // namespace moeplan::sim
