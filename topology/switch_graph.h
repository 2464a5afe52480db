#pragma once

#include <cstdint>
#include <vector>

#include "topology/fabric_spec.h"
#include "topology/wire.h"

namespace moeplan::topology {

/// An explicit graph of switches: a link is named by its ends, "leaf0>spine1".
///
/// Shortest paths by the number of links. Where several next links lie on shortest paths they are chosen
/// among in proportion to their cables; failed ones are as if they had never been there.
class SwitchGraph {
 public:
  static SwitchGraph lay_out(const FabricSpec& spec, Wiring& wiring);
  void settle(const Wiring& wiring, int first_link);
  /// False where there is no path, or none of at most Route::kMostFabricHops links.
  bool append(Route& route, int from, int to, std::uint64_t selector) const;
  bool joins(int from, int to) const { return distance(from, to) != kFar; }
  /// The most paths that any switch chooses among, a link counted as often as its cables ask for.
  int paths() const { return paths_; }

 private:
  struct Next {
    int wire;
    int to;
    bool forth;
    int cables;
  };
  static constexpr std::uint8_t kFar = 255;
  std::uint8_t distance(int from, int to) const {
    return distance_[static_cast<std::size_t>(to) * static_cast<std::size_t>(switches_) +
                     static_cast<std::size_t>(from)];
  }

  WireLinks links_;
  int switches_ = 0;
  int paths_ = 1;
  std::vector<std::vector<Next>> next_;  // [switch]
  std::vector<char> used_;               // [switch]: nodes are on it
  std::vector<std::uint8_t> distance_;   // [to * switches + from]; rows of switches with nodes alone
};

}  // namespace moeplan::topology
