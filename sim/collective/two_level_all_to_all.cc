#include "sim/collective/two_level_all_to_all.h"

namespace moeplan::sim {

std::vector<AllToAllTraffic> two_level_phases(const topology::Cluster& cluster,
                                              const AllToAllTraffic& traffic) {
  return {build_phase(cluster, traffic,
                      [](const GroupNodes& nodes, std::size_t from, std::size_t to) {
                        return std::pair(from, nodes.twin(to, nodes.node[from]));
                      }),
          build_phase(cluster, traffic, [](const GroupNodes& nodes, std::size_t from, std::size_t to) {
            return std::pair(nodes.twin(to, nodes.node[from]), to);
          })};
}

CommTimes solve_two_level_all_to_all(const CommNetwork& network, const AllToAllTraffic& traffic) {
  return solve_in_turn(network, two_level_phases(network.cluster(), traffic));
}

}  // namespace moeplan::sim
