#include "planner/placement/weighted_split.h"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>
#include <utility>

#include "base/check.h"

namespace moeplan::planner {

namespace {

constexpr double kRounding = 1e-12;  ///< of the total load: less than this is no flow

/// Maximum flow by blocking flows of shortest paths (Dinic, 1970).
class FlowGraph {
 public:
  explicit FlowGraph(std::size_t nodes, double least) : out_(nodes), least_(least) {}

  std::size_t add_edge(std::size_t from, std::size_t to, double capacity) {
    out_[from].push_back(edges_.size());
    edges_.push_back({to, capacity});
    out_[to].push_back(edges_.size());
    edges_.push_back({from, 0.0});
    return edges_.size() - 2;
  }

  /// Afterwards is_reached() tells the source's side of a minimum cut.
  void run(std::size_t source, std::size_t sink) {
    while (find_levels(source, sink)) {
      next_.assign(out_.size(), 0);
      while (push(source, sink, std::numeric_limits<double>::infinity()) > 0) {
      }
    }
  }
  double flow(std::size_t edge) const { return edges_[edge + 1].room; }
  bool is_reached(std::size_t node) const { return level_[node] >= 0; }

 private:
  struct Edge {
    std::size_t to;
    double room;
  };

  bool find_levels(std::size_t source, std::size_t sink) {
    level_.assign(out_.size(), -1);
    level_[source] = 0;
    std::vector<std::size_t> queue = {source};
    for (std::size_t i = 0; i < queue.size(); ++i) {
      for (const std::size_t e : out_[queue[i]]) {
        const Edge& edge = edges_[e];
        if (edge.room <= least_ || level_[edge.to] >= 0) continue;
        level_[edge.to] = level_[queue[i]] + 1;
        queue.push_back(edge.to);
      }
    }
    return level_[sink] >= 0;
  }

  /// One path of the levels; returns what it carried.
  double push(std::size_t node, std::size_t sink, double limit) {
    if (node == sink) return limit;
    for (std::size_t& i = next_[node]; i < out_[node].size(); ++i) {
      const std::size_t e = out_[node][i];
      if (edges_[e].room <= least_ || level_[edges_[e].to] != level_[node] + 1) continue;
      const double carried = push(edges_[e].to, sink, std::min(limit, edges_[e].room));
      if (carried <= 0) continue;
      edges_[e].room -= carried;
      edges_[e ^ 1].room += carried;
      return carried;
    }
    return 0;
  }

  std::vector<std::vector<std::size_t>> out_;
  std::vector<Edge> edges_;  // an edge and its reverse stand side by side
  std::vector<int> level_;
  std::vector<std::size_t> next_;
  double least_;
};

using Places = std::vector<std::map<std::size_t, int>>;  // [expert] GPU -> slots there

/// Flows of every expert to its GPUs under a limit, or the limit that some experts need.
struct Attempt {
  std::vector<std::map<std::size_t, double>> flow;  // [expert] GPU -> load
  double needed = 0;                                // above the limit: it does not hold
};

Attempt attempt(std::span<const double> load, const Places& places, std::size_t gpus, double limit,
                double total) {
  const std::size_t source = load.size() + gpus;
  FlowGraph graph(source + 2, kRounding * total);
  std::vector<std::map<std::size_t, std::size_t>> edge(load.size());
  for (std::size_t e = 0; e < load.size(); ++e) {
    graph.add_edge(source, e, load[e]);
    for (const auto& [g, count] : places[e]) edge[e][g] = graph.add_edge(e, load.size() + g, load[e]);
  }
  for (std::size_t g = 0; g < gpus; ++g) graph.add_edge(load.size() + g, source + 1, limit);
  graph.run(source, source + 1);
  Attempt result;
  result.flow.resize(load.size());
  double crowd = 0;
  std::size_t room = 0;
  for (std::size_t e = 0; e < load.size(); ++e) {
    if (graph.is_reached(e)) crowd += load[e];
    for (const auto& [g, id] : edge[e]) result.flow[e][g] = graph.flow(id);
  }
  for (std::size_t g = 0; g < gpus; ++g) room += graph.is_reached(load.size() + g) ? 1 : 0;
  result.needed = room > 0 ? crowd / static_cast<double>(room) : limit;
  return result;
}

}  // namespace

WeightedSplit split_by_load(std::span<const double> load, const SlotShape& shape, const Slots& slots) {
  const auto gpus = static_cast<std::size_t>(shape.gpus);
  const auto per_gpu = static_cast<std::size_t>(shape.slots_per_gpu);
  MOEPLAN_CHECK(slots.size() == gpus * per_gpu, "as many slots as the shape has");
  Places places(load.size());
  std::vector<int> copies(load.size(), 0);
  for (std::size_t s = 0; s < slots.size(); ++s) {
    ++places[static_cast<std::size_t>(slots[s])][s / per_gpu];
    ++copies[static_cast<std::size_t>(slots[s])];
  }
  WeightedSplit result;
  const double total = std::accumulate(load.begin(), load.end(), 0.0);
  std::vector<std::map<std::size_t, double>> flow(load.size());
  if (total > 0) {
    double limit = total / shape.gpus;
    Attempt tried = attempt(load, places, gpus, limit, total);
    while (tried.needed > limit * (1 + 1e3 * kRounding)) {
      limit = tried.needed;
      tried = attempt(load, places, gpus, limit, total);
    }
    result.largest = limit;
    flow = std::move(tried.flow);
  }
  for (std::size_t s = 0; s < slots.size(); ++s) {
    const auto e = static_cast<std::size_t>(slots[s]);
    double all = 0;
    for (const auto& [g, carried] : flow[e]) all += carried;
    const std::size_t g = s / per_gpu;
    result.share.push_back(all > 0 ? flow[e][g] / all / places[e][g] : 1.0 / copies[e]);
  }
  return result;
}

}  // namespace moeplan::planner
