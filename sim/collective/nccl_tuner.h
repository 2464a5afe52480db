#pragma once

#include <optional>

#include "sim/collective/nccl_machine.h"

namespace moeplan::sim {

/// Time that NCCL's own tuner expects of an all-reduce over nodes (seconds): what it chooses by, not what it
/// takes. NCCL's choice is not always the faster one, so it is modelled apart from our times.
///
/// Model:   t = latency + S / bandwidth with NCCL's constants for every algorithm and protocol:
///          ring      base + 2 (n-N) max(intra, overhead) + 2 (N-1) inter;  B n / (2 (n-1))
///          tree      base + 2 (g-1) intra + 2 floor(log2 N) inter;         0.92 B / 2, times a correction by
///                    size
///          NVLSTree  intra + 2 floor(log2 N) inter;                        B n / (2 (n-1))
///          A Simple ring's latency counts 1.4 times from 64 bytes a rank and channel on. LL: half of a
///          ring's B, at most 19-45 GB/s; a tree's / 3.8; LL128: 0.92 of a ring's, 120/128 of a tree's
/// Symbols: n ranks, g on each of N nodes; B = ports * speed: the largest of NCCL's speeds that fits the port
///          (48, 24, 12 ... GB/s); over two nodes, tree: what NCCL takes NVLink for, NVLSTree: twice the
///          ports
/// Source:  NCCL 2.28 src/graph/tuning.cc (ncclTopoTuneModel, ncclTopoGetAlgoTime), src/graph/search.cc
///          (speeds)
/// Not modelled: the search for channels, CPUs other than Intel's, tuner plug-ins
double tuner_time(const NcclMachine& machine, NcclGroup group, double size, NcclAlgorithm algorithm,
                  NcclProtocol protocol);

}  // namespace moeplan::sim
