#pragma once

#include <span>
#include <vector>

#include "sim/collective/comm_network.h"

namespace moeplan::sim {

/// Groups of equal size that run the same collective at the same time: group after group.
struct CommGroups {
  std::vector<base::RankId> ranks;
  int group_size = 1;
};

/// The ranks of one group, node by node, in the order in which nodes appear.
struct NodeBlocks {
  std::vector<std::vector<base::RankId>> nodes;
  /// As many ranks on every node.
  bool even() const;
};
NodeBlocks split_by_node(const topology::Cluster& cluster, std::span<const base::RankId> group);

/// Every rank sends `local_bytes` to its neighbour in the node and `nic_bytes` to its partner on the next
/// node: the load of a ring (or of any algorithm that loads all ranks alike) on the links.
void add_block_transfers(const NodeBlocks& blocks, double local_bytes, double nic_bytes,
                         std::vector<Transfer>& transfers);

/// Rings over the ranks of every group, hierarchical where a group spans nodes; with the efficiencies of
/// Profile::comm, for links without NCCL constants.
///
/// Model:   the buffer is cut into g parts, g = ranks of the group on a node (1 if that is not the same on
/// all nodes);
///          part i goes round a ring that visits the ranks of a node and leaves it from its i-th rank to the
///          i-th rank of the next node. So a rank sends B * (g - 1)/g to its neighbour in the node and B/g to
///          its partner on the next node; in one node it sends B to its neighbour. B = passes * S * (n -
///          1)/n; passes = 1 for all-gather and reduce-scatter, 2 for all-reduce; steps = passes * (n - 1) in
///          one node; (g - 1) + (N - 1) passes-fold over N nodes
/// Symbols: n = group size; S = full buffer: what every rank holds after the all-gather, before the
/// reduce-scatter Source:  NCCL's rings, one NIC per channel (nccl-tests doc/PERFORMANCE.md for the bus
/// bytes) Not modelled: trees, NVLS, in-network reduction, channels that use the NICs of GPUs outside the
/// group. Cost: one solve of at most 2 flows per rank.
CommTimes solve_ring(const CommNetwork& network, const CommGroups& groups, CollectiveKind kind,
                     base::Bytes buffer);

}  // namespace moeplan::sim
