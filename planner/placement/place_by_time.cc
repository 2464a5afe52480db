#include "planner/placement/place_by_time.h"

#include <algorithm>
#include <limits>

#include "base/parallel.h"
#include "planner/placement/node_search.h"

namespace moeplan::planner {

namespace {

constexpr int kPlanSamples = 16;  ///< iterations that a candidate is timed on

sim::RoutingMatrix routing_of(const LayerTimeModel& model, const sim::ExpertLoads& loads, int iteration,
                              int layer, const SlotShape& shape) {
  return loads.routing(iteration, layer, 0, {shape.gpus, model.tokens(), 1});
}

int sampled(IterationRange range, int samples, int i) {
  return range.first + static_cast<int>(std::int64_t{i} * range.size() / samples);
}

/// Share of the layer's load that each node sends to each expert. Shape: [sampled iteration][expert][node]
std::vector<double> node_loads(const LayerTimeModel& model, const sim::ExpertLoads& loads,
                               IterationRange range, int layer, const SlotShape& shape) {
  const int samples = std::min(kPlanSamples, range.size());
  const auto nodes = static_cast<std::size_t>(shape.nodes());
  const std::size_t cells = static_cast<std::size_t>(loads.experts()) * nodes;
  std::vector<double> source(static_cast<std::size_t>(samples) * cells, 0.0);
  for (int i = 0; i < samples; ++i) {
    const sim::RoutingMatrix routing = routing_of(model, loads, sampled(range, samples, i), layer, shape);
    const std::span<double> mine = std::span(source).subspan(static_cast<std::size_t>(i) * cells, cells);
    double total = 0;
    for (int s = 0; s < routing.sources; ++s) {
      const std::span<const std::int32_t> row = routing.row(s);
      for (std::size_t e = 0; e < row.size(); ++e) {
        mine[e * nodes + static_cast<std::size_t>(s / shape.gpus_per_node)] += row[e];
        total += row[e];
      }
    }
    for (double& value : mine) value = total > 0 ? value / total : 0.0;
  }
  return source;
}

/// Costs of the search from one simulated layer: time over the load that took it.
NodeCosts costs_at(const LayerTimeModel& model, const sim::RoutingMatrix& routing, const SlotShape& shape,
                   const Slots& slots) {
  const sim::MoeTraffic traffic = split_tokens(routing, shape, slots, TokenSplit::kLocality);
  const LayerTime time = model.time(traffic);
  const auto gpus = static_cast<std::size_t>(shape.gpus);
  const auto per_node = static_cast<std::size_t>(shape.gpus_per_node);
  std::vector<double> load(gpus, 0.0);
  std::vector<double> crossing(gpus, 0.0);
  double total = 0;
  for (std::size_t from = 0; from < gpus; ++from) {
    for (std::size_t to = 0; to < gpus; ++to) {
      const auto copies = static_cast<double>(traffic.copies[from * gpus + to]);
      total += copies;
      load[to] += copies;
      if (from / per_node != to / per_node) crossing[to] += copies;
    }
  }
  const double most = *std::max_element(load.begin(), load.end());
  const double cross = *std::max_element(crossing.begin(), crossing.end());
  if (total <= 0 || most <= 0) return {};
  return {(time.experts + time.experts_backward) / most * total,
          cross > 0 ? time.communication() / cross * total : 0.0};
}

}  // namespace

double mean_layer_time(const LayerTimeModel& model, const sim::ExpertLoads& loads, IterationRange range,
                       int layer, const SlotShape& shape, const Slots& slots, TokenSplit split, int samples,
                       double limit) {
  const int count = std::min(samples, range.size());
  double sum = 0;
  for (int i = 0; i < count && sum <= limit * count; ++i) {
    const sim::RoutingMatrix routing = routing_of(model, loads, sampled(range, count, i), layer, shape);
    sum += model.time(split_tokens(routing, shape, slots, split)).total();
  }
  return sum / count;
}

TimedPlacement place_by_layer_time(const LayerTimeModel& model, const sim::ExpertLoads& loads,
                                   IterationRange train, const SlotShape& shape, const sim::Placement& start,
                                   const std::vector<const sim::Placement*>& candidates, TokenSplit split,
                                   int threads) {
  TimedPlacement result{{"moeplan", std::vector<Slots>(start.slots.size())}, 0};
  std::vector<int> searched(start.slots.size(), 0);
  const bool search = split == TokenSplit::kLocality && shape.nodes() > 1 && shape.groups == 1 &&
                      shape.slots_per_gpu < loads.experts();
  base::parallel_for(start.slots.size(), threads, [&](std::size_t l) {
    const int layer = static_cast<int>(l);
    Slots best = start.slots[l];
    double shortest = std::numeric_limits<double>::infinity();
    const auto time = [&](const Slots& slots) {
      return mean_layer_time(model, loads, train, layer, shape, slots, split, kPlanSamples, shortest);
    };
    shortest = time(best);
    if (search) {
      const NodeCosts costs =
          costs_at(model, routing_of(model, loads, train.first, layer, shape), shape, best);
      NodeSearch nodes(shape, loads.experts(), node_loads(model, loads, train, layer, shape), costs, best);
      nodes.descend(kNodeValuations);
      const Slots found = nodes.slots();
      const double t = time(found);
      if (t < shortest) {
        shortest = t;
        best = found;
        searched[l] = 1;
      }
    }
    for (const sim::Placement* candidate : candidates) {
      if (candidate->slots[l] == start.slots[l]) continue;
      const double t = time(candidate->slots[l]);
      if (t >= shortest) continue;
      shortest = t;
      best = candidate->slots[l];
      searched[l] = 0;
    }
    result.placement.slots[l] = std::move(best);
  });
  for (const int one : searched) result.searched += one;
  return result;
}

}  // namespace moeplan::planner
