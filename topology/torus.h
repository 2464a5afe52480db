#pragma once

#include <cstdint>
#include <vector>

#include "topology/fabric_spec.h"
#include "topology/wire.h"

namespace moeplan::topology {

/// A torus of any number of dimensions: a ring of links in each.
///
/// Router r has the coordinates of r in the mixed radix of the sizes, the first dimension fastest. Link
/// dim{d}_up{r} leads from r to its next in dimension d, dim{d}_dn{r} from there back to r; a ring of two is
/// one link each way. Dimension-ordered routing: dimension by dimension, each the shorter way round; halfway
/// round, routers with an even coordinate go up, those with an odd one down. Where that way is cut the other
/// one is taken. Source: Dally, Towles, Principles and Practices of Interconnection Networks, 2004, 8.4. Not
/// modelled: adaptive routing.
class Torus {
 public:
  static Torus lay_out(const FabricSpec& spec, Wiring& wiring);
  void settle(const Wiring& wiring, int first_link) { links_.settle(wiring, first_link); }
  /// False where a ring is cut on both sides.
  bool append(Route& route, int from, int to, std::uint64_t selector) const;
  int paths() const { return 1; }

 private:
  /// One link in dimension d, up or down.
  struct Step {
    int wire;
    bool forth;
    int router;  // where it ends
  };
  int coordinate(int router, std::size_t d) const { return router / stride_[d] % size_[d]; }
  Step step(int router, std::size_t d, bool up) const;
  bool walk(Route* route, int from, std::size_t d, int hops, bool up, int& end) const;

  WireLinks links_;
  std::vector<int> size_;
  std::vector<int> stride_;
  std::vector<int> wires_;  // [router * dimensions + d] -> wire of dim{d}_up{router}; -1: none
};

}  // namespace moeplan::topology
