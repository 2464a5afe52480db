#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/quantity_text.h"
#include "topology/cluster.h"

namespace moeplan::topology {

namespace {

using base::pretty;
using base::RankId;

/// "4 cables of 50 GB/s".
std::string cable_text(const CableSpec& cables) {
  return fmt::format("{} cable{} of {}", cables.count, cables.count == 1 ? "" : "s",
                     pretty(cables.bandwidth));
}

std::string uplink_text(const std::optional<FabricSpec::Uplinks>& uplinks, double oversubscription,
                        const char* of) {
  return uplinks ? fmt::format(", {} uplinks of {} per {}", uplinks->count, pretty(uplinks->bandwidth), of)
                 : fmt::format(", oversubscription {}:1", oversubscription);
}

std::string tree_line(const FabricSpec& fabric) {
  const bool rails = fabric.kind == FabricSpec::Kind::kRailOptimised;
  std::string line = fmt::format("{}, {} nodes per leaf",
                                 rails         ? "rail-optimised"
                                 : fabric.pods ? "three-level fat tree"
                                               : "two-level fat tree",
                                 fabric.nodes_per_leaf);
  line += uplink_text(fabric.uplinks, fabric.oversubscription, "leaf");
  if (fabric.pods) {
    line += fmt::format("; {} {} per pod", fabric.pods->leaves, rails ? "groups of leaves" : "leaves") +
            uplink_text(fabric.pods->uplinks, fabric.pods->oversubscription, "pod");
  }
  if (rails) {
    line += fabric.cross_rail == FabricSpec::CrossRail::kRelay ? ", cross-rail traffic relayed over NVLink"
                                                               : ", cross-rail traffic through the spine";
  }
  return line;
}

std::string dragonfly_line(const FabricSpec& fabric) {
  const FabricSpec::Dragonfly& fly = fabric.dragonfly;
  std::string line = fmt::format("dragonfly, {} groups of {} routers of {} nodes", fly.groups, fly.routers,
                                 fabric.nodes_per_leaf);
  if (fly.routers > 1) line += fmt::format("; {} between routers of a group", cable_text(fly.local));
  if (fly.groups > 1) line += fmt::format("; {} between groups", cable_text(fly.global));
  return line + "; minimal routing";
}

std::string torus_line(const FabricSpec& fabric) {
  std::string size;
  for (const int each : fabric.torus.size) size += (size.empty() ? "" : " x ") + fmt::format("{}", each);
  return fmt::format("torus of {} routers of {} node{}; {} between neighbours; dimension-ordered routing",
                     size, fabric.nodes_per_leaf, fabric.nodes_per_leaf == 1 ? "" : "s",
                     cable_text(fabric.torus.link));
}

std::string fabric_line(const Cluster& cluster) {
  const FabricSpec& fabric = cluster.spec().fabric;
  if (cluster.nodes() == 1) return "none (one node)";
  if (fabric.kind == FabricSpec::Kind::kSingleSwitch) return "single switch";
  std::string line;
  if (fabric.is_tree()) line = tree_line(fabric);
  if (fabric.kind == FabricSpec::Kind::kDragonfly) line = dragonfly_line(fabric);
  if (fabric.kind == FabricSpec::Kind::kTorus) line = torus_line(fabric);
  if (fabric.kind == FabricSpec::Kind::kGraph)
    line = fmt::format("graph of {} switches and {} links; shortest paths", fabric.graph.switches.size(),
                       fabric.graph.links.size());
  if (fabric.routing == Routing::kStatic) return line + ", static: one path for each destination";
  if (fabric.routing == Routing::kEcmp && fabric.hashes_addresses)
    return line + ", ecmp: all between two NICs hashes to one path of single links";
  if (fabric.routing == Routing::kEcmp)
    return line + fmt::format(", ecmp: {} queue pair{} of a connection hash{} to single links",
                              fabric.queue_pairs, fabric.queue_pairs == 1 ? "" : "s",
                              fabric.queue_pairs == 1 ? "es" : "");
  line += ", sprayed over parallel links";
  if (cluster.most_parts() > 1) line += fmt::format(" and each transfer over {} paths", cluster.most_parts());
  return line;
}

struct LinkGroup {
  int count = 0;
  Link example;
};

/// Links of one class, rate and latency together, in order of appearance.
std::string link_table(const Cluster& cluster) {
  std::vector<LinkGroup> groups;
  for (const Link& link : cluster.links()) {
    if (link.failed) continue;
    auto group = groups.begin();
    while (group != groups.end() &&
           !(group->example.link_class == link.link_class && group->example.capacity == link.capacity &&
             group->example.latency == link.latency)) {
      ++group;
    }
    if (group == groups.end()) group = groups.insert(group, {0, link});
    ++group->count;
  }
  std::string table;
  for (const LinkGroup& group : groups) {
    table += fmt::format("  {:>6} x {:<7} {:>10} each way, latency {:>8}   (first: {})\n", group.count,
                         name(group.example.link_class), pretty(group.example.capacity),
                         pretty(group.example.latency), group.example.name);
  }
  return table;
}

std::string route_line(const Cluster& cluster, const char* label, int from, int to) {
  const Route route = cluster.route(RankId(from), RankId(to));
  std::string names;
  for (const base::LinkId link : route) names += (names.empty() ? "" : " | ") + cluster.link(link).name;
  return fmt::format("  {:<14} {} -> {}: {}, latency {}\n", label, from, to, names,
                     pretty(cluster.latency(route)));
}

std::string route_table(const Cluster& cluster) {
  std::string table;
  const int gpus = cluster.gpus_per_node();
  if (gpus > 1) table += route_line(cluster, "inside a node", 0, 1);
  if (cluster.nodes() > 1) {
    table += route_line(cluster, "to next node", 0, gpus);
    if (gpus > 1) table += route_line(cluster, "to its last", 0, 2 * gpus - 1);
    table += route_line(cluster, "farthest", 0, cluster.ranks() - 1);
  }
  return table;
}

}  // namespace

std::string describe(const Cluster& cluster) {
  std::string text =
      fmt::format("cluster {}: {} node{} of {} x {} ({} each), {} ranks, profile {}\n", cluster.name(),
                  cluster.nodes(), cluster.nodes() == 1 ? "" : "s", cluster.gpus_per_node(), cluster.gpu(),
                  pretty(cluster.gpu_memory()), cluster.ranks(), cluster.profile());
  text += fmt::format("NVLink domain: {} GPUs, {} per GPU each way\n", cluster.nvlink_domain(),
                      pretty(cluster.nvlink_bandwidth()));
  if (cluster.spec().node.nics) {
    const NicSpec& nics = *cluster.spec().node.nics;
    text += fmt::format("NICs: {} per node of {} each way ({} per GPU)\n", nics.count, pretty(nics.bandwidth),
                        pretty(cluster.nic_bandwidth_per_gpu()));
  }
  text +=
      fmt::format("fabric: {}\nlinks, one direction each:\n{}", fabric_line(cluster), link_table(cluster));
  if (cluster.ranks() > 1) text += "routes:\n" + route_table(cluster);
  text += fmt::format("bisection bandwidth: {} each way between {}\n", pretty(cluster.bisection_bandwidth()),
                      cluster.nodes() > 1 ? "the two halves of the nodes" : "the two halves of the GPUs");
  for (const ClusterSpec::SlowRank& slow : cluster.spec().slow_ranks) {
    text += fmt::format("slow rank {}: kernels take {} times as long\n", slow.rank, slow.factor);
  }
  for (const ClusterSpec::DegradedLink& link : cluster.spec().degraded_links) {
    text += fmt::format("degraded link {}: {}\n", link.link, pretty(link.bandwidth));
  }
  for (const ClusterSpec::FailedLink& link : cluster.spec().failed_links) {
    text += fmt::format("failed link {}, both directions{}\n", link.link,
                        link.cables > 0 ? fmt::format(": {} of its cables", link.cables) : "");
  }
  return text;
}

}  // namespace moeplan::topology
