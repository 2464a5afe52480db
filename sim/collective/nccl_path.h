#pragma once

#include <optional>
#include <string_view>

#include "base/units.h"
#include "sim/cost/nccl_cost.h"
#include "sim/cost/ops.h"

namespace moeplan::sim {

/// kCollNet reduces in the switches of the fabric (SHARP) and is offered by no machine of its own accord.
enum class NcclAlgorithm { kRing, kTree, kNvls, kNvlsTree, kCollNet };
inline constexpr int kNcclAlgorithms = 5;
std::string_view name(NcclAlgorithm algorithm);
std::string_view name(NcclProtocol protocol);

/// The ranks of one communicator: `local` on each of `nodes` nodes.
struct NcclGroup {
  int nodes = 1;
  int local = 1;
  int ranks() const { return nodes * local; }
};

/// Only these may be chosen, where set.
struct NcclPin {
  std::optional<NcclAlgorithm> algorithm;
  std::optional<NcclProtocol> protocol;
};

/// One way to run a collective, and what bounds it on an idle machine.
///
/// Model: t = start + max(local_bytes / local_rate, nic_bytes / nic_rate)
struct NcclPath {
  NcclAlgorithm algorithm = NcclAlgorithm::kRing;
  NcclProtocol protocol = NcclProtocol::kSimple;
  base::Seconds start;     ///< launch, steps along ring or tree, filling of the pipeline, own part
  double local_bytes = 0;  ///< that a rank sends inside its node
  double nic_bytes = 0;    ///< that it sends to another node, over its share of the node's NICs
  double local_rate = 1;   ///< bytes/s
  double nic_rate = 1;

  base::Seconds local_time() const { return base::Seconds::of(local_bytes / local_rate); }
  base::Seconds nic_time() const { return base::Seconds::of(nic_bytes / nic_rate); }
  base::Seconds time() const { return start + max(local_time(), nic_time()); }
};

}  // namespace moeplan::sim
