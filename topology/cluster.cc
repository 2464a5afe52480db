#include "topology/cluster.h"

#include <cstdint>
#include <initializer_list>

#include "base/check.h"
#include "base/diagnostics.h"

namespace moeplan::topology {

using base::BytesPerSecond;
using base::LinkId;
using base::RankId;

namespace {

// Within a node's block of PCIe or NIC links, and within the fabric's: up at 2 i, down at 2 i + 1.
constexpr int up(int i) { return 2 * i; }
constexpr int down(int i) { return 2 * i + 1; }

/// A hash of all its arguments: the finaliser of splitmix64 over each in turn.
std::uint64_t hash_of(std::initializer_list<std::uint64_t> words) {
  std::uint64_t state = 0;
  for (const std::uint64_t word : words) {
    state += word + 0x9e3779b97f4a7c15ULL;
    state = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9ULL;
    state = (state ^ (state >> 27)) * 0x94d049bb133111ebULL;
    state ^= state >> 31;
  }
  return state;
}

}  // namespace

LinkId Cluster::node_link(int node, int offset) const { return LinkId(node * links_per_node_ + offset); }

void Cluster::append_local(Route& route, int node, int from, int to) const {
  const LocalRoutes& local =
      local_[local_of_node_.empty()
                 ? 0
                 : static_cast<std::size_t>(local_of_node_[static_cast<std::size_t>(node)])];
  for (const int offset : local[static_cast<std::size_t>(from * gpus_per_node_ + to)]) {
    route.push_back(node_link(node, offset));
  }
}

/// The NIC port of its node that the rank uses.
int Cluster::port_of(int rank) const {
  return port_of_rank_.empty() ? port_of_gpu_[static_cast<std::size_t>(rank % gpus_per_node_)]
                               : port_of_rank_[static_cast<std::size_t>(rank)];
}

/// The lowest GPU of the node on that port; -1 where it has failed.
int Cluster::gpu_of_port(int node, int port) const {
  if (port_of_rank_.empty()) return gpu_of_port_[static_cast<std::size_t>(port)];
  for (int gpu = 0; gpu < gpus_per_node_; ++gpu) {
    if (port_of(node * gpus_per_node_ + gpu) == port) return gpu;
  }
  return -1;
}

/// Sprayed, it turns through the paths as both ends do, so that those of one rank, and of many, are spread
/// evenly. NICs are numbered through all nodes.
std::uint64_t Cluster::select_path(const Ends& ranks, const Ends& nics, int part, std::uint64_t seed) const {
  const FabricSpec& fabric = spec_.fabric;
  const auto word = [](int number) { return static_cast<std::uint64_t>(number); };
  if (fabric.routing == Routing::kStatic) return word(nics.dst);
  if (fabric.routing == Routing::kSpray) return 2 * word(ranks.src) + word(ranks.dst) + word(part);
  return fabric.hashes_addresses ? hash_of({seed, word(nics.src), word(nics.dst)})
                                 : hash_of({seed, word(ranks.src), word(ranks.dst), word(part)});
}

Route Cluster::route(RankId src, RankId dst, int part, std::uint64_t seed) const {
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
  int src_port = port_of(src.value());
  const int dst_port = port_of(dst.value());
  if (relay_ && src_port != dst_port) {
    if (const int relay = gpu_of_port(src_node, dst_port); relay >= 0) {
      append_local(route, src_node, from, relay);
      from = relay;
      src_port = dst_port;
    }
  }
  if (pcie_offset_ >= 0) route.push_back(node_link(src_node, pcie_offset_ + up(from)));
  route.push_back(node_link(src_node, nic_offset_ + up(src_port)));
  if (!switch_of_port_.empty()) {
    const Ends nics{src_node * ports_per_node_ + src_port, dst_node * ports_per_node_ + dst_port};
    const std::uint64_t path = select_path({src.value(), dst.value()}, nics, part, seed);
    MOEPLAN_CHECK(append_path(fabric_, route, switch_of_port_[static_cast<std::size_t>(nics.src)],
                              switch_of_port_[static_cast<std::size_t>(nics.dst)], path),
                  "no path from one switch to another");
  }
  route.push_back(node_link(dst_node, nic_offset_ + down(dst_port)));
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

ClusterSpec without_hashing(ClusterSpec spec) {
  if (spec.fabric.routing != Routing::kEcmp) return spec;
  const base::Place* named = nullptr;
  if (!spec.degraded_links.empty()) named = &spec.degraded_links.front().place;
  if (!spec.failed_links.empty()) named = &spec.failed_links.front().place;
  if (named != nullptr)
    throw base::InputError(std::vector<base::Diagnostic>{
        {spec.file, named->at, named->path,
         "steps are simulated with ecmp taken as spray, which does not tell single links apart",
         "write \"routing: spray\" and links of that, with \"cables\"; moeplan show cluster lists them"}});
  spec.fabric.routing = Routing::kSpray;
  spec.fabric.hashing_left_out = true;
  return spec;
}

}  // namespace moeplan::topology
