#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/units.h"
#include "topology/link.h"

namespace moeplan::topology {

/// Parallel cables between two switches of a fabric. Each direction is a link: that from a to b is link 2 i
/// of the fabric for wire i, that back is 2 i + 1.
struct Wire {
  std::string forth;  ///< name of the link from a to b
  std::string back;
  int a = 0;  ///< switch
  int b = 0;
  base::BytesPerSecond bandwidth;  ///< of all cables, one direction
  base::Seconds latency;
  int cables = 1;  ///< 0: not known
  int alive = 1;   ///< cables that have not failed; those of an unknown number are all or none
};

/// The switches of a fabric and what joins them. Nodes are on the first `edges` switches.
struct Wiring {
  int switches = 1;
  int edges = 1;
  std::vector<Wire> wires;

  void add(std::string forth, std::string back, int a, int b, base::BytesPerSecond bandwidth,
           base::Seconds latency, int cables) {
    wires.push_back(
        {std::move(forth), std::move(back), a, b, bandwidth, latency, cables, cables > 0 ? cables : 1});
  }
};

/// Takes one of `paths` and leaves the rest of the selector for choices further on.
inline int choose(std::uint64_t& selector, int paths) {
  const auto n = static_cast<std::uint64_t>(std::max(1, paths));
  const auto chosen = static_cast<int>(selector % n);
  selector /= n;
  return chosen;
}

/// What every fabric knows of its wires once failures are known: where its links begin, and which are dead.
class WireLinks {
 public:
  void settle(const Wiring& wiring, int first_link) {
    first_link_ = first_link;
    dead_.clear();
    for (std::size_t i = 0; i < wiring.wires.size(); ++i) {
      if (wiring.wires[i].alive > 0) continue;
      dead_.resize(wiring.wires.size());
      dead_[i] = 1;
    }
  }
  bool has_dead() const { return !dead_.empty(); }
  bool is_alive(int wire) const { return dead_.empty() || dead_[static_cast<std::size_t>(wire)] == 0; }
  void take(Route& route, int wire, bool forth) const {
    route.push_back(base::LinkId(first_link_ + 2 * wire + (forth ? 0 : 1)));
  }

 private:
  int first_link_ = 0;
  std::vector<char> dead_;  // [wire]; empty where none is
};

}  // namespace moeplan::topology
