#include "sim/schedule/estimate_routed.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/files.h"
#include "sim/schedule/load_sample.h"
#include "sim/schedule/moe_times.h"
#include "sim/schedule/shared_experts.h"
#include "sim/schedule/stage_model.h"
#include "sim/schedule/tile_fused.h"

namespace moeplan::sim {

namespace {

enum KeyKind : std::int64_t { kRoutedKey = 20, kFloorKey };

CacheKey routed_key(const Job& job, const PlanSpec& plan, KeyKind kind, std::int64_t placement) {
  const ParallelLayout& l = plan.layout;
  CacheKey key{kind,
               rank_tokens(plan, job.run).routed,
               l.ep,
               l.etp,
               static_cast<int>(plan.dispatcher),
               plan.dispatcher_sms,
               plan.chunk_degree,
               plan.backward_chunks(),
               plan.overlap.shared_experts,
               plan.overlap.tile_fused,
               static_cast<std::int64_t>(job.run.gate),
               placement};
  // Shared experts beside the all-to-alls bring their own recomputation and TP traffic.
  if (plan.overlap.shared_experts) {
    key.insert(key.end(), {l.tp, l.cp, l.sequence_parallel, plan.micro_batch, l.ranks_per_stage()});
    key.push_back(plan.recompute.mode == RecomputeMode::kSelective &&
                  plan.recompute.has(RecomputeModule::kSharedExperts));
  }
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

/// Weight gradients of the rank whose experts take longest.
PassTime slowest_weights(const MoeTimes& moe) {
  const auto slowest =
      std::max_element(moe.experts_backward.begin(), moe.experts_backward.end(),
                       [](const Segment& a, const Segment& b) { return a.gpu_time() < b.gpu_time(); });
  const Segment weight = BackwardSegment(*slowest).weight;
  return {weight.gpu_time().s() * moe.backward_pieces, weight.host().s() * moe.backward_pieces};
}

/// The first EP group of the first stage, with a pass of `routing` through it.
struct RoutedGroup {
  StageRanks ranks;
  MoeTraffic traffic;
  AllToAllTimes times;
};

RoutedGroup route_group(const Job& job, const PlanSpec& plan, const StageModel& model,
                        const CommNetwork& network, int row, std::span<const std::int32_t> slots) {
  RoutedGroup group;
  group.ranks = model.ranks();
  const int size = plan.layout.ep * plan.layout.etp;
  group.ranks.ranks.resize(static_cast<std::size_t>(size));
  const std::int64_t tokens = model.kernels().tokens().routed;
  RoutingMatrix routing = mean_routing(job, row, size, tokens);
  if (job.run.gate == GatePolicy::kCapacity)
    apply_capacity(routing, job.run.capacity_factor, tokens, job.model.top_k);
  group.traffic = map_to_ranks(routing, plan.layout, slots);
  if (size > 1) {
    group.times = solve_all_to_alls(network, group.ranks, group.traffic,
                                    make_exchange(plan, job.model, model.kernels()));
  }
  return group;
}

RoutedTimes time_routed(const PlanSpec& plan, const LayerKernels& kernels, const RoutedGroup& group) {
  MoeTimes moe =
      build_moe_times(kernels, group.traffic, group.times, plan.chunk_degree, plan.backward_chunks());
  if (plan.overlap.shared_experts) add_shared_experts(kernels, moe);
  if (plan.overlap.tile_fused && plan.layout.ep > 1) {
    fuse_tiles(kernels, group.traffic, moe);
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

/// The plan with nothing recomputed but what the routed part asks for.
PlanSpec with_activations_again(const PlanSpec& plan, bool again) {
  PlanSpec changed = plan;
  const bool shared =
      plan.recompute.mode == RecomputeMode::kSelective && plan.recompute.has(RecomputeModule::kSharedExperts);
  changed.recompute = {};
  if (shared) changed.recompute.modules.push_back(RecomputeModule::kSharedExperts);
  if (again) changed.recompute.modules.push_back(RecomputeModule::kMoeAct);
  if (!changed.recompute.modules.empty()) changed.recompute.mode = RecomputeMode::kSelective;
  return changed;
}

void add(const RoutedTimes& times, double share, RoutedTimes& sum) {
  sum.forward.add(times.forward, share);
  sum.backward.add(times.backward, share);
  sum.weight.add(times.weight, share);
}

RoutedCosts compute_routed(const Job& job, const PlanSpec& plan, CostCache& cache) {
  const auto sharing = make_sharing({SharingMode::kBound, 0});
  const CommNetwork network(job.cluster, job.profile, *sharing);
  const PlanSpec plain = with_activations_again(plan, false), again = with_activations_again(plan, true);
  const StageModel model(job, plain, network, 0, false, &cache);
  const StageModel model_again(job, again, network, 0, false, &cache);
  const std::vector<int> rows = has_real_routing(job) ? estimate_rows(job) : std::vector<int>{-1};
  const double share = 1.0 / static_cast<double>(rows.size());
  RoutedCosts costs;
  for (const int row : rows) {
    const RoutedGroup group = route_group(job, plain, model, network, row,
                                          row < 0 ? std::span<const std::int32_t>() : row_slots(plan, row));
    add(time_routed(plain, model.kernels(), group), share, costs.plain);
    add(time_routed(again, model_again.kernels(), group), share, costs.again);
  }
  return costs;
}

double fastest(const std::vector<Segment>& segments) {
  double least = std::numeric_limits<double>::infinity();
  for (const Segment& segment : segments) least = std::min(least, segment.gpu_time().s());
  return segments.empty() ? 0.0 : least;
}

RoutedFloor compute_floor(const Job& job, const PlanSpec& full_plan, CostCache& cache) {
  RoutedFloor floor;
  if (job.run.gate == GatePolicy::kCapacity) return floor;
  const auto sharing = make_sharing({SharingMode::kBound, 0});
  const CommNetwork network(job.cluster, job.profile, *sharing);
  PlanSpec plan = with_activations_again(full_plan, false);
  plan.placement = {};
  plan.chunk_degree = 1;
  plan.chunk_degree_backward = 0;
  plan.overlap = {};
  const StageModel model(job, plan, network, 0, false, &cache);
  const RoutedGroup group = route_group(job, plan, model, network, -1, {});
  const MoeTimes moe = build_moe_times(model.kernels(), group.traffic, group.times, 1);
  const auto host = [](const std::vector<Segment>& segments) {
    double least = std::numeric_limits<double>::infinity();
    for (const Segment& segment : segments) least = std::min(least, segment.host().s());
    return segments.empty() ? 0.0 : least;
  };
  floor.host_forward = host(moe.experts);
  floor.host_backward = host(moe.experts_backward);
  // All rows of the mean rank for one of its experts.
  const auto size = static_cast<std::int64_t>(group.ranks.ranks.size());
  std::vector<std::int64_t> one(static_cast<std::size_t>(group.traffic.slots_per_rank), 0);
  one.front() = model.kernels().tokens().routed * job.model.top_k * size / plan.layout.ep;
  floor.experts_forward = std::min(fastest(moe.experts), model.kernels().experts_forward(one).gpu_time().s());
  floor.experts_backward =
      std::min(fastest(moe.experts_backward), model.kernels().experts_backward(one).gpu_time().s());
  if (removes_duplicates(plan.dispatcher)) return floor;
  floor.exchange_forward = fastest(moe.dispatch) + fastest(moe.combine);
  floor.exchange_backward = fastest(moe.combine_gradient) + fastest(moe.dispatch_gradient);
  return floor;
}

}  // namespace

std::vector<int> estimate_rows(const Job& job) {
  const int have = job.loads.moe_layers();
  const int want = std::min(have, kEstimateLayers);
  std::vector<int> rows;
  for (int i = 0; i < want; ++i) rows.push_back(static_cast<int>((2LL * i + 1) * have / (2LL * want)));
  return rows;
}

std::int64_t placement_digest(const Job& job, const PlanSpec& plan) {
  if (!job.model.is_moe() || plan.placement.is_contiguous() || !has_real_routing(job)) return 0;
  base::Digest digest;
  for (const int row : estimate_rows(job)) {
    const std::span<const std::int32_t> slots = row_slots(plan, row);
    digest.add({reinterpret_cast<const char*>(slots.data()), slots.size_bytes()});
  }
  return static_cast<std::int64_t>(digest.value());
}

const RoutedCosts& estimate_routed(const Job& job, const PlanSpec& plan, std::int64_t placement,
                                   CostCache& cache) {
  return cache.routed_costs(routed_key(job, plan, kRoutedKey, placement),
                            [&] { return compute_routed(job, plan, cache); });
}

const RoutedFloor& estimate_routed_floor(const Job& job, const PlanSpec& plan, CostCache& cache) {
  return cache.routed_floor(routed_key(job, plan, kFloorKey, 0),
                            [&] { return compute_floor(job, plan, cache); });
}

}  // namespace moeplan::sim
