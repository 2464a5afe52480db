#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/units.h"
#include "topology/cluster_spec.h"
#include "topology/fabric.h"
#include "topology/graph.h"
#include "topology/link.h"

namespace moeplan::topology {

/// What the cluster is: ranks on nodes, directed links, and the route between any two ranks.
///
/// Rank r is GPU r mod gpus_per_node of node r / gpus_per_node. Links of a node come first, node by node,
/// then those of the fabric; the names are
///     nvl_up{rank} nvl_dn{rank}          GPU to NVSwitch and back
///     nvl{rank}_{rank}                   one direction of a mesh pair
///     pcie_up{rank} pcie_dn{rank}        GPU to root complex and back
///     nic_up{nic} nic_dn{nic}            NIC (numbered through all nodes) to leaf switch and back
///     leaf_up{leaf} leaf_dn{leaf}        leaf to spine and back (fat tree)
///     leaf_up{unit}_{rail} ...           the same of a rail-optimised fabric
/// and those of fabric.h. Parallel cables are one link of their summed capacity: traffic is sprayed over
/// them.
///
/// Not modelled: limits inside a switch, congestion trees, and paths through the CPU's interconnect.
class Cluster {
 public:
  /// Into how many parts a transfer is cut at most.
  static constexpr int kMostParts = 4;

  const std::string& name() const { return name_; }
  int ranks() const { return nodes_ * gpus_per_node_; }
  int nodes() const { return nodes_; }
  int gpus_per_node() const { return gpus_per_node_; }
  base::NodeId node_of(base::RankId rank) const { return base::NodeId(rank.value() / gpus_per_node_); }
  int local_rank(base::RankId rank) const { return rank.value() % gpus_per_node_; }
  bool same_node(base::RankId a, base::RankId b) const { return node_of(a) == node_of(b); }

  const std::string& gpu() const { return gpu_; }
  base::Bytes gpu_memory() const { return gpu_memory_; }
  /// Name of the profile of this GPU type, without folder and .yaml.
  const std::string& profile() const { return profile_; }
  /// Ranks that reach each other over NVLink: the GPUs of a node, or 1 without NVLink.
  int nvlink_domain() const { return nvlink_domain_; }
  /// Per GPU and direction, all its NVLinks together; zero without NVLink.
  base::BytesPerSecond nvlink_bandwidth() const { return nvlink_bandwidth_; }
  /// NIC bandwidth of a node shared out evenly over its GPUs, per direction; zero without NICs.
  base::BytesPerSecond nic_bandwidth_per_gpu() const { return nic_bandwidth_per_gpu_; }
  /// How many times longer the kernels of this rank take; 1 for nearly all.
  double slow_factor(base::RankId rank) const { return slow_factor_[rank.index()]; }

  const std::vector<Link>& links() const { return links_; }  ///< [LinkId]
  const Link& link(base::LinkId id) const { return links_[id.index()]; }

  /// The links that traffic from `src` to `dst` takes; empty where they are the same rank.
  ///
  /// Same node: NVLink (a mesh pair without a direct link is relayed by the peer that makes the fewest hops,
  /// then the lowest rank), else PCIe.
  /// Across nodes: NIC, fabric, NIC. A rail-optimised fabric with `cross_rail: relay` first moves traffic
  /// over NVLink to the GPU of the source node that sits on the destination's rail (what NCCL calls PXN), so
  /// that it enters the destination on its own NIC; with `cross_rail: spine` it crosses rails in the spine.
  /// part: of parts(src, dst); where the fabric has several paths each part takes one. Under `ecmp` a part is
  /// a queue pair, and `seed` of the hash says which path it takes; under `static` the destination's port
  /// does. Cost: that of the route's links, no allocation.
  Route route(base::RankId src, base::RankId dst, int part = 0, std::uint64_t seed = 0) const;
  /// Into how many equal parts a transfer is cut: the queue pairs of a connection, or so that it is spread
  /// over paths that share no switch; the same for all transfers between nodes, as a part gets a share of its
  /// own.
  int parts(base::RankId src, base::RankId dst) const { return same_node(src, dst) ? 1 : parts_; }
  /// The same between nodes.
  int most_parts() const { return parts_; }
  /// Sum of the latencies of a route's links.
  base::Seconds latency(const Route& route) const;

  /// The least total capacity, one way, between the first half of the nodes and the rest (GPUs of one node
  /// where there is only one); zero for a single GPU.
  base::BytesPerSecond bisection_bandwidth() const;

  const ClusterSpec& spec() const { return spec_; }
  /// Devices and links as a graph; its first vertices are the ranks.
  const Graph& graph() const { return graph_; }

 private:
  friend class ClusterBuilder;
  Cluster() = default;
  void append_local(Route& route, int node, int from, int to) const;
  int port_of(int rank) const;
  /// Two ranks, or two NICs.
  struct Ends {
    int src;
    int dst;
  };
  std::uint64_t select_path(const Ends& ranks, const Ends& nics, int part, std::uint64_t seed) const;
  int gpu_of_port(int node, int port) const;
  base::LinkId node_link(int node, int offset) const;

  ClusterSpec spec_;
  std::string name_;
  std::string gpu_;
  std::string profile_;
  base::Bytes gpu_memory_;
  base::BytesPerSecond nvlink_bandwidth_;
  base::BytesPerSecond nic_bandwidth_per_gpu_;
  int nodes_ = 0;
  int gpus_per_node_ = 0;
  int nvlink_domain_ = 1;
  std::vector<Link> links_;
  std::vector<double> slow_factor_;  // [rank]
  Graph graph_;

  // Node template: the same for every node, link ids relative to the node's first link.
  int links_per_node_ = 0;
  int ports_per_node_ = 0;                            // NIC ports as GPUs see them
  int pcie_offset_ = -1;                              // -1: PCIe is no bottleneck
  int nic_offset_ = -1;                               // -1: no NICs
  std::vector<int> port_of_gpu_;                      // [gpu]
  std::vector<int> gpu_of_port_;                      // [port], the lowest GPU on it
  using LocalRoutes = std::vector<std::vector<int>>;  // [from * gpus + to] -> link offsets
  std::vector<LocalRoutes> local_;                    // the template's, then those of nodes with failed links
  std::vector<int> local_of_node_;                    // [node] -> in local_; empty where no node differs
  std::vector<int> port_of_rank_;                     // [rank]; empty where no NIC has failed

  Fabric fabric_;
  std::vector<int> switch_of_port_;  // [node * ports + port]; empty where one switch joins all
  int parts_ = 1;                    // of a transfer between nodes
  bool relay_ = false;               // cross-rail traffic goes over NVLink first
};

/// Builds the const cluster. Throws InputError where a degraded link does not exist.
Cluster compile(const ClusterSpec& spec);

/// The same cluster with its `ecmp` taken as `spray`, for those that do not draw seeds; others as they are.
/// Throws InputError where the file names links that only `ecmp` tells apart.
ClusterSpec without_hashing(ClusterSpec spec);

/// read_cluster_spec and compile of a file.
Cluster load_cluster(const std::string& path);
/// The same without_hashing.
Cluster load_sprayed(const std::string& path);

/// What `moeplan show cluster` prints: nodes, GPUs, links by class, fabric, routes' latencies, bisection.
std::string describe(const Cluster& cluster);

}  // namespace moeplan::topology
