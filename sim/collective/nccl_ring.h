#pragma once

#include "sim/collective/nccl_machine.h"

namespace moeplan::sim {

/// All-gather, reduce-scatter or all-reduce round a ring that visits the ranks of a node, then the next node;
/// one ring a channel, each leaving the node through another rank's NIC.
///
/// Model:   B = passes S (n-1)/n; inside the node B (g-1)/g, over the rank's NIC B/g; in one node all of B.
///          Steps: passes (n-1), of them passes (N-1) between nodes.
///          Blocks run steps and bytes one after the other, a NIC has the next message while one travels:
///          t = launch + max(steps * step + local bytes / local rate, nic steps * nic step + nic bytes / nic
///          rate) local rate over nodes at most channels * block rate * (g-1)/g. The rank's own part, S/n, is
///          copied once; LL writes its output as it goes
/// Symbols: n ranks, g on each of N nodes; S as nccl-tests counts it; passes = 2 for all-reduce, else 1
/// Source:  nccl-tests doc/PERFORMANCE.md (bus bytes); NCCL 2.28 src/graph/tuning.cc (steps); rates and
///          steps: the profile
/// Not modelled: slices of a chunk, PAT for one rank a node, user-buffer registration
NcclPath ring_path(const NcclMachine& machine, CollectiveKind kind, NcclGroup group, double size,
                   NcclProtocol protocol);

}  // namespace moeplan::sim
