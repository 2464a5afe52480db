#pragma once

#include "sim/collective/nccl_machine.h"

namespace moeplan::sim {

/// NVLS latency over NVLink as a multiple of a Simple ring's step: 25 us where that is 3.4 (NCCL 2.28
/// src/graph/tuning.cc).
inline constexpr double kNvlsStepRatio = 25.0 / 3.4;

/// All-reduce inside one node through NVLink switches that add and multicast.
///
/// Model:   every rank sends and receives S (1 + 1/n): the switch pulls each part from all ranks and
///          multicasts the sum; rate = efficiency * the Simple rate.
///          Two stages over pieces of chunk * channels * n bytes, one of them counted with the bytes;
///          chunk 128 KiB, 64 KiB below 64 pieces, 32 KiB below 8, 16 KiB below 2.
///          t = launch + 25/3.4 Simple steps + piece (1 + 1/n) / rate + S (1 + 1/n) / rate
/// Symbols: n ranks; channels, efficiency: the profile (NCCL: 0.85 on Hopper, 0.74 on Blackwell)
/// Source:  NCCL 2.28 src/transport/nvls.cc, src/enqueue.cc (calcCollChunking), src/graph/tuning.cc
/// Not modelled: registered buffers, symmetric kernels
NcclPath nvls_path(const NcclMachine& machine, NcclGroup group, double size);

}  // namespace moeplan::sim
