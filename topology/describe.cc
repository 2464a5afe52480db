#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/quantity_text.h"
#include "topology/cluster.h"

namespace moeplan::topology {

namespace {

using base::pretty;
using base::RankId;

std::string fabric_line(const Cluster& cluster) {
  const FabricSpec& fabric = cluster.spec().fabric;
  if (cluster.nodes() == 1) return "none (one node)";
  if (fabric.kind == FabricSpec::Kind::kSingleSwitch) return "single switch";
  const bool rails = fabric.kind == FabricSpec::Kind::kRailOptimised;
  std::string line = fmt::format("{}, {} nodes per leaf", rails ? "rail-optimised" : "two-level fat tree",
                                 fabric.nodes_per_leaf);
  if (fabric.uplinks) {
    line +=
        fmt::format(", {} uplinks of {} per leaf", fabric.uplinks->count, pretty(fabric.uplinks->bandwidth));
  } else {
    line += fmt::format(", oversubscription {}:1", fabric.oversubscription);
  }
  if (rails) {
    line += fabric.cross_rail == FabricSpec::CrossRail::kRelay ? ", cross-rail traffic relayed over NVLink"
                                                               : ", cross-rail traffic through the spine";
  }
  return line + ", sprayed over parallel links";
}

struct LinkGroup {
  int count = 0;
  Link example;
};

/// Links of one class, rate and latency together, in order of appearance.
std::string link_table(const Cluster& cluster) {
  std::vector<LinkGroup> groups;
  for (const Link& link : cluster.links()) {
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
  return text;
}

}  // namespace moeplan::topology
