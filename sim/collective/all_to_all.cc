#include "sim/collective/all_to_all.h"

#include <algorithm>

#include "sim/collective/nccl_model.h"
#include "sim/collective/ring.h"

namespace moeplan::sim {

namespace {

/// What ranks send in the mean, and the group as NCCL sees it.
struct MeanTraffic {
  NcclGroup group;
  double local = 0, own = 0, remote = 0, remote_peers = 0;
};

MeanTraffic measure(const topology::Cluster& cluster, const AllToAllTraffic& traffic) {
  const auto n = static_cast<std::size_t>(traffic.group_size);
  MeanTraffic mean;
  const NodeBlocks blocks = split_by_node(cluster, std::span(traffic.ranks).first(n));
  mean.group.nodes = static_cast<int>(blocks.nodes.size());
  mean.group.local = std::max(1, traffic.group_size / mean.group.nodes);
  double senders = 0;
  for (std::size_t i = 0; i < traffic.ranks.size(); ++i) {
    const std::size_t base = i / n * n;
    bool sends = false;
    for (std::size_t j = 0; j < n; ++j) {
      const auto bytes = static_cast<double>(traffic.bytes[i * n + j]);
      if (bytes <= 0) continue;
      sends = true;
      if (base + j == i) {
        mean.own += bytes;
      } else if (cluster.same_node(traffic.ranks[i], traffic.ranks[base + j])) {
        mean.local += bytes;
      } else {
        mean.remote += bytes;
        mean.remote_peers += 1;
      }
    }
    if (sends) senders += 1;
  }
  for (double* value : {&mean.local, &mean.own, &mean.remote, &mean.remote_peers})
    *value /= std::max(1.0, senders);
  return mean;
}

CommTerms nccl_terms(const topology::Cluster& cluster, const NcclModel& model,
                     const AllToAllTraffic& traffic) {
  const MeanTraffic mean = measure(cluster, traffic);
  const PeerTerms peers =
      model.all_to_all_terms(mean.group, {mean.local, mean.own, mean.remote, mean.remote_peers});
  CommTerms terms;
  terms.start = peers.start;
  terms.size = base::Bytes::rounded(mean.local + mean.own + mean.remote);
  terms.connection_rate = peers.connection_rate;
  terms.share[static_cast<std::size_t>(LinkClass::kNvlink)] = peers.local_share;
  terms.share[static_cast<std::size_t>(LinkClass::kPcie)] = peers.local_share;
  terms.share[static_cast<std::size_t>(LinkClass::kNic)] = peers.nic_share;
  return terms;
}

}  // namespace

AllToAllTraffic AllToAllTraffic::reversed() const {
  AllToAllTraffic back{ranks, group_size, std::vector<std::int64_t>(bytes.size())};
  const auto n = static_cast<std::size_t>(group_size);
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    const std::size_t base = i / n * n;
    for (std::size_t j = 0; j < n; ++j) back.bytes[(base + j) * n + i % n] = bytes[i * n + j];
  }
  return back;
}

CommTimes solve_flat_all_to_all(const CommNetwork& network, const AllToAllTraffic& traffic,
                                std::span<const base::Seconds> starts) {
  const auto n = static_cast<std::size_t>(traffic.group_size);
  std::vector<Transfer> transfers;
  transfers.reserve(traffic.bytes.size());
  for (std::size_t i = 0; i < traffic.ranks.size(); ++i) {
    const std::size_t base = i / n * n;
    for (std::size_t j = 0; j < n; ++j) {
      if (base + j == i) continue;
      const base::Seconds start = starts.empty() ? base::Seconds() : max(starts[i], starts[base + j]);
      transfers.push_back(
          {traffic.ranks[i], traffic.ranks[base + j], base::Bytes::of(traffic.bytes[i * n + j]), start});
    }
  }
  if (transfers.empty()) return network.solve(traffic.ranks, transfers, CollectiveKind::kAllToAll, 1);
  if (const auto model = NcclModel::find(network.cluster(), network.profile())) {
    return network.solve(traffic.ranks, transfers, CollectiveKind::kAllToAll,
                         nccl_terms(network.cluster(), *model, traffic));
  }
  return network.solve(traffic.ranks, transfers, CollectiveKind::kAllToAll, 1);
}

}  // namespace moeplan::sim
