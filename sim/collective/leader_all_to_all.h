#pragma once

#include <vector>

#include "sim/collective/all_to_all_phases.h"

namespace moeplan::sim {

/// What each of the three phases carries.
std::vector<AllToAllTraffic> leader_phases(const topology::Cluster& cluster, const AllToAllTraffic& traffic);

/// Leader all-to-all: the first rank of a node gathers what its node sends to others, leaders exchange, and
/// scatter what they get.
///
/// Model:   phase 1: every rank sends its bytes for other nodes to its leader and those for its own node to
///          their receivers; phase 2: leaders exchange over their NICs alone; phase 3: leaders scatter.
///          Even traffic of S a rank: the leader receives S (g-1)(N-1)/N over NVLink, sends g S (N-1)/N over
///          one NIC, and sends S (g-1)(N-1)/N on
/// Symbols: g ranks of the group on each of N nodes
/// Source:  Nie et al., "HetuMoE" (arXiv:2203.14685), section 3.2
/// Not modelled: the leader's re-ordering copies and its buffers
/// Cost:    three flat solves
CommTimes solve_leader_all_to_all(const CommNetwork& network, const AllToAllTraffic& traffic);

}  // namespace moeplan::sim
