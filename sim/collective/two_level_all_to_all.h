#pragma once

#include <vector>

#include "sim/collective/all_to_all_phases.h"

namespace moeplan::sim {

/// What each of the two phases carries.
std::vector<AllToAllTraffic> two_level_phases(const topology::Cluster& cluster,
                                              const AllToAllTraffic& traffic);

/// Two-dimensional all-to-all (2DH): exchange inside the nodes first, so that between nodes one message a
/// pair of nodes and local index carries what all ranks of a node have for it.
///
/// Model:   phase 1: a rank sends to the l-th rank of its node what is for the l-th ranks of all nodes;
///          phase 2: the l-th ranks of all nodes exchange. Each phase is a flat all-to-all with g - 1 and N -
///          1 peers a rank; a rank enters phase 2 when its part of phase 1 is done. Even traffic of S a rank:
///          S (g-1)/g inside the node, then S (N-1)/N over the NIC
/// Symbols: g ranks of the group on each of N nodes
/// Source:  Hwang et al., "Tutel" (arXiv:2206.03382), section 4.3; DeepSpeed's hierarchical all-to-all
///          (arXiv:2201.05596, section 5.3)
/// Not modelled: the strided copies before the phases
/// Cost:    two flat solves
CommTimes solve_two_level_all_to_all(const CommNetwork& network, const AllToAllTraffic& traffic);

}  // namespace moeplan::sim
