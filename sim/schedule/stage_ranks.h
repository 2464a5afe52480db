#pragma once

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "sim/workload/plan.h"
#include "topology/cluster.h"

namespace moeplan::sim {

/// The ranks of one pipeline stage and how a layer's communication ties them together.
struct StageRanks {
  std::vector<base::RankId> ranks;  ///< in dense order: tp fastest, then cp, then dp
  int tensor_group = 1;             ///< tp * cp neighbours exchange hidden states
  int expert_group = 1;             ///< ep neighbours exchange tokens
  int block = 1;                    ///< ranks that wait for each other inside a layer: lcm of the two

  std::size_t blocks() const { return ranks.size() / static_cast<std::size_t>(block); }
};
StageRanks stage_ranks(const ParallelLayout& layout, int stage);

/// The EP group from place `first` of the stage on: its ranks in runs of so many share a node; 0 where they do
/// not stand in equal runs.
int node_block(const topology::Cluster& cluster, const StageRanks& stage, std::size_t first);

/// Stages with equal signatures sit on the cluster in the same way: the same places in nodes and leaves, no
/// slow rank and no degraded link in the cluster. Others are never equal.
std::vector<std::int64_t> stage_signature(const topology::Cluster& cluster, const StageRanks& stage,
                                          int index);

}  // namespace moeplan::sim
