#include "topology/switch_graph.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

namespace moeplan::topology {

SwitchGraph SwitchGraph::lay_out(const FabricSpec& spec, Wiring& wiring) {
  const FabricSpec::SwitchGraph& drawn = spec.graph;
  const bool single = spec.routing != Routing::kSpray;
  SwitchGraph graph;
  graph.switches_ = static_cast<int>(drawn.switches.size());
  graph.used_.assign(drawn.switches.size(), 0);
  for (const int at : drawn.attached) graph.used_[static_cast<std::size_t>(at)] = 1;
  for (const FabricSpec::SwitchGraph::Link& link : drawn.links) {
    const std::string& a = drawn.switches[static_cast<std::size_t>(link.a)];
    const std::string& b = drawn.switches[static_cast<std::size_t>(link.b)];
    const int parts = single ? link.cables.count : 1;
    for (int part = 0; part < parts; ++part) {
      const std::string end = parts > 1 ? fmt::format("_{}", part) : "";
      const int cables = link.cables.count / parts;
      wiring.add(fmt::format("{}>{}{}", a, b, end), fmt::format("{}>{}{}", b, a, end), link.a, link.b,
                 link.cables.bandwidth * static_cast<double>(cables), link.cables.latency, cables);
    }
  }
  return graph;
}

void SwitchGraph::settle(const Wiring& wiring, int first_link) {
  links_.settle(wiring, first_link);
  const auto n = static_cast<std::size_t>(switches_);
  next_.assign(n, {});
  for (std::size_t i = 0; i < wiring.wires.size(); ++i) {
    const Wire& wire = wiring.wires[i];
    if (wire.alive == 0) continue;
    next_[static_cast<std::size_t>(wire.a)].push_back({static_cast<int>(i), wire.b, true, wire.alive});
    next_[static_cast<std::size_t>(wire.b)].push_back({static_cast<int>(i), wire.a, false, wire.alive});
  }
  distance_.assign(n * n, kFar);
  paths_ = 1;
  std::vector<int> queue;
  for (int to = 0; to < switches_; ++to) {
    if (used_[static_cast<std::size_t>(to)] == 0) continue;
    std::uint8_t* distance = distance_.data() + static_cast<std::size_t>(to) * n;
    distance[to] = 0;
    queue.assign(1, to);
    for (std::size_t head = 0; head < queue.size(); ++head) {
      const int at = queue[head];
      int unit = 0;
      int cables = 0;
      for (const Next& next : next_[static_cast<std::size_t>(at)]) {
        if (distance[next.to] + 1 == distance[at]) {
          unit = std::gcd(unit, next.cables);
          cables += next.cables;
        }
        if (distance[next.to] != kFar || distance[at] + 1 > static_cast<int>(Route::kMostFabricHops))
          continue;
        distance[next.to] = static_cast<std::uint8_t>(distance[at] + 1);
        queue.push_back(next.to);
      }
      if (unit > 0) paths_ = std::max(paths_, cables / unit);
    }
  }
}

bool SwitchGraph::append(Route& route, int from, int to, std::uint64_t selector) const {
  if (distance(from, to) == kFar) return false;
  for (int at = from; at != to;) {
    // In proportion to cables: one in `unit` counts.
    int unit = 0;
    int cables = 0;
    for (const Next& next : next_[static_cast<std::size_t>(at)]) {
      if (distance(next.to, to) + 1 != distance(at, to)) continue;
      unit = std::gcd(unit, next.cables);
      cables += next.cables;
    }
    if (unit == 0) return false;  // a distance always has a next hop
    int skip = choose(selector, cables / unit);
    for (const Next& next : next_[static_cast<std::size_t>(at)]) {
      if (distance(next.to, to) + 1 != distance(at, to)) continue;
      skip -= next.cables / unit;
      if (skip >= 0) continue;
      links_.take(route, next.wire, next.forth);
      at = next.to;
      break;
    }
  }
  return true;
}

}  // namespace moeplan::topology
