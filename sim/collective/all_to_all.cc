#include "sim/collective/all_to_all.h"

namespace moeplan::sim {

AllToAllTraffic AllToAllTraffic::reversed() const {
  AllToAllTraffic back{ranks, group_size, std::vector<std::int64_t>(bytes.size())};
  const auto n = static_cast<std::size_t>(group_size);
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    const std::size_t base = i / n * n;
    for (std::size_t j = 0; j < n; ++j) back.bytes[(base + j) * n + i % n] = bytes[i * n + j];
  }
  return back;
}

CommTimes solve_flat_all_to_all(const CommNetwork& network, const AllToAllTraffic& traffic) {
  const auto n = static_cast<std::size_t>(traffic.group_size);
  std::vector<Transfer> transfers;
  transfers.reserve(traffic.bytes.size());
  for (std::size_t i = 0; i < traffic.ranks.size(); ++i) {
    const std::size_t base = i / n * n;
    for (std::size_t j = 0; j < n; ++j) {
      if (base + j == i) continue;
      transfers.push_back(
          {traffic.ranks[i], traffic.ranks[base + j], base::Bytes::of(traffic.bytes[i * n + j]), {}});
    }
  }
  return network.solve(traffic.ranks, transfers, CollectiveKind::kAllToAll, 1);
}

}  // namespace moeplan::sim
