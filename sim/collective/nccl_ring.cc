#include "sim/collective/nccl_ring.h"

#include <algorithm>

namespace moeplan::sim {

using base::Seconds;

NcclPath ring_path(const NcclMachine& machine, CollectiveKind kind, NcclGroup group, double size,
                   NcclProtocol protocol) {
  const double n = group.ranks(), g = group.local;
  const double passes = kind == CollectiveKind::kAllReduce ? 2 : 1;
  const double bus = passes * size * (n - 1) / n;
  const double between = passes * (group.nodes - 1);
  const double inside = passes * (n - 1) - between;
  NcclPath path{NcclAlgorithm::kRing, protocol, {}};
  Seconds steps = machine.local_step(group, protocol) * inside;
  path.local_bytes = bus;
  path.local_rate = machine.local_line * machine.local_share(protocol);
  if (group.nodes > 1) {
    const Seconds nic_steps = machine.nic_step(group, protocol) * between;
    steps += nic_steps;
    path.nic_bytes = bus / g;
    path.nic_rate = machine.nic_rate(protocol);
    path.local_bytes = bus * (g - 1) / g;
    path.local_rate =
        group.local == 1
            ? machine.local_line
            : std::min(path.local_rate, machine.channels(group) * (g - 1) / g * machine.block_rate(protocol));
    const Seconds whole = max(steps + path.local_time(), nic_steps + path.nic_time());
    steps = whole - max(path.local_time(), path.nic_time());
  }
  path.start = machine.launch(group, protocol) + steps;
  if (protocol != NcclProtocol::kLl)
    path.start += Seconds::of(size / n / machine.local.copy_rate.bytes_per_s());
  return path;
}

}  // namespace moeplan::sim
