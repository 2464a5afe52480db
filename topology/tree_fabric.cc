#include "topology/tree_fabric.h"

#include <fmt/format.h>

namespace moeplan::topology {

using base::BytesPerSecond;

namespace {

std::string suffix(bool single, int number) { return single ? fmt::format("_{}", number) : std::string(); }

}  // namespace

TreeFabric TreeFabric::lay_out(const FabricSpec& spec, int units, int rails, int ports_below,
                               BytesPerSecond port, Wiring& wiring) {
  const bool single = spec.routing != Routing::kSpray;
  const int uplinks = count_leaf_uplinks(spec, ports_below);
  const BytesPerSecond capacity = spec.uplinks
                                      ? spec.uplinks->bandwidth * static_cast<double>(spec.uplinks->count)
                                      : port * (static_cast<double>(ports_below) / spec.oversubscription);
  TreeFabric tree;
  tree.leaves_ = units * rails;
  tree.spines_ = single ? uplinks : 1;
  tree.leaves_per_pod_ = spec.pods && spec.pods->leaves < units ? spec.pods->leaves * rails : 0;
  const int pods = tree.leaves_per_pod_ > 0 ? (units + spec.pods->leaves - 1) / spec.pods->leaves : 1;
  const int first_spine = wiring.switches;
  wiring.switches += pods * tree.spines_;
  for (int leaf = 0; leaf < tree.leaves_; ++leaf) {
    const std::string number =
        rails > 1 ? fmt::format("{}_{}", leaf / rails, leaf % rails) : fmt::format("{}", leaf);
    for (int spine = 0; spine < tree.spines_; ++spine) {
      const std::string end = number + suffix(single, spine);
      wiring.add("leaf_up" + end, "leaf_dn" + end, leaf,
                 first_spine + tree.pod_of(leaf) * tree.spines_ + spine,
                 single ? capacity * (1.0 / uplinks) : capacity, spec.latency, single ? 1 : uplinks);
    }
  }
  if (tree.leaves_per_pod_ == 0) return tree;
  const int of_pod = count_pod_uplinks(*spec.pods, std::int64_t{uplinks} * tree.leaves_per_pod_);
  const BytesPerSecond up =
      spec.pods->uplinks
          ? spec.pods->uplinks->bandwidth * static_cast<double>(spec.pods->uplinks->count)
          : capacity * (static_cast<double>(tree.leaves_per_pod_) / spec.pods->oversubscription);
  tree.cores_ = single ? of_pod / tree.spines_ : 1;
  const int first_core = wiring.switches;
  wiring.switches += tree.spines_ * tree.cores_;
  for (int pod = 0; pod < pods; ++pod) {
    for (int path = 0; path < tree.spines_ * tree.cores_; ++path) {
      const std::string end = single ? fmt::format("{}_{}_{}", pod, path / tree.cores_, path % tree.cores_)
                                     : fmt::format("{}", pod);
      wiring.add("pod_up" + end, "pod_dn" + end, first_spine + pod * tree.spines_ + path / tree.cores_,
                 first_core + path, single ? up * (1.0 / of_pod) : up, spec.pods->latency,
                 single ? 1 : of_pod);
    }
  }
  return tree;
}

/// Is every link of this path alive? Inside a pod the core does not matter.
bool TreeFabric::is_path(int from, int to, int path) const {
  const int spine = path % spines_;
  if (!links_.is_alive(leaf_wire(from, spine)) || !links_.is_alive(leaf_wire(to, spine))) return false;
  return pod_of(from) == pod_of(to) || (links_.is_alive(pod_wire(from, spine, path / spines_)) &&
                                        links_.is_alive(pod_wire(to, spine, path / spines_)));
}

bool TreeFabric::append(Route& route, int from, int to, std::uint64_t selector) const {
  if (from == to) return true;
  const bool crosses = pod_of(from) != pod_of(to);
  const int paths = crosses ? spines_ * cores_ : spines_;
  int path = -1;
  if (links_.has_dead()) {
    int alive = 0;
    for (int each = 0; each < paths; ++each) alive += is_path(from, to, each) ? 1 : 0;
    if (alive == 0) return false;
    for (int skip = choose(selector, alive); skip >= 0; --skip) {
      do ++path;
      while (!is_path(from, to, path));
    }
  } else {
    path = choose(selector, paths);
  }
  const int spine = path % spines_;
  links_.take(route, leaf_wire(from, spine), true);
  if (crosses) {
    links_.take(route, pod_wire(from, spine, path / spines_), true);
    links_.take(route, pod_wire(to, spine, path / spines_), false);
  }
  links_.take(route, leaf_wire(to, spine), false);
  return true;
}

}  // namespace moeplan::topology
