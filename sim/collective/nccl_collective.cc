#include "sim/collective/nccl_collective.h"

#include <algorithm>

namespace moeplan::sim {

namespace {

CommTerms path_terms(const topology::Cluster& cluster, const NcclPath& path) {
  CommTerms terms;
  terms.start = path.start;
  const double nvlink = cluster.nvlink_bandwidth().bytes_per_s();
  const double nic = cluster.nic_bandwidth_per_gpu().bytes_per_s();
  const auto& pcie = cluster.spec().node.pcie;
  const auto share = [&](LinkClass link) -> double& { return terms.share[static_cast<std::size_t>(link)]; };
  if (nvlink > 0) share(LinkClass::kNvlink) = path.local_rate / nvlink;
  if (pcie) share(LinkClass::kPcie) = path.local_rate / pcie->bandwidth.bytes_per_s();
  if (nic > 0 && path.nic_bytes > 0) share(LinkClass::kNic) = path.nic_rate / nic;
  return terms;
}

}  // namespace

CommTimes solve_collective(const CommNetwork& network, const CommGroups& groups, CollectiveKind kind,
                           base::Bytes buffer, const NcclPin& pin) {
  const auto n = static_cast<std::size_t>(groups.group_size);
  if (n <= 1 || buffer.count() == 0 || groups.ranks.empty()) {
    CommTimes none;
    none.done.resize(groups.ranks.size());
    return none;
  }
  const topology::Cluster& cluster = network.cluster();
  std::vector<NodeBlocks> blocks;
  bool even = true;
  for (std::size_t first = 0; first < groups.ranks.size(); first += n) {
    blocks.push_back(split_by_node(cluster, std::span(groups.ranks).subspan(first, n)));
    even = even && blocks.back().even() && blocks.back().nodes.size() == blocks.front().nodes.size();
  }
  const auto model = NcclModel::find(cluster, network.profile());
  if (!model || !even) return solve_ring(network, groups, kind, buffer);
  const NcclGroup group{static_cast<int>(blocks.front().nodes.size()),
                        static_cast<int>(blocks.front().nodes.front().size())};
  const NcclPath path = model->choose(kind, group, buffer, pin);
  std::vector<Transfer> transfers;
  for (const NodeBlocks& block : blocks)
    add_block_transfers(block, path.local_bytes, path.nic_bytes, transfers);
  CommTerms terms = path_terms(cluster, path);
  terms.size = buffer;
  return network.solve(groups.ranks, transfers, kind, terms);
}

}  // namespace moeplan::sim
