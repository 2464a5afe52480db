#pragma once

#include <vector>

#include "sim/collective/all_to_all_phases.h"

namespace moeplan::sim {

/// What goes over NVLink to the relays (and to receivers in the node), and what they send over their rails.
std::vector<AllToAllTraffic> rail_relay_phases(const topology::Cluster& cluster,
                                               const AllToAllTraffic& traffic);

/// Rail relay (PXN): bytes for the l-th rank of another node go over NVLink to the l-th rank of the own node,
/// whose NIC hangs on the same rail, and from there over the rail.
///
/// Model:   the bytes of the two phases of two_level_all_to_all.h, but piece by piece: both links are busy at
///          once, t = max(NVLink, NIC). A NIC talks to N - 1 others
/// Source:  NVIDIA, "Doubling all2all performance with NCCL 2.12" (PXN), 2022
/// Not modelled: the filling of the pipeline, SMs of the relaying ranks
/// Cost:    two flat solves
CommTimes solve_rail_relay_all_to_all(const CommNetwork& network, const AllToAllTraffic& traffic);

}  // namespace moeplan::sim
