#include "sim/collective/nccl_collnet.h"

#include <algorithm>

namespace moeplan::sim {

NcclPath collnet_path(const NcclMachine& machine, NcclGroup group, double size) {
  const double g = group.local;
  NcclPath path{NcclAlgorithm::kCollNet, NcclProtocol::kSimple, {}};
  path.local_bytes = 2 * size * (g - 1) / g;
  path.local_rate = machine.local_line * machine.local_share(NcclProtocol::kSimple);
  path.nic_bytes = size / g;
  path.nic_rate = machine.nic_rate(NcclProtocol::kSimple);
  path.start = machine.launch(group, NcclProtocol::kSimple) +
               machine.local_step(group, NcclProtocol::kSimple) * (group.local > 1 ? 2.0 : 0.0) +
               machine.nic_step(group, NcclProtocol::kSimple);
  return path;
}

}  // namespace moeplan::sim
