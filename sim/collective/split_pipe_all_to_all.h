#pragma once

#include <vector>

#include "sim/collective/all_to_all_phases.h"

namespace moeplan::sim {

/// What goes inside the nodes, and what between them.
std::vector<AllToAllTraffic> split_pipe_phases(const topology::Cluster& cluster,
                                               const AllToAllTraffic& traffic);

/// Split pipes: sends inside the node on one stream and communicator, sends between nodes on another, at the
/// same time.
///
/// Model:   t = max(all-to-all inside the nodes, all-to-all between nodes), each with launch and steps of its
///          own; a flat all-to-all has the steps of both
/// Source:  Shi et al., "ScheMoE" (EuroSys 2024), equations 16 and 17
/// Not modelled: SMs that two communicators hold
/// Cost:    two flat solves
CommTimes solve_split_pipe_all_to_all(const CommNetwork& network, const AllToAllTraffic& traffic);

}  // namespace moeplan::sim
