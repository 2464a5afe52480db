#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/units.h"

namespace moeplan::topology {

/// What a link is made of; profiles hold one calibrated class each.
enum class LinkClass { kNvlink, kPcie, kNic, kFabric };

/// "nvlink", "pcie", "nic", "fabric".
std::string_view name(LinkClass link_class);

/// One direction of a cable (or of a bundle of parallel cables that traffic is sprayed over).
struct Link {
  std::string name;  ///< "nic_up3": unique in a cluster
  LinkClass link_class = LinkClass::kNvlink;
  base::BytesPerSecond capacity;
  base::Seconds latency;
  bool failed = false;  ///< it is on no route
};

/// The links from one rank to another in travel order. Held inline: a route costs no allocation.
class Route {
 public:
  static constexpr std::size_t kCapacity = 32;
  /// Links between the switches of a fabric; the rest is for those inside the nodes.
  static constexpr std::size_t kMostFabricHops = 24;

  void push_back(base::LinkId link);
  void append(const Route& tail);
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  base::LinkId operator[](std::size_t hop) const { return links_[hop]; }
  const base::LinkId* data() const { return links_.data(); }
  const base::LinkId* begin() const { return links_.data(); }
  const base::LinkId* end() const { return links_.data() + size_; }
  friend bool operator==(const Route& a, const Route& b);

 private:
  std::array<base::LinkId, kCapacity> links_{};
  std::size_t size_ = 0;
};

}  // namespace moeplan::topology
