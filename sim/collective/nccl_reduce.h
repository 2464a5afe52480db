#pragma once

#include "sim/collective/nccl_machine.h"

namespace moeplan::sim {

/// Reduce along a chain that ends at the root: each rank adds its own buffer to what arrives and hands it on.
///
/// Model:   bytes and steps of broadcast_path, the other way round; the root adds the last arrival into its
///          output, which the blocks that receive do as they go
/// Symbols: as there; S = the buffer, every rank's
/// Source:  NCCL 2.28 src/device/reduce.h
/// Not modelled: that adding reads the local buffer beside the arrival (HBM is faster than the links)
NcclPath reduce_path(const NcclMachine& machine, NcclGroup group, double size, NcclProtocol protocol);

}  // namespace moeplan::sim
