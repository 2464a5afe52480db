#pragma once

#include <optional>
#include <string>
#include <vector>

#include "report/validation/corpus.h"
#include "topology/cluster.h"

namespace moeplan::report {

/// A row of e2e/clusters.csv: the machine that a published step ran on, as far as it is known.
struct ClusterFacts {
  std::string id, gpu, fabric, assumed;
  topology::NicTransport transport = topology::NicTransport::kRdma;
  int gpus_per_node = 0;
  int nvlink_domain = 1;
  double nvlink_gb_per_s = 0;  ///< per GPU and direction
  std::optional<int> nics_per_node;
  std::optional<double> nic_gbit_per_s;
  double memory_gib = 0;
};

/// A cluster of the wanted size, or why there is none.
struct BuiltCluster {
  std::optional<topology::Cluster> cluster;
  std::string why;                 ///< where there is none
  std::vector<std::string> notes;  ///< what had to be assumed
};

/// The clusters that step tables name by id; from every companion e2e/clusters.csv, the nearest first.
class ClusterTable {
 public:
  explicit ClusterTable(const Corpus& corpus);

  /// `gpus` GPUs of that kind of machine, packed onto whole nodes. Not stated in the table and assumed: link
  /// latencies as in our shipped clusters, 32 nodes a leaf, no oversubscription, one switch where the fabric
  /// is unknown. A rack whose NVLink domain is larger than a node stands as one node of as many GPUs as the
  /// job can use of it evenly.
  BuiltCluster build(const std::string& id, int gpus, const std::string& profile) const;
  /// `local` GPUs on each of `nodes` nodes of that machine, each with its share of the node's NICs.
  BuiltCluster build_nodes(const std::string& id, int nodes, int local, const std::string& profile) const;

 private:
  std::vector<ClusterFacts> facts_;
};

}  // namespace moeplan::report
