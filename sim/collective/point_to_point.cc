#include "sim/collective/point_to_point.h"

#include <algorithm>

#include "base/check.h"
#include "sim/collective/nccl_model.h"
#include "sim/collective/ring.h"

namespace moeplan::sim {

namespace {

CommTimes solve_sends(const CommNetwork& network, NcclGroup group, std::span<const base::RankId> ranks,
                      std::span<const Transfer> transfers, base::Bytes bytes) {
  const auto model = NcclModel::find(network.cluster(), network.profile());
  if (!model || bytes.count() == 0) return network.solve(ranks, transfers, CollectiveKind::kSendRecv, 1);
  const PeerTerms peers = model->send_terms(group, bytes);
  CommTerms terms;
  terms.start = peers.start;
  terms.size = bytes;
  terms.connection_rate = peers.connection_rate;
  terms.share[static_cast<std::size_t>(LinkClass::kNvlink)] = peers.local_share;
  terms.share[static_cast<std::size_t>(LinkClass::kPcie)] = peers.local_share;
  terms.share[static_cast<std::size_t>(LinkClass::kNic)] = peers.nic_share;
  return network.solve(ranks, transfers, CollectiveKind::kSendRecv, terms);
}

}  // namespace

CommTimes solve_point_to_point(const CommNetwork& network, std::span<const base::RankId> senders,
                               std::span<const base::RankId> receivers, base::Bytes bytes) {
  MOEPLAN_CHECK(senders.size() == receivers.size(), "every sender has one receiver");
  std::vector<base::RankId> ranks(receivers.begin(), receivers.end());
  ranks.insert(ranks.end(), senders.begin(), senders.end());
  std::vector<Transfer> transfers;
  bool crosses = false;
  for (std::size_t i = 0; i < senders.size(); ++i) {
    transfers.push_back({senders[i], receivers[i], bytes, {}});
    crosses = crosses || !network.cluster().same_node(senders[i], receivers[i]);
  }
  const NcclGroup pair = crosses ? NcclGroup{2, 1} : NcclGroup{1, 2};
  CommTimes times = solve_sends(network, pair, ranks, transfers, bytes);
  times.done.resize(receivers.size());
  return times;
}

CommTimes solve_neighbour_exchange(const CommNetwork& network, std::span<const base::RankId> ranks,
                                   base::Bytes bytes) {
  std::vector<Transfer> transfers;
  for (std::size_t i = 0; i < ranks.size(); ++i)
    transfers.push_back({ranks[i], ranks[(i + 1) % ranks.size()], bytes, {}});
  const auto nodes = static_cast<int>(split_by_node(network.cluster(), ranks).nodes.size());
  const NcclGroup group{nodes, std::max(1, static_cast<int>(ranks.size()) / std::max(1, nodes))};
  return solve_sends(network, group, ranks, transfers, bytes);
}

}  // namespace moeplan::sim
