#pragma once

#include <span>
#include <vector>

#include "sim/network/sharing.h"

namespace moeplan::sim {

/// Links and bundles that influence each other; links are numbered anew from 0. A bundle is the flows over
/// the same links: they always run at the same rate.
struct Component {
  std::vector<double> capacity;    ///< [link], bytes per second
  std::vector<int> link_of;        ///< [link] -> in the problem's links
  std::vector<int> first_hop{0};   ///< [bundle], and the end
  std::vector<int> hops;           ///< links of each bundle, each once
  std::vector<int> first_flow{0};  ///< [bundle], and the end
  std::vector<int> flows;          ///< flows of each bundle, as indices of the FlowSet

  int links() const { return static_cast<int>(capacity.size()); }
  int bundles() const { return static_cast<int>(first_flow.size()) - 1; }
};

/// Cuts a sharing problem to what decides its rates. Flows without bytes or without a route are in no
/// component.
///
/// A link e is left out if its flows can be parted among other kept links g, each flow under one that it
/// takes, with  sum { c_g } <= c_e : then e is never full before they are. Tried are, for all flows of e
/// alike, the narrowest link, the narrowest before e and the narrowest behind it. Cost: O(hops) plus sorting
/// the links; bundles are found by hashing, numbered in order of first appearance.
/// together: all flows are one component, for those that wait for each other.
std::vector<Component> reduce(std::span<const SharedLink> links, const FlowSet& flows, bool together = false);

}  // namespace moeplan::sim
