#pragma once

#include <algorithm>
#include <set>

#include "topology/cluster.h"

namespace moeplan::topology::test {

/// Does the route lead from src to dst along the graph, with free steps inside devices?
inline bool leads(const Cluster& cluster, base::RankId src, base::RankId dst, int part = 0) {
  const Graph& graph = cluster.graph();
  const auto close = [&](std::set<int> at) {
    for (bool grown = true; grown;) {
      grown = false;
      for (const Graph::Edge& edge : graph.edges) {
        if (!edge.link.valid() && at.count(edge.from) == 1) grown |= at.insert(edge.to).second;
      }
    }
    return at;
  };
  std::set<int> at = close({src.value()});
  for (const base::LinkId link : cluster.route(src, dst, part)) {
    const auto edge = std::find_if(graph.edges.begin(), graph.edges.end(),
                                   [&](const Graph::Edge& each) { return each.link == link; });
    if (edge == graph.edges.end() || at.count(edge->from) == 0) return false;
    at = close({edge->to});
  }
  return at.count(dst.value()) == 1;
}

}  // namespace moeplan::topology::test
