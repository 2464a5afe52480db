#include "topology/cluster.h"

#include "base/check.h"

namespace moeplan::topology {

using base::BytesPerSecond;
using base::LinkId;
using base::RankId;

namespace {

// Within a node's block of PCIe or NIC links, and within the fabric's: up at 2 i, down at 2 i + 1.
constexpr int up(int i) { return 2 * i; }
constexpr int down(int i) { return 2 * i + 1; }

}  // namespace

LinkId Cluster::node_link(int node, int offset) const { return LinkId(node * links_per_node_ + offset); }

void Cluster::append_local(Route& route, int node, int from, int to) const {
  for (const int offset : local_[static_cast<std::size_t>(from * gpus_per_node_ + to)]) {
    route.push_back(node_link(node, offset));
  }
}

void Cluster::append_fabric(Route& route, int src_node, int src_port, int dst_node, int dst_port) const {
  route.push_back(node_link(src_node, nic_offset_ + up(src_port)));
  const int src_unit = nodes_per_leaf_ > 0 ? src_node / nodes_per_leaf_ : 0;
  const int dst_unit = nodes_per_leaf_ > 0 ? dst_node / nodes_per_leaf_ : 0;
  const int src_leaf = src_unit * leaves_per_unit_ + (leaves_per_unit_ > 1 ? src_port : 0);
  const int dst_leaf = dst_unit * leaves_per_unit_ + (leaves_per_unit_ > 1 ? dst_port : 0);
  if (src_leaf != dst_leaf) {
    route.push_back(LinkId(fabric_offset_ + up(src_leaf)));
    route.push_back(LinkId(fabric_offset_ + down(dst_leaf)));
  }
  route.push_back(node_link(dst_node, nic_offset_ + down(dst_port)));
}

Route Cluster::route(RankId src, RankId dst) const {
  MOEPLAN_CHECK(src.valid() && src.value() < ranks() && dst.valid() && dst.value() < ranks(), "no such rank");
  Route route;
  if (src == dst) return route;
  const int src_node = node_of(src).value();
  const int dst_node = node_of(dst).value();
  int from = local_rank(src);
  const int to = local_rank(dst);
  if (src_node == dst_node) {
    append_local(route, src_node, from, to);
    return route;
  }
  const int dst_port = port_of_gpu_[static_cast<std::size_t>(to)];
  if (relay_ && port_of_gpu_[static_cast<std::size_t>(from)] != dst_port) {
    const int relay = gpu_of_port_[static_cast<std::size_t>(dst_port)];
    append_local(route, src_node, from, relay);
    from = relay;
  }
  if (pcie_offset_ >= 0) route.push_back(node_link(src_node, pcie_offset_ + up(from)));
  append_fabric(route, src_node, port_of_gpu_[static_cast<std::size_t>(from)], dst_node, dst_port);
  if (pcie_offset_ >= 0) route.push_back(node_link(dst_node, pcie_offset_ + down(to)));
  return route;
}

base::Seconds Cluster::latency(const Route& route) const {
  base::Seconds sum;
  for (const LinkId id : route) sum += link(id).latency;
  return sum;
}

BytesPerSecond Cluster::bisection_bandwidth() const {
  std::vector<int> sources;
  std::vector<int> sinks;
  const int parted = nodes_ > 1 ? nodes_ / 2 * gpus_per_node_ : gpus_per_node_ / 2;
  for (int rank = 0; rank < ranks(); ++rank) (rank < parted ? sources : sinks).push_back(rank);
  std::vector<BytesPerSecond> capacity;
  for (const Graph::Edge& edge : graph_.edges) {
    capacity.push_back(edge.link.valid() ? link(edge.link).capacity : BytesPerSecond());
  }
  return compute_min_cut(graph_, capacity, sources, sinks);
}

}  // namespace moeplan::topology
