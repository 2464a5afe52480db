#include "sim/collective/nccl_reduce.h"

#include "sim/collective/nccl_broadcast.h"

namespace moeplan::sim {

NcclPath reduce_path(const NcclMachine& machine, NcclGroup group, double size, NcclProtocol protocol) {
  // The chain is symmetric: each link carries S once, in the other direction.
  return broadcast_path(machine, group, size, protocol);
}

}  // namespace moeplan::sim
