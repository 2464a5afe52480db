#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "topology/cluster.h"

namespace moeplan::planner {

/// Cost of a byte between the ranks of a group, row-major, relative to the fastest pair of the group.
///
/// Model:   t_ij = beta_ij / min beta;  beta_ij = 1 / (capacity of the narrowest link of the route i -> j);
/// t_ii = 1 Shape:   [source][destination] Source:  TA-MoE's --topo_file, whose larger values stand for what
/// is farther (systems reference 5.1) Not modelled: latency, links that several pairs share
struct TopologyMatrix {
  std::vector<std::vector<double>> cost;
  friend bool operator==(const TopologyMatrix&, const TopologyMatrix&) = default;
};

/// Requires ranks of the cluster, at least one.
TopologyMatrix compute_topology_matrix(const topology::Cluster& cluster,
                                       const std::vector<base::RankId>& ranks);

/// Rows of numbers with blanks between, as np.loadtxt reads them.
std::string write_topology_matrix(const TopologyMatrix& matrix);

/// Inverse of write_topology_matrix: `#` comments are skipped. Throws InputError with the place: a cell that
/// is no positive number (the gate divides by it), rows of other lengths, rows that make no square.
TopologyMatrix read_topology_matrix(std::string_view text, const std::string& file);

}  // namespace moeplan::planner
