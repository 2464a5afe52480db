#include "topology/torus.h"

#include <fmt/format.h>

namespace moeplan::topology {

Torus Torus::lay_out(const FabricSpec& spec, Wiring& wiring) {
  Torus torus;
  torus.size_ = spec.torus.size;
  int routers = 1;
  for (const int size : torus.size_) {
    torus.stride_.push_back(routers);
    routers *= size;
  }
  const CableSpec& link = spec.torus.link;
  for (int router = 0; router < routers; ++router) {
    for (std::size_t d = 0; d < torus.size_.size(); ++d) {
      const int at = torus.coordinate(router, d);
      // A ring of one has no link, a ring of two has one.
      const bool has = torus.size_[d] > 2 || (torus.size_[d] == 2 && at == 0);
      torus.wires_.push_back(has ? static_cast<int>(wiring.wires.size()) : -1);
      if (!has) continue;
      const int next = router + ((at + 1) % torus.size_[d] - at) * torus.stride_[d];
      wiring.add(fmt::format("dim{}_up{}", d, router), fmt::format("dim{}_dn{}", d, router), router, next,
                 link.bandwidth * static_cast<double>(link.count), link.latency, link.count);
    }
  }
  return torus;
}

Torus::Step Torus::step(int router, std::size_t d, bool up) const {
  const int n = size_[d];
  const int at = coordinate(router, d);
  const int end = router + ((at + (up ? 1 : n - 1)) % n - at) * stride_[d];
  // The link belongs to the router that it leads up from: in a ring of two that is coordinate 0.
  const bool own = n == 2 ? at == 0 : up;
  const int wire = wires_[static_cast<std::size_t>(own ? router : end) * size_.size() + d];
  return {wire, own, end};
}

/// Takes so many steps; without a route it only looks whether all are alive.
bool Torus::walk(Route* route, int from, std::size_t d, int hops, bool up, int& end) const {
  end = from;
  for (int hop = 0; hop < hops; ++hop) {
    const Step next = step(end, d, up);
    if (!links_.is_alive(next.wire)) return false;
    if (route != nullptr) links_.take(*route, next.wire, next.forth);
    end = next.router;
  }
  return true;
}

bool Torus::append(Route& route, int from, int to, std::uint64_t /*selector*/) const {
  int here = from;
  for (std::size_t d = 0; d < size_.size(); ++d) {
    const int n = size_[d];
    const int ahead = (coordinate(to, d) - coordinate(here, d) + n) % n;
    if (ahead == 0) continue;
    const int behind = n - ahead;
    bool up = ahead < behind || (ahead == behind && coordinate(here, d) % 2 == 0);
    int end = here;
    if (links_.has_dead() && !walk(nullptr, here, d, up ? ahead : behind, up, end)) {
      up = !up;
      if (!walk(nullptr, here, d, up ? ahead : behind, up, end)) return false;
    }
    walk(&route, here, d, up ? ahead : behind, up, end);
    here = end;
  }
  return true;
}

}  // namespace moeplan::topology
