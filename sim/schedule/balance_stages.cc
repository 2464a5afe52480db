#include "sim/schedule/balance_stages.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "sim/schedule/chunk_map.h"
#include "sim/schedule/stage_ranks.h"
#include "sim/schedule/variant_costs.h"

namespace moeplan::sim {

namespace {

/// Largest stage time, then the sum of their squares.
struct Cost {
  double most = std::numeric_limits<double>::infinity();
  double squares = 0;
  int busiest = 0;  ///< stage
  /// Differences of rounding are none.
  friend bool operator<(const Cost& a, const Cost& b) {
    if (a.most < b.most * (1 - 1e-12)) return true;
    return a.most <= b.most * (1 + 1e-12) && a.squares < b.squares * (1 - 1e-12);
  }
};

Cost cost_of(const ChainLoad& load, const std::vector<int>& split) {
  std::vector<double> stage(load.slowness.size(), 0.0);
  std::size_t next = 0;
  for (std::size_t c = 0; c < split.size(); ++c) {
    double sum = load.chunk_extra[c];
    for (int i = 0; i < split[c]; ++i) sum += load.layer[next++];
    stage[static_cast<std::size_t>(load.stage_of_chunk[c])] += sum;
  }
  Cost cost{0, 0, 0};
  for (std::size_t s = 0; s < stage.size(); ++s) {
    const double time = stage[s] * load.slowness[s];
    if (time > cost.most) cost.busiest = static_cast<int>(s);
    cost.most = std::max(cost.most, time);
    cost.squares += time * time;
  }
  return cost;
}

/// Exact for chunks that each count alone: table over (chunks, layers so far), twice: first for the smallest
/// largest chunk, then for the smallest sum of squares that keeps to it.
std::vector<int> split_exactly(const std::vector<double>& layer, const std::vector<double>& extra,
                               const std::vector<double>& slowness) {
  const std::size_t layers = layer.size(), chunks = extra.size();
  const std::size_t least = layers >= chunks ? 1 : 0;
  std::vector<double> before(layers + 1, 0.0);
  for (std::size_t i = 0; i < layers; ++i) before[i + 1] = before[i] + layer[i];
  const auto time = [&](std::size_t c, std::size_t from, std::size_t to) {
    return (extra[c] + before[to] - before[from]) * slowness[c];
  };
  constexpr double kNever = std::numeric_limits<double>::infinity();
  const auto solve = [&](auto combine, double limit, std::vector<std::vector<std::size_t>>& choice) {
    std::vector<double> best(layers + 1, kNever);
    best[0] = 0;
    choice.assign(chunks, std::vector<std::size_t>(layers + 1, 0));
    for (std::size_t c = 0; c < chunks; ++c) {
      std::vector<double> next(layers + 1, kNever);
      for (std::size_t to = 0; to <= layers; ++to) {
        for (std::size_t from = 0; from + least <= to; ++from) {
          if (best[from] == kNever) continue;
          const double t = time(c, from, to);
          if (t > limit) continue;
          const double value = combine(best[from], t);
          if (value < next[to]) {
            next[to] = value;
            choice[c][to] = from;
          }
        }
      }
      best = std::move(next);
    }
    return best[layers];
  };
  std::vector<std::vector<std::size_t>> choice;
  const double most = solve([](double a, double t) { return std::max(a, t); }, kNever, choice);
  solve([](double a, double t) { return a + t * t; }, most * (1 + 1e-12), choice);
  std::vector<int> split(chunks);
  std::size_t to = layers;
  for (std::size_t c = chunks; c-- > 0;) {
    const std::size_t from = choice[c][to];
    split[c] = static_cast<int>(to - from);
    to = from;
  }
  return split;
}

/// Takes a layer off the busiest stage and gives it to another chunk, those between hand one on, while that
/// gains.
void improve(const ChainLoad& load, std::vector<int>& split) {
  const int least = load.layer.size() >= split.size() ? 1 : 0;
  Cost best = cost_of(load, split);
  for (bool gained = true; gained;) {
    gained = false;
    std::vector<int> chosen;
    for (std::size_t from = 0; from < split.size(); ++from) {
      if (split[from] <= least || load.stage_of_chunk[from] != best.busiest) continue;
      for (std::size_t to = 0; to < split.size(); ++to) {
        if (from == to) continue;
        std::vector<int> moved = split;
        --moved[from];
        ++moved[to];
        const Cost cost = cost_of(load, moved);
        if (!(cost < best)) continue;
        best = cost;
        chosen = std::move(moved);
        gained = true;
      }
      if (gained) break;
    }
    if (gained) split = std::move(chosen);
  }
}

}  // namespace

std::vector<int> split_chain(const ChainLoad& load) {
  const std::size_t chunks = load.chunk_extra.size();
  MOEPLAN_CHECK(chunks > 0 && !load.layer.empty() && load.stage_of_chunk.size() == chunks,
                "a chain of layers and chunks");
  std::vector<double> slowness;
  for (const int stage : load.stage_of_chunk)
    slowness.push_back(load.slowness[static_cast<std::size_t>(stage)]);
  std::vector<int> exact = split_exactly(load.layer, load.chunk_extra, slowness);
  if (load.slowness.size() == chunks) return exact;
  std::vector<int> even(chunks, 0);
  for (std::size_t i = 0; i < load.layer.size(); ++i) ++even[i * chunks / load.layer.size()];
  improve(load, exact);
  improve(load, even);
  return cost_of(load, exact) < cost_of(load, even) ? exact : even;
}

StageSplit balance_stages(const Job& job, const PlanSpec& plan, CostCache& cache) {
  const std::vector<LayerKind>& kinds = cache.kinds([&] { return layer_kinds(job.model); });
  const VariantCosts& costs = variant_costs(job, plan, kinds, cache);
  const auto time = [](const LayerEstimate& one) { return one.forward + one.backward; };
  const ChunkMap map(plan);
  ChainLoad load;
  for (const LayerSpec& layer : job.model.layers)
    load.layer.push_back(time(costs.layers[find_kind(kinds, layer, false)]));
  load.chunk_extra.assign(static_cast<std::size_t>(map.route_length()), 0.0);
  load.chunk_extra.front() += time(costs.first);
  load.chunk_extra.back() += time(costs.last);
  for (std::size_t k = 0; k < kinds.size(); ++k) {
    if (kinds[k].is_mtp) load.chunk_extra.back() += job.model.mtp_layers * time(costs.layers[k]);
  }
  load.slowness.assign(static_cast<std::size_t>(plan.layout.pp), 1.0);
  for (int stage = 0; stage < plan.layout.pp && !job.cluster.spec().slow_ranks.empty(); ++stage) {
    double& slowest = load.slowness[static_cast<std::size_t>(stage)];
    for (const base::RankId rank : stage_ranks(plan.layout, stage).ranks)
      slowest = std::max(slowest, job.cluster.slow_factor(rank));
  }
  for (int c = 0; c < map.route_length(); ++c) load.stage_of_chunk.push_back(map.stage(c));
  return {split_chain(load)};
}

}  // namespace moeplan::sim
