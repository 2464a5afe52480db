#pragma once

#include <vector>

#include "base/ids.h"
#include "base/units.h"

namespace moeplan::topology {

/// Devices (ranks, switches, ports) joined by directed edges.
struct Graph {
  /// A link, or a free step inside a device where `link` is invalid.
  struct Edge {
    int from = 0;
    int to = 0;
    base::LinkId link;
    int cost =
        0;  ///< kHop of a link that is used by choice, kLastResort of one that is not, 0 of a free step
  };
  static constexpr int kHop = 1;
  static constexpr int kLastResort = 1000;

  int vertices = 0;
  std::vector<Edge> edges;
};

/// Least cost from every vertex to `target`; -1 where there is no way.
/// Cost: O(edges log vertices).
std::vector<int> compute_distances_to(const Graph& graph, int target);

/// The cheapest walk from `from` to `to`, as edge indices; among equals the one through the lowest vertices.
/// `distances` is compute_distances_to(graph, to). Requires: `to` can be reached.
std::vector<int> find_walk(const Graph& graph, const std::vector<int>& distances, int from, int to);

/// The least capacity of edges that part `sources` from `sinks` (the maximum flow between them).
/// Shape: capacity [edge]; a free step counts as unlimited. Cost: O(vertices^3) at worst, near linear here.
base::BytesPerSecond compute_min_cut(const Graph& graph, const std::vector<base::BytesPerSecond>& capacity,
                                     const std::vector<int>& sources, const std::vector<int>& sinks);

}  // namespace moeplan::topology
