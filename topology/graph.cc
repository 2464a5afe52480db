// The only file that includes Boost.Graph.
#include "topology/graph.h"

#include <cmath>
#include <cstdint>
#include <limits>

#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/dijkstra_shortest_paths_no_color_map.hpp>
#include <boost/graph/push_relabel_max_flow.hpp>

#include "base/check.h"

namespace moeplan::topology {

std::vector<int> compute_distances_to(const Graph& graph, int target) {
  using Reversed = boost::adjacency_list<boost::vecS, boost::vecS, boost::directedS, boost::no_property,
                                         boost::property<boost::edge_weight_t, int>>;
  Reversed reversed(static_cast<std::size_t>(graph.vertices));
  for (const Graph::Edge& edge : graph.edges) {
    boost::add_edge(static_cast<std::size_t>(edge.to), static_cast<std::size_t>(edge.from), edge.cost,
                    reversed);
  }
  std::vector<int> distances(static_cast<std::size_t>(graph.vertices));
  // Without a colour map: the default one counts references, which clang's analyzer takes for a use after free.
  boost::dijkstra_shortest_paths_no_color_map(reversed, static_cast<std::size_t>(target),
                                              boost::distance_map(distances.data()));
  for (int& distance : distances) {
    if (distance == std::numeric_limits<int>::max()) distance = -1;
  }
  return distances;
}

std::vector<int> find_walk(const Graph& graph, const std::vector<int>& distances, int from, int to) {
  std::vector<int> walk;
  int here = from;
  while (here != to) {
    int best = -1;
    for (std::size_t i = 0; i < graph.edges.size(); ++i) {
      const Graph::Edge& edge = graph.edges[i];
      if (edge.from != here) continue;
      const int there = distances[static_cast<std::size_t>(edge.to)];
      if (there < 0 || there + edge.cost != distances[static_cast<std::size_t>(here)]) continue;
      if (best < 0 || edge.to < graph.edges[static_cast<std::size_t>(best)].to) best = static_cast<int>(i);
    }
    MOEPLAN_CHECK(best >= 0 && walk.size() < graph.edges.size(), "no walk to the target");
    walk.push_back(best);
    here = graph.edges[static_cast<std::size_t>(best)].to;
  }
  return walk;
}

namespace {

using Traits = boost::adjacency_list_traits<boost::vecS, boost::vecS, boost::directedS>;
using FlowGraph = boost::adjacency_list<
    boost::vecS, boost::vecS, boost::directedS, boost::no_property,
    boost::property<boost::edge_capacity_t, std::int64_t,
                    boost::property<boost::edge_residual_capacity_t, std::int64_t,
                                    boost::property<boost::edge_reverse_t, Traits::edge_descriptor>>>>;

void add_pipe(FlowGraph& pipes, int from, int to, std::int64_t capacity) {
  const auto forward =
      boost::add_edge(static_cast<std::size_t>(from), static_cast<std::size_t>(to), pipes).first;
  const auto backward =
      boost::add_edge(static_cast<std::size_t>(to), static_cast<std::size_t>(from), pipes).first;
  boost::put(boost::edge_capacity, pipes, forward, capacity);
  boost::put(boost::edge_capacity, pipes, backward, 0);
  boost::put(boost::edge_reverse, pipes, forward, backward);
  boost::put(boost::edge_reverse, pipes, backward, forward);
}

}  // namespace

base::BytesPerSecond compute_min_cut(const Graph& graph, const std::vector<base::BytesPerSecond>& capacity,
                                     const std::vector<int>& sources, const std::vector<int>& sinks) {
  if (sources.empty() || sinks.empty()) return {};
  std::int64_t unlimited = 0;
  for (const base::BytesPerSecond each : capacity) unlimited += std::llround(each.bytes_per_s());
  const int source = graph.vertices;
  const int sink = graph.vertices + 1;
  FlowGraph pipes(static_cast<std::size_t>(graph.vertices) + 2);
  for (std::size_t i = 0; i < graph.edges.size(); ++i) {
    const Graph::Edge& edge = graph.edges[i];
    add_pipe(pipes, edge.from, edge.to,
             edge.link.valid() ? std::llround(capacity[i].bytes_per_s()) : unlimited);
  }
  for (const int vertex : sources) add_pipe(pipes, source, vertex, unlimited);
  for (const int vertex : sinks) add_pipe(pipes, vertex, sink, unlimited);
  return base::BytesPerSecond::of(static_cast<double>(
      boost::push_relabel_max_flow(pipes, static_cast<std::size_t>(source), static_cast<std::size_t>(sink))));
}

}  // namespace moeplan::topology
