#include "sim/collective/leader_all_to_all.h"

namespace moeplan::sim {

std::vector<AllToAllTraffic> leader_phases(const topology::Cluster& cluster, const AllToAllTraffic& traffic) {
  const auto leader = [](const GroupNodes& nodes, std::size_t position) {
    return nodes.members[nodes.node[position]].front();
  };
  const auto stays = [](const GroupNodes& nodes, std::size_t from, std::size_t to) {
    return nodes.node[from] == nodes.node[to];
  };
  return {build_phase(cluster, traffic,
                      [&](const GroupNodes& nodes, std::size_t from, std::size_t to) {
                        return std::pair(from, stays(nodes, from, to) ? to : leader(nodes, from));
                      }),
          build_phase(cluster, traffic,
                      [&](const GroupNodes& nodes, std::size_t from, std::size_t to) {
                        return stays(nodes, from, to) ? std::pair(to, to)
                                                      : std::pair(leader(nodes, from), leader(nodes, to));
                      }),
          build_phase(cluster, traffic, [&](const GroupNodes& nodes, std::size_t from, std::size_t to) {
            return std::pair(stays(nodes, from, to) ? to : leader(nodes, to), to);
          })};
}

CommTimes solve_leader_all_to_all(const CommNetwork& network, const AllToAllTraffic& traffic) {
  return solve_in_turn(network, leader_phases(network.cluster(), traffic));
}

}  // namespace moeplan::sim
