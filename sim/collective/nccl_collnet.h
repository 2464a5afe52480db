#pragma once

#include "sim/collective/nccl_machine.h"

namespace moeplan::sim {

/// All-reduce with reduction in the switches of the fabric (SHARP): a node's ranks reduce-scatter among
/// themselves, each sends its part into the fabric and gets the sum of all nodes back, and they all-gather.
///
/// Model:   inside the node each rank sends S (g-1)/g for the reduce-scatter and again for the all-gather;
///          over its NIC S/g up and S/g down, for any number of nodes; the switches add at line rate.
///          t = launch + 2 local steps + nic step + max(2 S (g-1)/g / local rate, S/g / nic rate)
/// Symbols: g ranks on each of N nodes
/// Source:  Graham et al., "Scalable Hierarchical Aggregation Protocol (SHARP)", COM-HPC 2016, section III;
///          NCCL 2.28 src/graph/tuning.cc (CollNetDirect: one network latency)
/// Not modelled: levels of the switch tree beyond one latency, limits to the number of reductions in flight
NcclPath collnet_path(const NcclMachine& machine, NcclGroup group, double size);

}  // namespace moeplan::sim
