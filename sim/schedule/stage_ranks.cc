#include "sim/schedule/stage_ranks.h"

#include <algorithm>
#include <numeric>

namespace moeplan::sim {

StageRanks stage_ranks(const ParallelLayout& layout, int stage) {
  StageRanks result;
  const int first = stage * layout.ranks_per_stage();
  for (int i = 0; i < layout.ranks_per_stage(); ++i) result.ranks.emplace_back(first + i);
  result.tensor_group = layout.tp * layout.cp;
  result.expert_group = layout.ep * layout.etp;
  result.block = std::min(std::lcm(result.tensor_group, result.expert_group), layout.ranks_per_stage());
  return result;
}

int node_block(const topology::Cluster& cluster, const StageRanks& stage, std::size_t first) {
  const auto n = static_cast<std::size_t>(stage.expert_group);
  std::size_t block = 1;
  while (block < n && cluster.same_node(stage.ranks[first], stage.ranks[first + block])) ++block;
  if (n % block != 0) return 0;
  for (std::size_t i = 0; i < n; ++i) {
    if (!cluster.same_node(stage.ranks[first + i], stage.ranks[first + i / block * block])) return 0;
  }
  return static_cast<int>(block);
}

std::vector<std::int64_t> stage_signature(const topology::Cluster& cluster, const StageRanks& stage,
                                          int index) {
  const topology::ClusterSpec& spec = cluster.spec();
  // Ranks are alike by their place in a tree; elsewhere each stage is taken for one of its own.
  const bool tree = spec.fabric.is_tree() && spec.fabric.routing == topology::Routing::kSpray;
  const bool alike = spec.nodes == 1 || tree || spec.fabric.kind == topology::FabricSpec::Kind::kSingleSwitch;
  if (!alike || !spec.slow_ranks.empty() || !spec.degraded_links.empty() || !spec.failed_links.empty())
    return {-1, index};
  const int first = stage.ranks.front().value();
  const int node = first / cluster.gpus_per_node();
  const int leaf =
      std::max(1, spec.fabric.nodes_per_leaf) * (spec.fabric.pods ? spec.fabric.pods->leaves : 1);
  return {static_cast<std::int64_t>(stage.ranks.size()), first % cluster.gpus_per_node(), node % leaf};
}

}  // namespace moeplan::sim
