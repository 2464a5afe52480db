#include "topology/cluster_builder.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/diagnostics.h"

namespace moeplan::topology {

using base::BytesPerSecond;
using base::LinkId;

ClusterBuilder::ClusterBuilder(const ClusterSpec& spec) : spec_(spec) {
  MOEPLAN_CHECK(spec.nodes > 0 && spec.node.gpus > 0, "a cluster needs nodes and GPUs");
}

Cluster ClusterBuilder::build() {
  copy_facts();
  lay_out_ports();
  if (spec_.nodes > 1 && spec_.node.nics) lay_out_fabric();
  first_device_ = cluster_.graph_.vertices;
  for (int node = 0; node < spec_.nodes; ++node) {
    add_node(node);
    if (node == 0) devices_ = cluster_.graph_.vertices - first_device_;
  }
  add_fabric();
  apply_failures();
  derive_local_routes();
  drop_failed_edges();
  apply_exceptions();
  return std::move(cluster_);
}

void ClusterBuilder::copy_facts() {
  cluster_.spec_ = spec_;
  cluster_.name_ = spec_.name;
  cluster_.gpu_ = spec_.node.gpu;
  cluster_.profile_ = spec_.node.profile;
  cluster_.gpu_memory_ = spec_.node.memory;
  cluster_.nodes_ = spec_.nodes;
  cluster_.gpus_per_node_ = spec_.node.gpus;
  cluster_.nvlink_domain_ = spec_.node.nvlink ? spec_.node.gpus : 1;
  if (spec_.node.nvlink) {
    cluster_.nvlink_bandwidth_ = spec_.node.nvlink->bandwidth;
    if (spec_.node.nvlink->kind == NvlinkSpec::Kind::kMesh) {
      int bricks = 0;
      for (const NvlinkSpec::Pair& pair : spec_.node.nvlink->pairs) bricks += 2 * pair.bricks;
      cluster_.nvlink_bandwidth_ =
          spec_.node.nvlink->bandwidth * (bricks / static_cast<double>(spec_.node.gpus));
    }
  }
  if (spec_.node.nics) {
    cluster_.nic_bandwidth_per_gpu_ =
        spec_.node.nics->bandwidth * (spec_.node.nics->count / static_cast<double>(spec_.node.gpus));
  }
  cluster_.graph_.vertices = cluster_.ranks();
}

/// A port is a NIC, or the NICs of one GPU together where it has several.
void ClusterBuilder::lay_out_ports() {
  if (!spec_.node.nics) return;
  const NicSpec& nics = *spec_.node.nics;
  const int gpus = spec_.node.gpus;
  const int ports = nics.affinity.empty() ? std::min(nics.count, gpus) : nics.count;
  MOEPLAN_CHECK(!nics.affinity.empty() || nics.count % ports == 0, "NICs do not divide over GPUs");
  cluster_.ports_per_node_ = ports;
  cluster_.gpu_of_port_.assign(static_cast<std::size_t>(ports), -1);
  for (int gpu = 0; gpu < gpus; ++gpu) {
    const int port =
        nics.affinity.empty() ? gpu * ports / gpus : nics.affinity[static_cast<std::size_t>(gpu)];
    cluster_.port_of_gpu_.push_back(port);
    int& first = cluster_.gpu_of_port_[static_cast<std::size_t>(port)];
    if (first < 0) first = gpu;
  }
}

/// Leaves come first among the switches; without a spine they stand alone.
void ClusterBuilder::lay_out_fabric() {
  const FabricSpec& fabric = spec_.fabric;
  const int ports = cluster_.ports_per_node_;
  const bool rails = fabric.kind == FabricSpec::Kind::kRailOptimised;
  cluster_.relay_ = rails && fabric.cross_rail == FabricSpec::CrossRail::kRelay;
  if (fabric.is_tree()) {
    const int units = (spec_.nodes + fabric.nodes_per_leaf - 1) / fabric.nodes_per_leaf;
    const int leaves_per_unit = rails ? ports : 1;
    wiring_.switches = wiring_.edges = units * leaves_per_unit;
    const bool crosses_in_spine = leaves_per_unit > 1 && !cluster_.relay_;
    if (units > 1 || crosses_in_spine)
      cluster_.fabric_ =
          TreeFabric::lay_out(fabric, units, leaves_per_unit, fabric.nodes_per_leaf * ports / leaves_per_unit,
                              port_bandwidth(), wiring_);
  } else if (fabric.kind == FabricSpec::Kind::kDragonfly) {
    wiring_.switches = wiring_.edges = fabric.dragonfly.groups * fabric.dragonfly.routers;
    cluster_.fabric_ = Dragonfly::lay_out(fabric, wiring_);
  } else if (fabric.kind == FabricSpec::Kind::kTorus) {
    wiring_.switches = wiring_.edges =
        std::accumulate(fabric.torus.size.begin(), fabric.torus.size.end(), 1, std::multiplies<>());
    cluster_.fabric_ = Torus::lay_out(fabric, wiring_);
  } else if (fabric.kind == FabricSpec::Kind::kGraph) {
    wiring_.switches = wiring_.edges = static_cast<int>(fabric.graph.switches.size());
    cluster_.fabric_ = SwitchGraph::lay_out(fabric, wiring_);
  }
  first_switch_ = cluster_.graph_.vertices;
  cluster_.graph_.vertices += wiring_.switches;
  for (int port = 0; wiring_.edges > 1 && port < spec_.nodes * ports; ++port)
    cluster_.switch_of_port_.push_back(switch_of(port / ports, port % ports));
}

int ClusterBuilder::switch_of(int node, int port) const {
  const FabricSpec& fabric = spec_.fabric;
  if (fabric.kind == FabricSpec::Kind::kGraph) return fabric.graph.attached[static_cast<std::size_t>(node)];
  if (fabric.nodes_per_leaf == 0) return 0;
  const int unit = node / fabric.nodes_per_leaf;
  return fabric.kind == FabricSpec::Kind::kRailOptimised ? unit * cluster_.ports_per_node_ + port : unit;
}

BytesPerSecond ClusterBuilder::port_bandwidth() const {
  const NicSpec& nics = *spec_.node.nics;
  return nics.bandwidth * (nics.count / static_cast<double>(cluster_.ports_per_node_));
}

LinkId ClusterBuilder::add_link(std::string name, LinkClass link_class, BytesPerSecond capacity,
                                base::Seconds latency, int from, int to, int cost) {
  const LinkId id = LinkId::from(cluster_.links_.size());
  cluster_.links_.push_back({std::move(name), link_class, capacity, latency});
  cluster_.graph_.edges.push_back({from, to, id, cost});
  return id;
}

void ClusterBuilder::add_free_step(int from, int to) {
  cluster_.graph_.edges.push_back({from, to, LinkId(), 0});
}

void ClusterBuilder::add_node(int node) {
  const std::size_t first = cluster_.links_.size();
  const auto offset = [&] { return static_cast<int>(cluster_.links_.size() - first); };
  if (spec_.node.nvlink && spec_.node.gpus > 1) add_nvlink(node);
  if (spec_.node.pcie) {
    cluster_.pcie_offset_ = offset();
    add_pcie(node);
  }
  if (spec_.node.nics && spec_.nodes > 1) {
    cluster_.nic_offset_ = offset();
    add_nics(node);
  }
  cluster_.links_per_node_ = offset();
}

void ClusterBuilder::add_nvlink(int node) {
  const NvlinkSpec& nvlink = *spec_.node.nvlink;
  const int first = node * spec_.node.gpus;
  if (nvlink.kind == NvlinkSpec::Kind::kSwitch) {
    const int device = add_device();
    for (int rank = first; rank < first + spec_.node.gpus; ++rank) {
      add_link(fmt::format("nvl_up{}", rank), LinkClass::kNvlink, nvlink.bandwidth, nvlink.latency, rank,
               device);
      add_link(fmt::format("nvl_dn{}", rank), LinkClass::kNvlink, nvlink.bandwidth, nvlink.latency, device,
               rank);
    }
    return;
  }
  for (const NvlinkSpec::Pair& pair : nvlink.pairs) {
    const BytesPerSecond capacity = nvlink.bandwidth * static_cast<double>(pair.bricks);
    const int a = first + pair.a;
    const int b = first + pair.b;
    add_link(fmt::format("nvl{}_{}", a, b), LinkClass::kNvlink, capacity, nvlink.latency, a, b);
    add_link(fmt::format("nvl{}_{}", b, a), LinkClass::kNvlink, capacity, nvlink.latency, b, a);
  }
}

/// Between GPUs PCIe is the last resort; on the way to a NIC it is always taken.
void ClusterBuilder::add_pcie(int node) {
  const int root = add_device();
  for (int rank = node * spec_.node.gpus; rank < (node + 1) * spec_.node.gpus; ++rank) {
    add_link(fmt::format("pcie_up{}", rank), LinkClass::kPcie, spec_.node.pcie->bandwidth,
             spec_.node.pcie->latency, rank, root, Graph::kLastResort);
    add_link(fmt::format("pcie_dn{}", rank), LinkClass::kPcie, spec_.node.pcie->bandwidth,
             spec_.node.pcie->latency, root, rank, Graph::kLastResort);
  }
}

void ClusterBuilder::add_nics(int node) {
  const base::Seconds latency = spec_.node.nics->latency;
  // The root complex is the device that add_pcie has just made.
  const int root = cluster_.graph_.vertices - 1;
  for (int port = 0; port < cluster_.ports_per_node_; ++port) {
    const int device = add_device();
    const int number = node * cluster_.ports_per_node_ + port;
    const int leaf = first_switch_ + switch_of(node, port);
    add_link(fmt::format("nic_up{}", number), LinkClass::kNic, port_bandwidth(), latency, device, leaf);
    add_link(fmt::format("nic_dn{}", number), LinkClass::kNic, port_bandwidth(), latency, leaf, device);
    if (spec_.node.pcie) {
      add_free_step(root, device);
      add_free_step(device, root);
      continue;
    }
    for (int gpu = 0; gpu < spec_.node.gpus; ++gpu) {
      if (cluster_.port_of_gpu_[static_cast<std::size_t>(gpu)] != port) continue;
      add_free_step(node * spec_.node.gpus + gpu, device);
      add_free_step(device, node * spec_.node.gpus + gpu);
    }
  }
}

void ClusterBuilder::add_fabric() {
  first_fabric_link_ = cluster_.links_.size();
  for (const Wire& wire : wiring_.wires) {
    const int a = first_switch_ + wire.a;
    const int b = first_switch_ + wire.b;
    add_link(wire.forth, LinkClass::kFabric, wire.bandwidth, wire.latency, a, b);
    add_link(wire.back, LinkClass::kFabric, wire.bandwidth, wire.latency, b, a);
  }
}

/// Every node is wired like the first, but for links that have failed.
void ClusterBuilder::derive_local_routes() {
  cluster_.local_.push_back(find_local_routes(0, false));
  if (rewired_.empty()) return;
  for (int node = 0; node < spec_.nodes; ++node) {
    const bool own = rewired_[static_cast<std::size_t>(node)];
    cluster_.local_of_node_.push_back(own ? static_cast<int>(cluster_.local_.size()) : 0);
    if (own) cluster_.local_.push_back(find_local_routes(node, true));
  }
}

/// Routes inside a node are the cheapest walks of its graph.
Cluster::LocalRoutes ClusterBuilder::find_local_routes(int node, bool without_failed) const {
  const int gpus = spec_.node.gpus;
  const int first_link = node * cluster_.links_per_node_;
  Cluster::LocalRoutes local(static_cast<std::size_t>(gpus) * static_cast<std::size_t>(gpus));
  // The node's links alone, its devices renumbered to follow its GPUs.
  Graph own{gpus, {}};
  const auto renumber = [&](int vertex) {
    const int number =
        vertex < cluster_.ranks() ? vertex - node * gpus : gpus + vertex - first_device_ - node * devices_;
    own.vertices = std::max(own.vertices, number + 1);
    return number;
  };
  for (const Graph::Edge& edge : cluster_.graph_.edges) {
    if (edge.link.valid() && edge.link.value() >= first_link + cluster_.links_per_node_) break;
    if (!edge.link.valid() || edge.link.value() < first_link) continue;
    const Link& link = cluster_.links_[edge.link.index()];
    if (link.link_class == LinkClass::kNic || (without_failed && link.failed)) continue;
    own.edges.push_back({renumber(edge.from), renumber(edge.to), edge.link, edge.cost});
  }
  for (int to = 0; to < gpus; ++to) {
    const std::vector<int> distances = compute_distances_to(own, to);
    for (int from = 0; from < gpus; ++from) {
      if (distances[static_cast<std::size_t>(from)] < 0) {
        throw base::InputError(std::vector<base::Diagnostic>{
            without_failed
                ? base::Diagnostic{spec_.file, spec_.failed_links.front().place.at, "cluster > failed_links",
                                   fmt::format("without these links rank {} has no way to rank {}",
                                               node * gpus + from, node * gpus + to),
                                   "leave the node out of the cluster"}
                : base::Diagnostic{spec_.file,
                                   {},
                                   "cluster > node > nvlink",
                                   fmt::format("GPU {} has no way to GPU {}", from, to),
                                   "add pairs to the mesh, or \"pcie\""}});
      }
      auto& offsets = local[static_cast<std::size_t>(from * gpus + to)];
      for (const int edge : find_walk(own, distances, from, to)) {
        offsets.push_back(own.edges[static_cast<std::size_t>(edge)].link.value() - first_link);
      }
    }
  }
  return local;
}

LinkId ClusterBuilder::find_link(const std::string& name, const base::Place& place,
                                 base::DiagnosticSink& sink) const {
  for (std::size_t i = 0; i < cluster_.links_.size(); ++i) {
    if (cluster_.links_[i].name == name) return LinkId::from(i);
  }
  std::vector<std::string> names;
  for (const Link& each : cluster_.links_) names.push_back(each.name);
  const std::string near = base::nearest_word(name, names);
  sink.add(
      {spec_.file, place.at, place.path, fmt::format("there is no link \"{}\"", name),
       near.empty() ? "moeplan show cluster lists the links" : fmt::format("did you mean \"{}\"?", near)});
  return LinkId();
}

void ClusterBuilder::apply_exceptions() {
  cluster_.slow_factor_.assign(static_cast<std::size_t>(cluster_.ranks()), 1.0);
  for (const ClusterSpec::SlowRank& slow : spec_.slow_ranks) {
    cluster_.slow_factor_[static_cast<std::size_t>(slow.rank)] = slow.factor;
  }
  base::DiagnosticSink sink;
  for (const ClusterSpec::DegradedLink& degraded : spec_.degraded_links) {
    const LinkId link = find_link(degraded.link, degraded.place, sink);
    if (link.valid()) cluster_.links_[link.index()].capacity = degraded.bandwidth;
  }
  sink.throw_if_any();
}

Cluster compile(const ClusterSpec& spec) { return ClusterBuilder(spec).build(); }

Cluster load_sprayed(const std::string& path) {
  return compile(without_hashing(read_cluster_spec(base::load_document(path))));
}

Cluster load_cluster(const std::string& path) {
  return compile(read_cluster_spec(base::load_document(path)));
}

}  // namespace moeplan::topology
