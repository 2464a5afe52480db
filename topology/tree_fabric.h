#pragma once

#include <cstdint>

#include "base/units.h"
#include "topology/fabric_spec.h"
#include "topology/wire.h"

namespace moeplan::topology {

/// A fat tree of two or three levels, or rails with a spine.
///
/// Leaves are in units: one a unit in a fat tree, one a rail in a rail-optimised fabric. Units are in pods
/// where there is a third level. Two leaves of a pod are joined by its spines, two of different pods by
/// spines and cores. Sprayed, parallel paths are one: a leaf has a link up and one down, and so has a pod.
/// Else uplink s of every leaf ends at spine s of its pod, and uplink c of spine s at core (s, c):
///     leaf up s, [pod up (s, c), pod down (s, c),] leaf down s
/// Up*-down* routes of the fewest links; a path with a dead link is left out for the pairs that it would
/// serve.
class TreeFabric {
 public:
  /// Appends switches and wires. `ports_below`: of a full leaf, at `port` each.
  static TreeFabric lay_out(const FabricSpec& spec, int units, int rails, int ports_below,
                            base::BytesPerSecond port, Wiring& wiring);

  void settle(const Wiring& wiring, int first_link) { links_.settle(wiring, first_link); }
  /// The links from one leaf to another; false where all paths are dead. selector: which of equal paths.
  bool append(Route& route, int from, int to, std::uint64_t selector) const;
  /// Equal paths at most, for spraying.
  int paths() const { return 1; }

 private:
  int pod_of(int leaf) const { return leaves_per_pod_ > 0 ? leaf / leaves_per_pod_ : 0; }
  int leaf_wire(int leaf, int spine) const { return leaf * spines_ + spine; }
  int pod_wire(int leaf, int spine, int core) const {
    return leaves_ * spines_ + (pod_of(leaf) * spines_ + spine) * cores_ + core;
  }
  bool is_path(int from, int to, int path) const;

  WireLinks links_;
  int leaves_ = 1;
  int leaves_per_pod_ = 0;  // 0: no third level
  int spines_ = 1;          // of a pod, as paths are told apart
  int cores_ = 1;           // of a spine, likewise
};

}  // namespace moeplan::topology
