#pragma once

#include "sim/collective/nccl_machine.h"

namespace moeplan::sim {

/// Broadcast along a chain: the ring without the link back to the root.
///
/// Model:   every rank but the last hands on S, over the channels' NICs between nodes (S/g each); n - 1
/// steps,
///          of them N - 1 between nodes, fill the chain: t = launch + steps + max(S (g-1)/g / local rate,
///          S/g / nic rate), in one node S / local rate. The root keeps its buffer, nothing is copied
/// Symbols: n ranks, g on each of N nodes; S = the buffer
/// Source:  NCCL 2.28 src/device/broadcast.h, src/graph/tuning.cc
/// Not modelled: chunks larger than what a step forwards at once
NcclPath broadcast_path(const NcclMachine& machine, NcclGroup group, double size, NcclProtocol protocol);

}  // namespace moeplan::sim
