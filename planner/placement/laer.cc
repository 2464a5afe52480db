#include "planner/placement/laer.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "base/random.h"
#include "planner/placement/replicas.h"

namespace moeplan::planner {

namespace {

constexpr double kAllToAlls = 4;       ///< dispatch and combine, forward and backward
constexpr double kComputeRounds = 3;   ///< forward and twice as much backward
constexpr std::uint64_t kSeed = 2333;  ///< the original's
constexpr int kChangedCandidates = 2;

std::vector<int> even_replicas(int experts, int slots) {
  std::vector<int> counts(static_cast<std::size_t>(experts), slots / experts);
  for (int e = 0; e < slots % experts; ++e) ++counts[static_cast<std::size_t>(e)];
  return counts;
}

/// Moves a replica between two random experts, where one has two and the other room.
void change_counts(std::vector<int>& counts, int gpus, base::RandomStream& random) {
  const std::size_t from = random.below(counts.size());
  const std::size_t to = random.below(counts.size());
  if (from == to || counts[from] < 2 || counts[to] >= gpus) return;
  --counts[from];
  ++counts[to];
}

/// Heaviest replica first, each to the node with the fewest of its expert, there to the lightest GPU.
Slots lay_out(const LayerProblem& layer, const std::vector<int>& counts) {
  const SlotShape& shape = layer.shape;
  const auto gpus = static_cast<std::size_t>(shape.gpus);
  std::vector<std::vector<std::int32_t>> held(gpus);
  std::vector<double> load(gpus, 0.0);
  std::vector<int> on_node(static_cast<std::size_t>(shape.nodes()) * static_cast<std::size_t>(layer.experts),
                           0);
  for (const Replica& replica : list_replicas(layer.mean, counts)) {
    const auto copies = [&](std::size_t g) -> int& {
      return on_node[g / static_cast<std::size_t>(shape.gpus_per_node) *
                         static_cast<std::size_t>(layer.experts) +
                     static_cast<std::size_t>(replica.expert)];
    };
    std::size_t best = gpus;
    for (std::size_t g = 0; g < gpus; ++g) {
      if (held[g].size() == static_cast<std::size_t>(shape.slots_per_gpu)) continue;
      if (best == gpus || copies(g) < copies(best) || (copies(g) == copies(best) && load[g] < load[best]))
        best = g;
    }
    MOEPLAN_CHECK(best < gpus, "as many slots as replicas");
    held[best].push_back(replica.expert);
    load[best] += replica.load;
    ++copies(best);
  }
  Slots slots;
  for (const auto& gpu : held) slots.insert(slots.end(), gpu.begin(), gpu.end());
  sort_slots_of_gpus(slots, shape.slots_per_gpu);
  return slots;
}

/// Adds what one expert costs: its replicas on GPUs `at` (one entry a slot), tokens from every GPU.
struct Costs {
  std::vector<double> received;
  double seconds_sent = 0;
};

void add_expert(const LayerProblem& layer, const std::vector<int>& at, double tokens, Costs& costs) {
  const SlotShape& shape = layer.shape;
  const double each = tokens / shape.gpus;
  const double bytes = layer.job.token_bytes();
  std::vector<int> on_node(static_cast<std::size_t>(shape.nodes()), 0);
  for (const int g : at) ++on_node[static_cast<std::size_t>(g / shape.gpus_per_node)];
  double remote = 0;  // tokens of nodes without a replica
  for (const int count : on_node) remote += count == 0 ? each * shape.gpus_per_node : 0.0;
  for (const int g : at) {
    const int near = on_node[static_cast<std::size_t>(g / shape.gpus_per_node)];
    const double local = each * shape.gpus_per_node / near;
    costs.received[static_cast<std::size_t>(g)] += local + remote / static_cast<double>(at.size());
    costs.seconds_sent += (local - each / near) * bytes / layer.job.node_bytes_per_s;
  }
  costs.seconds_sent += remote * bytes / layer.job.fabric_bytes_per_s;
}

class Laer : public PlacementSolver {
 public:
  std::string_view name() const override { return "laer"; }
  std::string find_refusal(const LayerProblem& layer) const override {
    return layer.shape.groups > 1 ? "LAER-MoE keeps no group on one node" : "";
  }

  Slots solve(const LayerProblem& layer) const override {
    if (layer.shape.slots_per_gpu >= layer.experts) return fill_every_gpu(layer.shape, layer.experts);
    base::RandomStream random(kSeed, "laer");
    Slots best;
    double least = 0;
    for (const std::vector<int>& start :
         {even_replicas(layer.experts, layer.shape.slots()), laer_replicas(layer.mean, layer.shape)}) {
      for (int change = 0; change <= kChangedCandidates; ++change) {
        std::vector<int> counts = start;
        if (change > 0) change_counts(counts, layer.shape.gpus, random);
        Slots slots = lay_out(layer, counts);
        const double seconds = laer_seconds(layer, slots);
        if (!best.empty() && seconds >= least) continue;
        best = std::move(slots);
        least = seconds;
      }
    }
    return best;
  }

  std::optional<double> own_cost(const LayerProblem& layer, const Slots& slots) const override {
    return laer_seconds(layer, slots);
  }
};

}  // namespace

std::vector<int> laer_replicas(std::span<const double> load, const SlotShape& shape) {
  const int experts = static_cast<int>(load.size());
  const int nodes = shape.nodes();
  std::vector<int> counts(load.size(), experts * nodes <= shape.slots() ? nodes : 1);
  int left = shape.slots() - experts * counts[0];
  while (left > 0) {
    std::size_t most = load.size();
    for (std::size_t e = 0; e < load.size(); ++e) {
      if (counts[e] == shape.gpus) continue;
      if (most == load.size() || load[e] / counts[e] > load[most] / counts[most]) most = e;
    }
    MOEPLAN_CHECK(most < load.size(), "room for one more replica");
    const int step = counts[most] >= nodes ? std::min({nodes, left, shape.gpus - counts[most]}) : 1;
    counts[most] += step;
    left -= step;
  }
  return counts;
}

double laer_seconds(const LayerProblem& layer, const Slots& slots) {
  std::vector<std::vector<int>> at(static_cast<std::size_t>(layer.experts));
  for (std::size_t s = 0; s < slots.size(); ++s)
    at[static_cast<std::size_t>(slots[s])].push_back(static_cast<int>(s) / layer.shape.slots_per_gpu);
  const double total = std::accumulate(layer.mean.begin(), layer.mean.end(), 0.0);
  if (total <= 0) return 0;
  Costs costs{std::vector<double>(static_cast<std::size_t>(layer.shape.gpus), 0.0), 0.0};
  for (std::size_t e = 0; e < at.size(); ++e)
    add_expert(layer, at[e], layer.mean[e] / total * layer.job.assignments * layer.shape.gpus, costs);
  const double busiest = *std::max_element(costs.received.begin(), costs.received.end());
  return kAllToAlls * costs.seconds_sent +
         kComputeRounds * busiest * layer.job.flops() / layer.job.flops_per_s;
}

std::unique_ptr<PlacementSolver> make_laer() { return std::make_unique<Laer>(); }

}  // namespace moeplan::planner
