#include "sim/collective/nccl_tree.h"

#include <algorithm>
#include <cmath>

namespace moeplan::sim {

namespace {

using base::Seconds;

constexpr double kTreeEfficiency = 0.92;  // of a ring's bandwidth
constexpr double kSlots = 8;              // NCCL_STEPS: chunks that a channel's buffer holds
constexpr double kLl128Chunk = 131072;    // bytes; what it is halved to unless S is huge

}  // namespace

double tree_factor(int nodes) { return nodes <= 1 ? 0.0 : nodes == 2 ? 1.0 : 2.0; }

double tree_depth(int nodes) { return nodes <= 1 ? 0.0 : std::ceil(std::log2(nodes)); }

NcclPath tree_path(const NcclMachine& machine, NcclGroup group, double size, NcclProtocol protocol) {
  const double depth = tree_depth(group.nodes), chain = group.local - 1;
  NcclPath path{NcclAlgorithm::kTree, protocol, {}};
  path.local_bytes = group.local > 1 ? 2 * size : 0;
  path.local_rate = machine.local_line * machine.local_share(protocol) * kTreeEfficiency;
  path.nic_bytes = tree_factor(group.nodes) * size / group.local;
  path.nic_rate = machine.nic_rate(protocol) * kTreeEfficiency;
  const bool simple = protocol == NcclProtocol::kSimple;
  const double channels = machine.channels(group);
  const double chunk = simple ? machine.transport.buffer.as_double() / kSlots : kLl128Chunk;
  const double piece = std::min(size, chunk * channels);
  const double hop =
      simple ? piece / std::min(path.local_rate, channels * machine.block_rate(protocol)) : 0.0;
  const double nic_hop = group.nodes > 1 ? piece / group.local / path.nic_rate : 0.0;
  path.start = machine.launch(group, protocol) + machine.local_step(group, protocol) * (2 * chain) +
               machine.nic_step(group, protocol) * (2 * depth) +
               Seconds::of(2 * chain * hop + 2 * depth * nic_hop - std::max(hop, nic_hop));
  return path;
}

}  // namespace moeplan::sim
