#include "topology/link.h"

#include <algorithm>

#include "base/check.h"

namespace moeplan::topology {

std::string_view name(LinkClass link_class) {
  switch (link_class) {
    case LinkClass::kNvlink:
      return "nvlink";
    case LinkClass::kPcie:
      return "pcie";
    case LinkClass::kNic:
      return "nic";
    case LinkClass::kFabric:
      return "fabric";
  }
  return "?";
}

void Route::push_back(base::LinkId link) {
  MOEPLAN_CHECK(size_ < kCapacity, "a route is longer than Route::kCapacity");
  links_[size_++] = link;
}

void Route::append(const Route& tail) {
  for (const base::LinkId link : tail) push_back(link);
}

bool operator==(const Route& a, const Route& b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

}  // namespace moeplan::topology
