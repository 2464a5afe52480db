#include "sim/collective/ring.h"

#include <algorithm>

#include "base/check.h"

namespace moeplan::sim {

namespace {

using base::RankId;

void add_plain_ring(const NodeBlocks& blocks, double sent, std::vector<Transfer>& transfers) {
  std::vector<RankId> ring;
  for (const auto& node : blocks.nodes) ring.insert(ring.end(), node.begin(), node.end());
  for (std::size_t i = 0; i < ring.size(); ++i) {
    transfers.push_back({ring[i], ring[(i + 1) % ring.size()], base::Bytes::rounded(sent), {}});
  }
}

}  // namespace

bool NodeBlocks::even() const {
  return std::all_of(nodes.begin(), nodes.end(),
                     [&](const auto& node) { return node.size() == nodes.front().size(); });
}

NodeBlocks split_by_node(const topology::Cluster& cluster, std::span<const RankId> group) {
  NodeBlocks blocks;
  std::vector<base::NodeId> order;
  for (const RankId rank : group) {
    const base::NodeId node = cluster.node_of(rank);
    const auto found = std::find(order.begin(), order.end(), node);
    if (found == order.end()) {
      order.push_back(node);
      blocks.nodes.push_back({rank});
    } else {
      blocks.nodes[static_cast<std::size_t>(found - order.begin())].push_back(rank);
    }
  }
  return blocks;
}

void add_block_transfers(const NodeBlocks& blocks, double local_bytes, double nic_bytes,
                         std::vector<Transfer>& transfers) {
  const std::size_t local = blocks.nodes.front().size();
  for (std::size_t node = 0; node < blocks.nodes.size(); ++node) {
    const auto& next_node = blocks.nodes[(node + 1) % blocks.nodes.size()];
    for (std::size_t i = 0; i < local; ++i) {
      const RankId rank = blocks.nodes[node][i];
      if (blocks.nodes.size() > 1)
        transfers.push_back({rank, next_node[i], base::Bytes::rounded(nic_bytes), {}});
      if (local > 1)
        transfers.push_back(
            {rank, blocks.nodes[node][(i + 1) % local], base::Bytes::rounded(local_bytes), {}});
    }
  }
}

CommTimes solve_ring(const CommNetwork& network, const CommGroups& groups, CollectiveKind kind,
                     base::Bytes buffer) {
  MOEPLAN_CHECK(kind == CollectiveKind::kAllGather || kind == CollectiveKind::kReduceScatter ||
                    kind == CollectiveKind::kAllReduce,
                "a ring gathers, scatters or reduces");
  const auto n = static_cast<std::size_t>(groups.group_size);
  if (n <= 1 || buffer.count() == 0) {
    CommTimes none;
    none.done.resize(groups.ranks.size());
    return none;
  }
  const int passes = kind == CollectiveKind::kAllReduce ? 2 : 1;
  const double sent = passes * buffer.as_double() * static_cast<double>(n - 1) / static_cast<double>(n);
  std::vector<Transfer> transfers;
  int steps = 0;
  for (std::size_t first = 0; first < groups.ranks.size(); first += n) {
    const NodeBlocks blocks = split_by_node(network.cluster(), std::span(groups.ranks).subspan(first, n));
    const bool hierarchical = blocks.nodes.size() > 1 && blocks.even();
    if (hierarchical) {
      const auto g = static_cast<double>(blocks.nodes.front().size());
      add_block_transfers(blocks, sent * (g - 1) / g, sent / g, transfers);
    } else {
      add_plain_ring(blocks, sent, transfers);
    }
    const std::size_t rounds =
        hierarchical ? blocks.nodes.front().size() - 1 + blocks.nodes.size() - 1 : n - 1;
    steps = std::max(steps, passes * static_cast<int>(rounds));
  }
  return network.solve(groups.ranks, transfers, kind, steps);
}

}  // namespace moeplan::sim
