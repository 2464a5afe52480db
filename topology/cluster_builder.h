#pragma once

#include <string>

#include "topology/cluster.h"

namespace moeplan::topology {

/// Turns a checked spec into a Cluster: links node by node, then the fabric, then the exceptions.
class ClusterBuilder {
 public:
  explicit ClusterBuilder(const ClusterSpec& spec);
  Cluster build();

 private:
  void copy_facts();
  void lay_out_ports();
  void add_node(int node);
  void add_nvlink(int node);
  void add_pcie(int node);
  void add_nics(int node);
  void add_fabric();
  void derive_local_routes();
  void apply_exceptions();

  int add_device() { return cluster_.graph_.vertices++; }
  base::LinkId add_link(std::string name, LinkClass link_class, base::BytesPerSecond capacity,
                        base::Seconds latency, int from, int to, int cost = Graph::kHop);
  void add_free_step(int from, int to);
  base::BytesPerSecond port_bandwidth() const;
  int leaf_of(int node, int port) const;  // vertex

  const ClusterSpec& spec_;
  Cluster cluster_;
  int leaf_vertex_ = 0;   // first leaf switch
  int first_device_ = 0;  // first switch, root complex or port of node 0
};

}  // namespace moeplan::topology
