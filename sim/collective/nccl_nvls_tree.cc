#include "sim/collective/nccl_nvls_tree.h"

#include <algorithm>
#include <array>

#include "sim/collective/nccl_nvls.h"
#include "sim/collective/nccl_tree.h"

namespace moeplan::sim {

namespace {

using base::Seconds;

/// Pieces in flight below which NCCL takes the smaller chunk.
struct ChunkRule {
  double pieces;
  double chunk;
};
constexpr std::array<ChunkRule, 4> kRules{{{32, 262144}, {16, 131072}, {4, 65536}, {1, 32768}}};
constexpr double kFarChunk = 65536;  // bytes, from kFarNodes on unless a transport sets its own
constexpr int kFarNodes = 4;

double chunk_size(const NcclMachine& machine, double size, double operations, int nodes) {
  double chunk = machine.transport.nvls_chunk.as_double();
  if (!machine.transport.sets_nvls_tree_chunk && nodes >= kFarNodes) chunk = std::min(chunk, kFarChunk);
  for (const ChunkRule& rule : kRules) {
    if (size < rule.pieces * operations * chunk && chunk > rule.chunk) chunk = rule.chunk;
  }
  return chunk;
}

}  // namespace

NcclPath nvls_tree_path(const NcclMachine& machine, NcclGroup group, double size) {
  const double g = group.local, depth = tree_depth(group.nodes);
  NcclPath path{NcclAlgorithm::kNvlsTree, NcclProtocol::kSimple, {}};
  path.local_bytes = size * (1 + 1 / g);
  path.local_rate =
      machine.local_line * machine.local_share(NcclProtocol::kSimple) * machine.local.nvls_efficiency;
  path.nic_bytes = tree_factor(group.nodes) * size / g;
  path.nic_rate = machine.nic_rate(NcclProtocol::kSimple);
  const double operations = machine.local.nvls_channels * g;
  const double piece = std::min(size, operations * chunk_size(machine, size, operations, group.nodes));
  const Seconds stage = max(path.local_time(), path.nic_time()) * (piece / size);
  path.start = machine.launch(group, NcclProtocol::kSimple) +
               machine.local.of(NcclProtocol::kSimple).step * kNvlsStepRatio +
               machine.nic_step(group, NcclProtocol::kSimple) * (2 * depth) + stage * (1 + 2 * depth);
  return path;
}

}  // namespace moeplan::sim
