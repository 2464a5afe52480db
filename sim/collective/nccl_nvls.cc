#include "sim/collective/nccl_nvls.h"

#include <algorithm>
#include <array>

namespace moeplan::sim {

namespace {

/// Pieces in flight below which NCCL takes the smaller chunk.
struct ChunkRule {
  double pieces;
  double chunk;
};
constexpr std::array<ChunkRule, 3> kRules{{{64, 65536}, {8, 32768}, {2, 16384}}};
constexpr double kChunk = 131072;  // bytes

double chunk_size(double size, double operations) {
  double chunk = kChunk;
  for (const ChunkRule& rule : kRules) {
    if (size < rule.pieces * operations * chunk && chunk > rule.chunk) chunk = rule.chunk;
  }
  return chunk;
}

}  // namespace

NcclPath nvls_path(const NcclMachine& machine, NcclGroup group, double size) {
  const double n = group.local;
  NcclPath path{NcclAlgorithm::kNvls, NcclProtocol::kSimple, {}};
  path.local_bytes = size * (1 + 1 / n);
  path.local_rate =
      machine.local_line * machine.local_share(NcclProtocol::kSimple) * machine.local.nvls_efficiency;
  const double operations = machine.local.nvls_channels * n;
  const double piece = std::min(size, operations * chunk_size(size, operations));
  path.start = machine.launch(group, NcclProtocol::kSimple) +
               machine.local.of(NcclProtocol::kSimple).step * kNvlsStepRatio +
               base::Seconds::of(piece * (1 + 1 / n) / path.local_rate);
  return path;
}

}  // namespace moeplan::sim
