#include "topology/cluster_builder.h"

#include <algorithm>
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
  first_device_ = cluster_.graph_.vertices;
  for (int node = 0; node < spec_.nodes; ++node) add_node(node);
  add_fabric();
  derive_local_routes();
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
  const FabricSpec& fabric = spec_.fabric;
  const bool rails = fabric.kind == FabricSpec::Kind::kRailOptimised;
  cluster_.nodes_per_leaf_ = fabric.nodes_per_leaf;
  cluster_.leaves_per_unit_ = rails ? ports : 1;
  cluster_.relay_ = rails && fabric.cross_rail == FabricSpec::CrossRail::kRelay;
  if (spec_.nodes > 1) {
    const int units =
        fabric.nodes_per_leaf > 0 ? (spec_.nodes + fabric.nodes_per_leaf - 1) / fabric.nodes_per_leaf : 1;
    leaf_vertex_ = cluster_.graph_.vertices;
    cluster_.graph_.vertices += units * cluster_.leaves_per_unit_;
  }
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

int ClusterBuilder::leaf_of(int node, int port) const {
  const int unit = cluster_.nodes_per_leaf_ > 0 ? node / cluster_.nodes_per_leaf_ : 0;
  return leaf_vertex_ + unit * cluster_.leaves_per_unit_ + (cluster_.leaves_per_unit_ > 1 ? port : 0);
}

void ClusterBuilder::add_nics(int node) {
  const base::Seconds latency = spec_.node.nics->latency;
  // The root complex is the device that add_pcie has just made.
  const int root = cluster_.graph_.vertices - 1;
  for (int port = 0; port < cluster_.ports_per_node_; ++port) {
    const int device = add_device();
    const int number = node * cluster_.ports_per_node_ + port;
    const int leaf = leaf_of(node, port);
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
  const FabricSpec& fabric = spec_.fabric;
  if (spec_.nodes == 1 || fabric.nodes_per_leaf == 0) return;
  const int units = (spec_.nodes + fabric.nodes_per_leaf - 1) / fabric.nodes_per_leaf;
  const bool crosses_in_spine = cluster_.leaves_per_unit_ > 1 && !cluster_.relay_;
  if (units == 1 && !crosses_in_spine) return;
  const int ports_below = fabric.nodes_per_leaf * cluster_.ports_per_node_ / cluster_.leaves_per_unit_;
  const BytesPerSecond capacity =
      fabric.uplinks ? fabric.uplinks->bandwidth * static_cast<double>(fabric.uplinks->count)
                     : port_bandwidth() * (static_cast<double>(ports_below) / fabric.oversubscription);
  cluster_.fabric_offset_ = static_cast<int>(cluster_.links_.size());
  const int spine = add_device();
  for (int unit = 0; unit < units; ++unit) {
    for (int rail = 0; rail < cluster_.leaves_per_unit_; ++rail) {
      const std::string number =
          cluster_.leaves_per_unit_ > 1 ? fmt::format("{}_{}", unit, rail) : fmt::format("{}", unit);
      const int leaf = leaf_vertex_ + unit * cluster_.leaves_per_unit_ + rail;
      add_link("leaf_up" + number, LinkClass::kFabric, capacity, fabric.latency, leaf, spine);
      add_link("leaf_dn" + number, LinkClass::kFabric, capacity, fabric.latency, spine, leaf);
    }
  }
}

/// Routes inside a node are the cheapest walks of its graph; every node is wired like the first.
void ClusterBuilder::derive_local_routes() {
  const int gpus = spec_.node.gpus;
  cluster_.local_.resize(static_cast<std::size_t>(gpus) * static_cast<std::size_t>(gpus));
  // Links of node 0 alone, its devices renumbered to follow its GPUs.
  Graph node{gpus, {}};
  const auto renumber = [&](int vertex) {
    const int own = vertex < gpus ? vertex : gpus + vertex - first_device_;
    node.vertices = std::max(node.vertices, own + 1);
    return own;
  };
  for (const Graph::Edge& edge : cluster_.graph_.edges) {
    if (edge.link.valid() && edge.link.value() >= cluster_.links_per_node_) break;
    if (!edge.link.valid() || cluster_.links_[edge.link.index()].link_class == LinkClass::kNic) continue;
    node.edges.push_back({renumber(edge.from), renumber(edge.to), edge.link, edge.cost});
  }
  for (int to = 0; to < gpus; ++to) {
    const std::vector<int> distances = compute_distances_to(node, to);
    for (int from = 0; from < gpus; ++from) {
      if (distances[static_cast<std::size_t>(from)] < 0) {
        throw base::InputError(
            std::vector<base::Diagnostic>{{spec_.file,
                                           {},
                                           "cluster > node > nvlink",
                                           fmt::format("GPU {} has no way to GPU {}", from, to),
                                           "add pairs to the mesh, or \"pcie\""}});
      }
      auto& offsets = cluster_.local_[static_cast<std::size_t>(from * gpus + to)];
      for (const int edge : find_walk(node, distances, from, to)) {
        offsets.push_back(node.edges[static_cast<std::size_t>(edge)].link.value());
      }
    }
  }
}

void ClusterBuilder::apply_exceptions() {
  cluster_.slow_factor_.assign(static_cast<std::size_t>(cluster_.ranks()), 1.0);
  for (const ClusterSpec::SlowRank& slow : spec_.slow_ranks) {
    cluster_.slow_factor_[static_cast<std::size_t>(slow.rank)] = slow.factor;
  }
  base::DiagnosticSink sink;
  for (const ClusterSpec::DegradedLink& degraded : spec_.degraded_links) {
    const auto link = std::find_if(cluster_.links_.begin(), cluster_.links_.end(),
                                   [&](const Link& each) { return each.name == degraded.link; });
    if (link != cluster_.links_.end()) {
      link->capacity = degraded.bandwidth;
      continue;
    }
    std::vector<std::string> names;
    for (const Link& each : cluster_.links_) names.push_back(each.name);
    const std::string near = base::nearest_word(degraded.link, names);
    sink.add(
        {spec_.file, degraded.place.at, degraded.place.path,
         fmt::format("there is no link \"{}\"", degraded.link),
         near.empty() ? "moeplan show cluster lists the links" : fmt::format("did you mean \"{}\"?", near)});
  }
  sink.throw_if_any();
}

Cluster compile(const ClusterSpec& spec) { return ClusterBuilder(spec).build(); }

Cluster load_cluster(const std::string& path) {
  return compile(read_cluster_spec(base::load_document(path)));
}

}  // namespace moeplan::topology
