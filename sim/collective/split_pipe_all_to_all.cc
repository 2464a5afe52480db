#include "sim/collective/split_pipe_all_to_all.h"

namespace moeplan::sim {

std::vector<AllToAllTraffic> split_pipe_phases(const topology::Cluster& cluster,
                                               const AllToAllTraffic& traffic) {
  return {build_phase(cluster, traffic,
                      [](const GroupNodes& nodes, std::size_t from, std::size_t to) {
                        return std::pair(from, nodes.node[from] == nodes.node[to] ? to : from);
                      }),
          build_phase(cluster, traffic, [](const GroupNodes& nodes, std::size_t from, std::size_t to) {
            return std::pair(from, nodes.node[from] == nodes.node[to] ? from : to);
          })};
}

CommTimes solve_split_pipe_all_to_all(const CommNetwork& network, const AllToAllTraffic& traffic) {
  return solve_together(network, split_pipe_phases(network.cluster(), traffic));
}

}  // namespace moeplan::sim
