#include "sim/collective/nccl_broadcast.h"

#include <algorithm>

namespace moeplan::sim {

NcclPath broadcast_path(const NcclMachine& machine, NcclGroup group, double size, NcclProtocol protocol) {
  const double g = group.local;
  const double between = group.nodes - 1;
  NcclPath path{NcclAlgorithm::kRing, protocol, {}};
  path.start = machine.launch(group, protocol) +
               machine.local_step(group, protocol) * (group.ranks() - 1 - between) +
               machine.nic_step(group, protocol) * between;
  path.local_bytes = size;
  path.local_rate = machine.local_line * machine.local_share(protocol);
  if (group.nodes > 1) {
    path.nic_bytes = size / g;
    path.nic_rate = machine.nic_rate(protocol);
    path.local_bytes = size * (g - 1) / g;
    path.local_rate =
        group.local == 1
            ? machine.local_line
            : std::min(path.local_rate, machine.channels(group) * (g - 1) / g * machine.block_rate(protocol));
  }
  return path;
}

}  // namespace moeplan::sim
