#pragma once

#include <memory>

#include "planner/placement/solver.h"

namespace moeplan::planner {

/// The published EPLB, in its two modes.
///
/// Algorithm (hierarchical): 1. groups to nodes, heaviest first, each to the lightest node with room;
///             2. in each node, one replica of every expert, then one more to the largest load / replicas
///             until
///                the node's slots are taken;
///             3. slots to the node's GPUs as in 1.
/// global: 2. and 3. over all GPUs at once. eplb takes the hierarchical way where the nodes divide the groups
/// of the shape, else the global one, as the original does. Parity:     32-bit floats, ties to the lowest
/// index. On the original's own example the maps are equal; where
///             a sort that is not stable breaks ties otherwise, the largest loads are (placement.md lists
///             cases).
/// Not part:   same-GPU duplicates are not avoided, the load is the mean over iterations.
/// Source:     deepseek-ai/EPLB, eplb.py (March 2025), re-written from its description
std::unique_ptr<PlacementSolver> make_eplb(bool global);

}  // namespace moeplan::planner
