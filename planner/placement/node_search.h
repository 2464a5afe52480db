#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "planner/placement/problem.h"

namespace moeplan::planner {

/// What load costs, as the local search of layer times sees it.
struct NodeCosts {
  double per_load = 1.0;   ///< s for all of a layer's load on one GPU: experts, forward and backward
  double per_cross = 0.0;  ///< s for all of it through one GPU's NIC: the four all-to-alls together
};

/// What one layer's search may value: a layer of 288 slots on 32 GPUs takes some 2 ms.
inline constexpr std::int64_t kNodeValuations = 12'000;

/// A placement of one layer under change where tokens go to replicas on their own node
/// (TokenSplit::kLocality).
///
/// Model:   J = mean over iterations of per_load * max_g L_g + per_cross * max(max_g in_g, max_n out_n /
/// gpus_per_node)
///          replica of e on node n:  L = s_en / r_en + far_e / c_e,  in = far_e / c_e
///          out_n = sum of s_en over experts without a replica on n;  far_e = sum of s_en over nodes without
///          e
/// Symbols: s_en = load of expert e from node n; r_en, c_e = its replicas on n and in all; in, out = what
/// crosses
///          nodes, into a GPU and out of a node
/// Moves:   two slots trade experts; a slot takes another expert. Valued in O(iterations * (replicas of both
/// + gpus))
class NodeSearch {
 public:
  /// source[iteration][expert][node]. Requires: no GPU holds an expert twice.
  NodeSearch(const SlotShape& shape, int experts, std::span<const double> source, const NodeCosts& costs,
             const Slots& slots);
  double objective() const { return objective_; }
  Slots slots() const;
  /// Takes moves of the GPUs that rule the objective until none helps or so many were valued, times
  /// iterations.
  void descend(std::int64_t valuations);

 private:
  struct Change {
    std::size_t slot = 0;
    std::int32_t expert = 0;
  };
  std::size_t gpu_of(std::size_t slot) const { return slot / per_gpu_; }
  std::size_t node_of(std::size_t gpu) const { return gpu / per_node_; }
  bool holds(std::size_t gpu, std::int32_t expert) const;
  void add(std::size_t expert, double sign);
  void set(const Change& change);
  double value() const;
  /// The objective with the changes made; they are taken back unless it falls below that of now.
  bool try_changes(std::span<const Change> changes);
  bool improve(std::size_t gpu, std::int64_t& valuations);
  /// GPUs with the largest value of some iteration, those of most iterations first. Shape:
  /// values[iteration][gpu]
  std::vector<std::size_t> list_ruling(const std::vector<double>& values) const;

  SlotShape shape_;
  std::size_t experts_, gpus_, nodes_, per_gpu_, per_node_, iterations_;
  std::vector<double> source_;
  NodeCosts costs_;
  std::vector<std::int32_t> slot_;
  std::vector<std::vector<std::uint32_t>> holders_;  // [expert] -> GPUs
  std::vector<int> on_node_;                         // [expert][node]
  std::vector<double> load_, in_, out_;              // [iteration][gpu], the same, [iteration][node]
  double objective_ = 0;
};

}  // namespace moeplan::planner
