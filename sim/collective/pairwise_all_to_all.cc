#include <algorithm>

#include "sim/collective/all_to_all.h"

namespace moeplan::sim {

namespace {

using base::Seconds;

/// Round `round` of all groups; `done` says when each rank ended the round before.
std::vector<Transfer> round_transfers(const AllToAllTraffic& traffic, std::size_t round,
                                      const std::vector<Seconds>& done) {
  const auto n = static_cast<std::size_t>(traffic.group_size);
  std::vector<Transfer> transfers;
  for (std::size_t i = 0; i < traffic.ranks.size(); ++i) {
    const std::size_t j = (i % n + round) % n;
    const std::size_t partner = i / n * n + j;
    transfers.push_back({traffic.ranks[i], traffic.ranks[partner], base::Bytes::of(traffic.bytes[i * n + j]),
                         max(done[i], done[partner])});
  }
  return transfers;
}

}  // namespace

CommTimes solve_pairwise_all_to_all(const CommNetwork& network, const AllToAllTraffic& traffic) {
  const auto n = static_cast<std::size_t>(traffic.group_size);
  CommTimes total;
  total.done.resize(traffic.ranks.size());
  for (std::size_t round = 1; round < n; ++round) {
    // The launch is paid once, each round its step; rounds after the first start from the first one's
    // overhead.
    const CommTimes times = network.solve(traffic.ranks, round_transfers(traffic, round, total.done),
                                          CollectiveKind::kAllToAll, 1);
    const Seconds launch = round > 1 ? times.overhead - times.per_step : Seconds();
    for (std::size_t i = 0; i < total.done.size(); ++i) {
      if (times.done[i] > Seconds()) total.done[i] = max(total.done[i], times.done[i] - launch);
    }
    total.low = std::min(total.low, times.low);
    total.high = std::max(total.high, times.high);
    total.evidence = worst(total.evidence, times.evidence);
  }
  total.makespan = total.done.empty() ? Seconds() : *std::max_element(total.done.begin(), total.done.end());
  return total;
}

}  // namespace moeplan::sim
