#pragma once

#include "sim/collective/nccl_machine.h"

namespace moeplan::sim {

/// All-reduce with NVLink switches inside the nodes and a double binary tree between them.
///
/// Model:   inside the node as nvls_path: S (1 + 1/g) each way at the same rate; over a NIC tree_factor *
/// S/g;
///          2 + 2 depth stages over pieces of chunk * channels * g bytes, the slower of NVLink and NIC
///          setting the pace; all stages but one come before the last byte's. chunk: the transport's largest
///          (NCCL: 128 KiB, 64 KiB from four nodes on), 256 KiB below 32 pieces, 128 KiB below 16, 64 KiB
///          below 4, 32 KiB below one. t = launch + 25/3.4 Simple steps + 2 depth * nic step + (1 + 2 depth)
///          stage + max(...)
/// Symbols: g ranks on each of N nodes, depth = tree_depth(N)
/// Source:  NCCL 2.28 src/enqueue.cc (calcCollChunking), src/graph/tuning.cc
/// Not modelled: nodes of which only some ranks take part through the switch
NcclPath nvls_tree_path(const NcclMachine& machine, NcclGroup group, double size);

}  // namespace moeplan::sim
