#include "sim/collective/all_to_all_phases.h"

#include <algorithm>
#include <utility>

namespace moeplan::sim {

namespace {

using base::RankId;
using base::Seconds;

GroupNodes group_nodes(const topology::Cluster& cluster, std::span<const RankId> group) {
  GroupNodes nodes;
  std::vector<base::NodeId> order;
  for (std::size_t i = 0; i < group.size(); ++i) {
    const base::NodeId node = cluster.node_of(group[i]);
    const auto found = std::find(order.begin(), order.end(), node);
    const auto at = static_cast<std::size_t>(found - order.begin());
    if (found == order.end()) {
      order.push_back(node);
      nodes.members.emplace_back();
    }
    nodes.node.push_back(at);
    nodes.index.push_back(nodes.members[at].size());
    nodes.members[at].push_back(i);
  }
  return nodes;
}

bool moves(const AllToAllTraffic& phase) {
  const auto n = static_cast<std::size_t>(phase.group_size);
  for (std::size_t i = 0; i < phase.ranks.size(); ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      if (i % n != j && phase.bytes[i * n + j] > 0) return true;
    }
  }
  return false;
}

void widen(CommTimes& total, const CommTimes& part) {
  total.low = std::min(total.low, part.low);
  total.high = std::max(total.high, part.high);
  // Put together from measured parts, but not measured as a whole.
  total.evidence = worst(worst(total.evidence, part.evidence), Evidence::kExtrapolated);
}

}  // namespace

AllToAllTraffic build_phase(const topology::Cluster& cluster, const AllToAllTraffic& traffic,
                            const PhaseHop& hop) {
  const auto n = static_cast<std::size_t>(traffic.group_size);
  AllToAllTraffic phase{traffic.ranks, traffic.group_size, std::vector<std::int64_t>(traffic.bytes.size())};
  for (std::size_t first = 0; first < traffic.ranks.size(); first += n) {
    const GroupNodes nodes = group_nodes(cluster, std::span(traffic.ranks).subspan(first, n));
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        const auto [from, to] = hop(nodes, i, j);
        if (from == to && i != j) continue;  // already there, or not yet on its way
        phase.bytes[(first + from) * n + to] += traffic.bytes[(first + i) * n + j];
      }
    }
  }
  return phase;
}

CommTimes solve_in_turn(const CommNetwork& network, std::span<const AllToAllTraffic> phases) {
  CommTimes total;
  total.done.resize(phases.front().ranks.size());
  for (const AllToAllTraffic& phase : phases) {
    if (!moves(phase)) continue;
    const CommTimes times = solve_flat_all_to_all(network, phase, total.done);
    for (std::size_t i = 0; i < total.done.size(); ++i) total.done[i] = max(total.done[i], times.done[i]);
    total.overhead += times.overhead;
    widen(total, times);
  }
  for (const Seconds done : total.done) total.makespan = max(total.makespan, done);
  return total;
}

CommTimes solve_together(const CommNetwork& network, std::span<const AllToAllTraffic> phases) {
  CommTimes total;
  total.done.resize(phases.front().ranks.size());
  for (const AllToAllTraffic& phase : phases) {
    if (!moves(phase)) continue;
    const CommTimes times = solve_flat_all_to_all(network, phase);
    for (std::size_t i = 0; i < total.done.size(); ++i) total.done[i] = max(total.done[i], times.done[i]);
    total.makespan = max(total.makespan, times.makespan);
    total.overhead = max(total.overhead, times.overhead);
    widen(total, times);
  }
  return total;
}

}  // namespace moeplan::sim
