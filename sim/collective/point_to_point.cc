#include "sim/collective/point_to_point.h"

#include "base/check.h"

namespace moeplan::sim {

CommTimes solve_point_to_point(const CommNetwork& network, std::span<const base::RankId> senders,
                               std::span<const base::RankId> receivers, base::Bytes bytes) {
  MOEPLAN_CHECK(senders.size() == receivers.size(), "every sender has one receiver");
  std::vector<base::RankId> ranks(receivers.begin(), receivers.end());
  ranks.insert(ranks.end(), senders.begin(), senders.end());
  std::vector<Transfer> transfers;
  for (std::size_t i = 0; i < senders.size(); ++i) transfers.push_back({senders[i], receivers[i], bytes, {}});
  CommTimes times = network.solve(ranks, transfers, CollectiveKind::kSendRecv, 1);
  times.done.resize(receivers.size());
  return times;
}

}  // namespace moeplan::sim
