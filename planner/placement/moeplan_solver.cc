#include "planner/placement/moeplan_solver.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "planner/placement/eplb.h"
#include "planner/placement/exact.h"
#include "planner/placement/local_search.h"
#include "planner/placement/lower_bound.h"
#include "planner/placement/placement.h"
#include "planner/placement/replicas.h"
#include "planner/placement/snake.h"

namespace moeplan::planner {

namespace {

constexpr double kRounding = 1e-9;
constexpr double kCloseEnough = 1e-4;  ///< above the bound: the search goes on
constexpr double kExchangeGap = 1e-4;  ///< above the bound: the exchange goes on
/// Above the bound, of one iteration: replica counts are worth changing. Loads are not known better than
/// that.
constexpr double kGoodEnough = 2e-3;
constexpr std::size_t kSmallSlots = 64;

double largest_load(const PackedGpus& gpus) { return *std::max_element(gpus.load.begin(), gpus.load.end()); }

/// A legal layer whose slots may hold an expert twice on a GPU -> the same without.
PackedGpus pack_without_duplicates(const Slots& slots, std::span<const double> load, const SlotShape& shape) {
  const auto gpus = static_cast<std::size_t>(shape.gpus);
  const auto per_gpu = static_cast<std::size_t>(shape.slots_per_gpu);
  std::vector<int> count(load.size(), 0);
  for (const std::int32_t e : slots) ++count[static_cast<std::size_t>(e)];
  std::vector<std::int32_t> held(slots.begin(), slots.end());
  const auto has = [&](std::size_t gpu, std::int32_t expert) {
    return std::find(held.begin() + static_cast<std::ptrdiff_t>(gpu * per_gpu),
                     held.begin() + static_cast<std::ptrdiff_t>((gpu + 1) * per_gpu),
                     expert) != held.begin() + static_cast<std::ptrdiff_t>((gpu + 1) * per_gpu);
  };
  const auto weight = [&](std::size_t slot) {
    const auto e = static_cast<std::size_t>(held[slot]);
    return load[e] / count[e];
  };
  for (std::size_t s = 1; s < held.size(); ++s) {  // sorted on each GPU: a duplicate follows its like
    if (s % per_gpu == 0) continue;
    const std::size_t gpu = s / per_gpu;
    if (std::count(held.begin() + static_cast<std::ptrdiff_t>(gpu * per_gpu),
                   held.begin() + static_cast<std::ptrdiff_t>((gpu + 1) * per_gpu), held[s]) < 2)
      continue;
    std::size_t partner = held.size();
    for (std::size_t other = 0; other < held.size(); ++other) {
      const std::size_t g = other / per_gpu;
      if (g == gpu || has(g, held[s]) || has(gpu, held[other])) continue;
      if (partner == held.size() ||
          std::abs(weight(other) - weight(s)) < std::abs(weight(partner) - weight(s)))
        partner = other;
    }
    if (partner < held.size()) std::swap(held[s], held[partner]);
  }
  PackedGpus packed{shape.slots_per_gpu, std::vector<Replica>(held.size()), std::vector<double>(gpus, 0.0)};
  for (std::size_t s = 0; s < held.size(); ++s) {
    packed.held[s] = {weight(s), held[s]};
    packed.load[s / per_gpu] += weight(s);
  }
  for (std::size_t g = 0; g < gpus; ++g) {
    const std::span<Replica> gpu = packed.gpu(g);
    std::sort(gpu.begin(), gpu.end(), [](const Replica& a, const Replica& b) {
      return a.load > b.load || (a.load == b.load && a.expert < b.expert);
    });
  }
  return packed;
}

bool has_duplicates(const PackedGpus& gpus) {
  for (std::size_t g = 0; g < gpus.load.size(); ++g) {
    std::vector<std::int32_t> held;
    for (const Replica& r : gpus.gpu(g)) held.push_back(r.expert);
    std::sort(held.begin(), held.end());
    if (std::adjacent_find(held.begin(), held.end()) != held.end()) return true;
  }
  return false;
}

/// At most `most` iterations of a layer, spread evenly, with its mean.
struct Sample {
  std::vector<double> load;
  LayerProblem layer;
};
Sample sample_iterations(const LayerProblem& layer, int most) {
  Sample sample{{}, layer};
  if (layer.iterations <= most) return sample;
  for (int i = 0; i < most; ++i) {
    const std::span<const double> row = layer.at(static_cast<int>(std::int64_t{i} * layer.iterations / most));
    sample.load.insert(sample.load.end(), row.begin(), row.end());
  }
  sample.layer.iterations = most;
  sample.layer.load = sample.load;
  return sample;
}

/// Groups on nodes: [node] -> groups. Heaviest first to the lightest node, then exchanges like those of
/// replicas.
std::vector<std::vector<std::int32_t>> spread_groups(const LayerProblem& layer) {
  const auto groups = static_cast<std::size_t>(layer.shape.groups);
  const std::size_t size = layer.mean.size() / groups;
  std::vector<double> weight(groups, 0.0);
  for (std::size_t e = 0; e < layer.mean.size(); ++e) weight[e / size] += layer.mean[e];
  const std::vector<int> once(groups, 1);
  PackedGpus nodes = deal_out(list_replicas(weight, once), layer.shape.nodes());
  exchange_evenly(nodes, 0.0);
  std::vector<std::vector<std::int32_t>> held(nodes.load.size());
  for (std::size_t n = 0; n < held.size(); ++n) {
    for (const Replica& r : nodes.gpu(n)) held[n].push_back(r.expert);
    std::sort(held[n].begin(), held[n].end());
  }
  return held;
}

class MoeplanSolver : public PlacementSolver {
 public:
  explicit MoeplanSolver(const MoeplanEffort& effort) : effort_(effort) {}
  std::string_view name() const override { return "moeplan"; }

  Slots solve(const LayerProblem& layer) const override {
    if (layer.shape.groups > 1 && layer.shape.nodes() > 1) return solve_by_node(layer);
    if (layer.shape.slots_per_gpu >= layer.experts) return fill_every_gpu(layer.shape, layer.experts);
    if (layer.shape.gpus == 1) return fill_every_gpu(layer.shape, layer.experts);
    return solve_free(layer);
  }

 private:
  Slots solve_by_node(const LayerProblem& layer) const {
    Slots slots;
    const std::size_t size = layer.mean.size() / static_cast<std::size_t>(layer.shape.groups);
    for (const std::vector<std::int32_t>& groups : spread_groups(layer)) {
      std::vector<std::int32_t> experts;
      for (const std::int32_t g : groups) {
        for (std::size_t e = 0; e < size; ++e)
          experts.push_back(static_cast<std::int32_t>(static_cast<std::size_t>(g) * size + e));
      }
      PlacementProblem node{
          {layer.shape.gpus_per_node, layer.shape.gpus_per_node, layer.shape.slots_per_gpu, 1},
          1,
          static_cast<int>(experts.size()),
          layer.iterations,
          {},
          {}};
      for (int i = 0; i < layer.iterations; ++i) {
        for (const std::int32_t e : experts) node.load.push_back(layer.at(i)[static_cast<std::size_t>(e)]);
      }
      node.fill_means();
      for (const std::int32_t e : solve(node.layer(0))) slots.push_back(experts[static_cast<std::size_t>(e)]);
    }
    return slots;
  }

  Slots solve_free(const LayerProblem& layer) const {
    const SlotShape& shape = layer.shape;
    const double total = std::accumulate(layer.mean.begin(), layer.mean.end(), 0.0);
    const std::vector<int> replicas = count_replicas(layer.mean, shape.slots(), shape.gpus);
    double floor = total / shape.gpus;
    for (std::size_t e = 0; e < replicas.size(); ++e) floor = std::max(floor, layer.mean[e] / replicas[e]);
    PackedGpus best = deal_out(list_replicas(layer.mean, replicas), shape.gpus);
    exchange_evenly(best, floor * (1 + kExchangeGap));
    if (floor > total / shape.gpus * (1 + kGoodEnough)) exchange_all(best, kExchangeGap);
    if (largest_load(best) > floor * (1 + kRounding)) {
      const Slots slots = make_eplb(true)->solve(layer);
      const std::vector<double> load = rank_loads(layer.mean, slots, shape.gpus);
      if (*std::max_element(load.begin(), load.end()) < largest_load(best)) {
        PackedGpus other = pack_without_duplicates(slots, layer.mean, shape);
        exchange_evenly(other, floor * (1 + kExchangeGap));
        if (largest_load(other) < largest_load(best) && !has_duplicates(other)) best = std::move(other);
      }
    }
    if (layer.iterations == 1 && largest_load(best) <= floor * (1 + kGoodEnough)) return best.slots();
    return search(layer, best.slots());
  }

  Slots search(const LayerProblem& layer, const Slots& start) const {
    const Sample sample = sample_iterations(layer, effort_.max_iterations);
    const double target = lower_bound(sample.layer) * (1 + kCloseEnough);
    PlacementSearch search(sample.layer, start);
    search.descend(effort_.max_moves, true, target);
    if (start.size() > kSmallSlots || search.objective() <= target) return search.slots();
    Slots best = search.slots();
    double objective = search.objective();
    std::uint64_t state = 1;
    for (int i = 0; i < effort_.restarts && objective > target; ++i) {
      PlacementSearch again(sample.layer, best);
      again.shake(2 + i % 6, state);
      again.descend(effort_.max_moves, true, target);
      if (again.objective() < objective) {
        objective = again.objective();
        best = again.slots();
      }
    }
    if (objective > target && make_exact()->find_refusal(layer).empty()) {
      best = solve_exactly(sample.layer, best, {kCloseEnough, effort_.max_nodes}).slots;
    }
    return best;
  }

  MoeplanEffort effort_;
};

}  // namespace

std::unique_ptr<PlacementSolver> make_moeplan_solver(const MoeplanEffort& effort) {
  return std::make_unique<MoeplanSolver>(effort);
}

}  // namespace moeplan::planner
