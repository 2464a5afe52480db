#pragma once

#include "sim/collective/nccl_machine.h"

namespace moeplan::sim {

/// S/g that the busiest node's NICs send in a double binary tree over nodes, each tree with half of the
/// bytes: an inner node sends its half up and twice down, and is a leaf of the other tree. Over two nodes
/// each is root of one tree.
double tree_factor(int nodes);
/// Hops from a leaf to the root: ceil(log2 N).
double tree_depth(int nodes);

/// All-reduce up and down a double binary tree between nodes, with a chain of the g ranks inside each node.
///
/// Model:   inside the node a rank sends S up and S down; over its NIC tree_factor * S/g;
///          2 (g-1) + 2 depth hops. A hop hands on whole chunks under Simple, so the first chunk takes
///          chunk * channels / rate of every hop before the last rank has anything; LL and LL128 forward
///          lines inside a node, but the proxy sends whole chunks. t = launch + hops * step + fill + max(2 S
///          / local rate, nic bytes / nic rate), rates 0.92 of a ring's
/// Symbols: chunk = buffer / 8 slots (512 KiB of 4 MiB); at most the bytes of a channel
/// Source:  NCCL 2.28 src/graph/trees.cc, src/enqueue.cc (calcCollChunking), src/graph/tuning.cc (0.92)
/// Not modelled: trees that put more than one rank of a node next to the network
NcclPath tree_path(const NcclMachine& machine, NcclGroup group, double size, NcclProtocol protocol);

}  // namespace moeplan::sim
