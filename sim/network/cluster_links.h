#pragma once

#include <vector>

#include "sim/network/sharing.h"
#include "topology/cluster.h"

namespace moeplan::sim {

/// The cluster's links as the network model sees them, in LinkId order.
std::vector<SharedLink> shared_links(const topology::Cluster& cluster);

}  // namespace moeplan::sim
