#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <variant>

#include "topology/dragonfly.h"
#include "topology/switch_graph.h"
#include "topology/torus.h"
#include "topology/tree_fabric.h"

namespace moeplan::topology {

/// What joins the switches that nodes are on; nothing where one switch does. Names of links:
///     leaf_up{leaf} leaf_dn{leaf}         leaf to spine and back (fat tree); leaf_up{unit}_{rail} of rails
///     pod_up{pod} pod_dn{pod}             spines of a pod to cores and back
///     local{group}_{i}_{j}                router i of a group to router j (dragonfly)
///     global{g}_{h}_{k}                   k-th link from group g to group h
///     dim{d}_up{router} dim{d}_dn{router} router to its next in a dimension and back (torus)
///     {a}>{b}                             between two switches of an explicit graph
using Fabric = std::variant<std::monostate, TreeFabric, Dragonfly, Torus, SwitchGraph>;

/// The links from one switch to another, by their numbers; false where there is no path.
bool append_path(const Fabric& fabric, Route& route, int from, int to, std::uint64_t selector);

/// Once failures are known; first_link: of the fabric's.
void settle(Fabric& fabric, const Wiring& wiring, int first_link);

/// How many paths, told apart as links, a transfer may be spread over at most.
int count_paths(const Fabric& fabric);

/// Two of the switches `used` without a path from the first to the second.
/// Cost: quadratic in `used`.
std::optional<std::pair<int, int>> find_parted(const Fabric& fabric, const std::vector<int>& used);

}  // namespace moeplan::topology
