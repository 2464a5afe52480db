#include "sim/collective/rail_relay_all_to_all.h"

#include "sim/collective/two_level_all_to_all.h"

namespace moeplan::sim {

std::vector<AllToAllTraffic> rail_relay_phases(const topology::Cluster& cluster,
                                               const AllToAllTraffic& traffic) {
  return two_level_phases(cluster, traffic);
}

CommTimes solve_rail_relay_all_to_all(const CommNetwork& network, const AllToAllTraffic& traffic) {
  return solve_together(network, rail_relay_phases(network.cluster(), traffic));
}

}  // namespace moeplan::sim
