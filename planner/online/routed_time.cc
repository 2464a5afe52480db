#include "planner/online/routed_time.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "base/check.h"
#include "sim/schedule/chunk_map.h"
#include "sim/schedule/load_sample.h"
#include "sim/schedule/moe_traffic.h"
#include "sim/schedule/stage_model.h"

namespace moeplan::planner {

namespace {

using base::Seconds;

sim::PlanSpec without_placement(sim::PlanSpec plan) {
  plan.placement = {};
  return plan;
}

bool recomputes_experts(const sim::PlanSpec& plan) {
  return plan.recompute.mode == sim::RecomputeMode::kFull || plan.recompute.has(sim::RecomputeModule::kMoe);
}

/// Whole tokens that shares ask for: rounded along their running sum, so that they sum to tokens x top_k.
sim::RoutingMatrix spread_evenly(std::span<const double> share, const sim::RoutingShape& shape, int top_k) {
  const auto experts = share.size();
  std::vector<std::int32_t> row(experts);
  const double copies = static_cast<double>(shape.tokens) * top_k;
  double sum = 0;
  std::int64_t before = 0;
  for (std::size_t e = 0; e < experts; ++e) {
    sum += share[e] * copies;
    const std::int64_t now = std::llround(sum);
    row[e] = static_cast<std::int32_t>(std::min(now - before, shape.tokens));
    before = now;
  }
  sim::RoutingMatrix routing{shape.sources, static_cast<int>(experts), {}};
  for (int s = 0; s < shape.sources; ++s) routing.tokens.insert(routing.tokens.end(), row.begin(), row.end());
  return routing;
}

}  // namespace

std::vector<int> stages_of_layers(const sim::ModelSpec& model, const sim::PlanSpec& plan) {
  const sim::ChunkMap map(plan);
  const auto chunks = sim::place_layers(model, plan);
  std::vector<int> stages;
  for (int c = 0; c < map.route_length(); ++c) {
    for (const sim::PlacedLayer& layer : chunks[static_cast<std::size_t>(c)]) {
      if (layer.moe_index >= 0) stages.push_back(map.stage(c));
    }
  }
  return stages;
}

std::string RoutedTime::find_refusal(const sim::Job& job, const sim::PlanSpec& plan) {
  if (!job.model.is_moe()) return fmt::format("model {} has no experts to place", job.model.name);
  if (!sim::has_real_routing(job))
    return fmt::format("run {} balances its router by force: there is no load to follow", job.run.name);
  if (plan.layout.etp > 1)
    return fmt::format("etp {}: experts cut by tensor parallelism are not modelled here", plan.layout.etp);
  if (plan.chunk_degree > 1)
    return fmt::format("chunk_degree {}: overlap of token chunks is not modelled here", plan.chunk_degree);
  if (sim::overlaps_passes(plan.schedule()))
    return fmt::format("schedule {}: overlap of passes is not modelled here", sim::name(plan.schedule()));
  return "";
}

RoutedTime::RoutedTime(const sim::Job& job, const sim::PlanSpec& plan, sim::NetworkMode network)
    : job_(job),
      plan_(without_placement(plan)),
      model_(job_, plan_, network),
      shape_(sim::routing_shape(job_, plan_)),
      stage_of_(stages_of_layers(job.model, plan_)),
      micro_batches_(shape_.micro_batches) {
  const std::unique_ptr<sim::ExpertLoads> even =
      sim::make_uniform_loads(job.model.moe_layers(), job.model.experts, job.model.top_k);
  const sim::Job balanced{job.cluster, job.profile, job.model, job.run, *even};
  sim::SimulateOptions options;
  options.network = network;
  options.max_iterations = 1;
  options.what_if = false;
  const Seconds step = sim::simulate_step(balanced, plan_, options).result.step_time;
  Slots contiguous(static_cast<std::size_t>(job.model.experts));
  std::iota(contiguous.begin(), contiguous.end(), 0);
  const Seconds one = time(
      sim::balanced_routing(shape_.sources, shape_.tokens, job.model.experts, job.model.top_k), contiguous);
  rest_ = std::max(Seconds(), step - routed(std::vector<Seconds>(stage_of_.size(), one)));
}

Seconds RoutedTime::time(sim::RoutingMatrix routing, const Slots& slots) const {
  if (job_.run.gate == sim::GatePolicy::kCapacity)
    sim::apply_capacity(routing, job_.run.capacity_factor, shape_.tokens, job_.model.top_k);
  const LayerTime time = model_.time(sim::map_to_ranks(routing, plan_.layout, slots));
  const double again = recomputes_experts(plan_) ? time.dispatch + time.experts + time.combine : 0.0;
  return Seconds::of(time.total() + again);
}

Seconds RoutedTime::layer(int iteration, int layer, const Slots& slots) const {
  return time(job_.loads.routing(iteration, layer, 0, shape_), slots);
}

Seconds RoutedTime::layer(std::span<const double> share, const Slots& slots) const {
  return time(spread_evenly(share, shape_, job_.model.top_k), slots);
}

Seconds RoutedTime::routed(std::span<const Seconds> layers) const {
  MOEPLAN_CHECK(layers.size() == stage_of_.size(), "one time for every MoE layer");
  std::vector<Seconds> stage(static_cast<std::size_t>(plan_.layout.pp));
  Seconds sum;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    stage[static_cast<std::size_t>(stage_of_[l])] += layers[l];
    sum += layers[l];
  }
  return sum + *std::max_element(stage.begin(), stage.end()) * static_cast<double>(micro_batches_ - 1);
}

}  // namespace moeplan::planner
