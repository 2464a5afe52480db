#pragma once

#include <string>
#include <vector>

#include "base/diagnostics.h"
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
  void lay_out_fabric();
  void add_node(int node);
  void add_nvlink(int node);
  void add_pcie(int node);
  void add_nics(int node);
  void add_fabric();
  void derive_local_routes();
  Cluster::LocalRoutes find_local_routes(int node, bool without_failed) const;
  void apply_exceptions();

  // Failed links (cluster_failures.cc).
  void apply_failures();
  void fail(const ClusterSpec::FailedLink& failed, base::DiagnosticSink& sink);
  void fail_cables(const ClusterSpec::FailedLink& failed, std::size_t wire, base::DiagnosticSink& sink);
  void leave_failed_nics(base::DiagnosticSink& sink);
  void drop_failed_edges();
  void check_joined(base::DiagnosticSink& sink) const;

  int add_device() { return cluster_.graph_.vertices++; }
  base::LinkId add_link(std::string name, LinkClass link_class, base::BytesPerSecond capacity,
                        base::Seconds latency, int from, int to, int cost = Graph::kHop);
  void add_free_step(int from, int to);
  base::BytesPerSecond port_bandwidth() const;
  int switch_of(int node, int port) const;
  base::LinkId find_link(const std::string& name, const base::Place& place, base::DiagnosticSink& sink) const;

  const ClusterSpec& spec_;
  Cluster cluster_;
  Wiring wiring_;
  std::vector<bool> rewired_;  // [node]: links inside it have failed
  int first_switch_ = 0;       // vertex of the fabric's switch 0
  int first_device_ = 0;       // first switch, root complex or port of node 0
  int devices_ = 0;            // of a node
  std::size_t first_fabric_link_ = 0;
};

}  // namespace moeplan::topology
