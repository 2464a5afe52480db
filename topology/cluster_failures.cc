// Failed links: what is left takes their traffic, or the cluster is refused.
#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "topology/cluster_builder.h"

namespace moeplan::topology {

using base::DiagnosticSink;
using base::LinkId;

namespace {

/// Pairs of switches that are looked at, at most: all of 2,048.
constexpr std::size_t kMostSwitches = 2048;

}  // namespace

void ClusterBuilder::apply_failures() {
  DiagnosticSink sink;
  for (const ClusterSpec::FailedLink& failed : spec_.failed_links) fail(failed, sink);
  sink.throw_if_any();
  settle(cluster_.fabric_, wiring_, static_cast<int>(first_fabric_link_));
  if (spec_.fabric.routing == Routing::kSpray)
    cluster_.parts_ = std::min(Cluster::kMostParts, count_paths(cluster_.fabric_));
  if (spec_.fabric.routing == Routing::kEcmp) cluster_.parts_ = spec_.fabric.queue_pairs;
  if (!spec_.failed_links.empty()) leave_failed_nics(sink);
  if (!spec_.failed_links.empty() || spec_.fabric.kind == FabricSpec::Kind::kGraph) check_joined(sink);
  sink.throw_if_any();
}

/// The graph has no failed links; local routes have been found by then.
void ClusterBuilder::drop_failed_edges() {
  auto& edges = cluster_.graph_.edges;
  edges.erase(std::remove_if(edges.begin(), edges.end(),
                             [&](const Graph::Edge& edge) {
                               return edge.link.valid() && cluster_.links_[edge.link.index()].failed;
                             }),
              edges.end());
}

/// Links come in pairs, one for each direction: a cable is gone in both.
void ClusterBuilder::fail(const ClusterSpec::FailedLink& failed, DiagnosticSink& sink) {
  const LinkId link = find_link(failed.link, failed.place, sink);
  if (!link.valid()) return;
  const std::size_t forth = link.index() / 2 * 2;
  const auto fault = [&](std::string message, std::string hint) {
    sink.add({spec_.file, failed.place.at, failed.place.path, std::move(message), std::move(hint)});
  };
  if (cluster_.links_[forth].failed)
    return fault(fmt::format("link \"{}\" has failed twice", failed.link), "");
  if (forth >= first_fabric_link_) return fail_cables(failed, (forth - first_fabric_link_) / 2, sink);
  if (failed.cables != 0)
    return fault(fmt::format("link \"{}\" is one cable", failed.link), "leave \"cables\" out");
  if (cluster_.links_[forth].link_class == LinkClass::kPcie)
    return fault(fmt::format("link \"{}\" is its GPU's only way out", failed.link),
                 "leave the node out of the cluster");
  cluster_.links_[forth].failed = cluster_.links_[forth + 1].failed = true;
  if (cluster_.links_[forth].link_class != LinkClass::kNvlink) return;
  rewired_.resize(static_cast<std::size_t>(spec_.nodes));
  rewired_[forth / static_cast<std::size_t>(cluster_.links_per_node_)] = true;
}

void ClusterBuilder::fail_cables(const ClusterSpec::FailedLink& failed, std::size_t number,
                                 DiagnosticSink& sink) {
  Wire& wire = wiring_.wires[number];
  const auto fault = [&](std::string message, std::string hint) {
    sink.add({spec_.file, failed.place.at, failed.place.path, std::move(message), std::move(hint)});
  };
  if (failed.cables != 0 && wire.cables == 0)
    return fault(fmt::format("the number of cables of link \"{}\" is not known", failed.link),
                 "give the fabric \"uplinks\" with their count");
  if (failed.cables > wire.alive)
    return fault(fmt::format("{} cables of link \"{}\" have failed, and it has {}", failed.cables,
                             failed.link, wire.alive),
                 "");
  wire.alive = failed.cables == 0 ? 0 : wire.alive - failed.cables;
  for (const std::size_t link : {first_fabric_link_ + 2 * number, first_fabric_link_ + 2 * number + 1}) {
    if (wire.alive == 0) {
      cluster_.links_[link].failed = true;
    } else {
      cluster_.links_[link].capacity = wire.bandwidth * (wire.alive / static_cast<double>(wire.cables));
    }
  }
}

/// GPUs whose NIC has failed share the next of their node that has not.
void ClusterBuilder::leave_failed_nics(DiagnosticSink& sink) {
  if (cluster_.nic_offset_ < 0) return;
  const auto failed = [&](int node, int port) {
    return cluster_.links_[cluster_.node_link(node, cluster_.nic_offset_ + 2 * port).index()].failed;
  };
  const int ports = cluster_.ports_per_node_;
  std::vector<int> chosen;
  bool moved = false;
  for (int rank = 0; rank < cluster_.ranks(); ++rank) {
    const int node = rank / spec_.node.gpus;
    const int own = cluster_.port_of_gpu_[static_cast<std::size_t>(rank % spec_.node.gpus)];
    int step = 0;
    while (step < ports && failed(node, (own + step) % ports)) ++step;
    if (step == ports) {
      sink.add({spec_.file, spec_.failed_links.front().place.at, "cluster > failed_links",
                fmt::format("node {} has no NIC left", node), "leave the node out of the cluster"});
      return;
    }
    moved |= step > 0;
    chosen.push_back((own + step) % ports);
  }
  if (!moved) return;
  if (cluster_.relay_ && wiring_.wires.empty())
    sink.add({spec_.file, spec_.failed_links.front().place.at, "cluster > failed_links",
              "a NIC has failed, and without a spine nothing joins the rails",
              "write \"cross_rail: spine\""});
  for (int rank = 0; rank < cluster_.ranks(); ++rank) {
    const int node = rank / spec_.node.gpus;
    const int port = chosen[static_cast<std::size_t>(rank)];
    if (port == cluster_.port_of_gpu_[static_cast<std::size_t>(rank % spec_.node.gpus)]) continue;
    // A root complex reaches all NICs of its node.
    if (spec_.node.pcie) continue;
    const int device =
        first_device_ + (node + 1) * devices_ - ports + port;  // a node's NICs are its last devices
    add_free_step(rank, device);
    add_free_step(device, rank);
  }
  cluster_.port_of_rank_ = std::move(chosen);
}

void ClusterBuilder::check_joined(DiagnosticSink& sink) const {
  const std::set<int> set(cluster_.switch_of_port_.begin(), cluster_.switch_of_port_.end());
  const std::vector<int> used(set.begin(), set.end());
  const bool graph = spec_.fabric.kind == FabricSpec::Kind::kGraph;
  const bool dead = std::any_of(wiring_.wires.begin(), wiring_.wires.end(),
                                [](const Wire& wire) { return wire.alive == 0; });
  if (!dead && !graph) return;
  const base::Place& place =
      spec_.failed_links.empty() ? spec_.fabric.place : spec_.failed_links.front().place;
  if (!graph && used.size() > kMostSwitches) {
    sink.add(
        {spec_.file, place.at, "cluster > failed_links",
         fmt::format("found failed links in a fabric of {} leaf switches or routers, expected at most {}",
                     used.size(), kMostSwitches),
         "write \"degraded_links\" instead"});
    return;
  }
  int farthest = 0;
  for (const int size : spec_.fabric.torus.size) farthest += size - 1;
  if (farthest > static_cast<int>(Route::kMostFabricHops)) {
    sink.add({spec_.file, place.at, "cluster > failed_links",
              fmt::format(
                  "paths around failed links in a torus of this size may have {} links, expected at most {}",
                  farthest, Route::kMostFabricHops),
              "write \"degraded_links\" instead"});
    return;
  }
  const auto parted = find_parted(cluster_.fabric_, used);
  if (!parted) return;
  const auto name_of = [&](int at) {
    return graph ? fmt::format("switch \"{}\"", spec_.fabric.graph.switches[static_cast<std::size_t>(at)])
                 : fmt::format("{} {}", spec_.fabric.is_tree() ? "leaf" : "router", at);
  };
  const auto node_on = [&](int at) {
    const auto port = std::find(cluster_.switch_of_port_.begin(), cluster_.switch_of_port_.end(), at);
    return (port - cluster_.switch_of_port_.begin()) / cluster_.ports_per_node_;
  };
  sink.add({spec_.file, place.at, spec_.failed_links.empty() ? "cluster > fabric" : "cluster > failed_links",
            fmt::format("{} (node {}) has no path to {} (node {})", name_of(parted->first),
                        node_on(parted->first), name_of(parted->second), node_on(parted->second)),
            spec_.failed_links.empty()
                ? fmt::format("add links; paths may have at most {}", Route::kMostFabricHops)
                : "leave the nodes out of the cluster"});
}

}  // namespace moeplan::topology
