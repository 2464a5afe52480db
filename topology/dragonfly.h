#pragma once

#include <cstdint>

#include "topology/fabric_spec.h"
#include "topology/wire.h"

namespace moeplan::topology {

/// A dragonfly: routers in groups, every two routers of a group joined, every two groups joined by K links.
///
/// Link k from group g to group h starts at router (peer * K + k) mod R of g, where peer numbers the other
/// groups of g from 0, R = routers of a group. Where K > R, links k, k + R, ... join the same routers;
/// sprayed, they are one. Minimal routing: local link to the router with the global link, if another; global
/// link; local link. Traffic between two groups is spread over their global links. Where the local link has
/// failed, a third router of the group relays; global links that need no relay go before. Source: Kim, Dally,
/// Scott, Abts, Technology-Driven, Highly-Scalable Dragonfly Topology, ISCA 2008. Not modelled: detours by a
/// third group (Valiant, UGAL).
class Dragonfly {
 public:
  static Dragonfly lay_out(const FabricSpec& spec, Wiring& wiring);
  void settle(const Wiring& wiring, int first_link) { links_.settle(wiring, first_link); }
  /// The links from one router to another; false where minimal routing finds none.
  bool append(Route& route, int from, int to, std::uint64_t selector) const;
  int paths() const { return global_cables_; }

 private:
  int local_wire(int group, int i, int j, int cable) const;
  int global_wire(int g, int h, int k) const;
  int gateway(int g, int h, int k) const {
    return static_cast<int>(((h < g ? h : h - 1) * static_cast<std::int64_t>(global_cables_) + k) % routers_);
  }
  int count_local(int group, int i, int j) const;
  int find_relay(int group, int i, int j, std::uint64_t selector) const;
  bool append_local(Route& route, int group, int i, int j, std::uint64_t& selector) const;
  void take_local(Route& route, int group, int i, int j, std::uint64_t& selector) const;
  int cost(int from, int to, int k) const;
  /// Cable k of two groups is in this link.
  int link_of(int k) const { return k % globals_; }

  WireLinks links_;
  int groups_ = 1;
  int routers_ = 1;
  int locals_ = 1;         // links between two routers that are told apart
  int globals_ = 1;        // likewise between two groups
  int global_cables_ = 1;  // K
};

}  // namespace moeplan::topology
