#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/collective/comm_network.h"

namespace moeplan::sim {

/// What every rank sends to every other rank of its group, for all groups that run at the same time.
/// ranks: groups one after the other, `group_size` ranks each. bytes[i * group_size + j]: from ranks[i] to
/// the j-th rank of its group; the entry to itself stays on the GPU.
struct AllToAllTraffic {
  std::vector<base::RankId> ranks;
  int group_size = 1;
  std::vector<std::int64_t> bytes;

  std::size_t groups() const { return ranks.size() / static_cast<std::size_t>(group_size); }
  /// Everybody returns what it got.
  AllToAllTraffic reversed() const;
};

/// All flows of all groups at once, as one grouped send/recv: one network problem, so groups compete.
/// Model: CommNetwork with the terms of all_to_all_terms (nccl_peers.h), the entry of a rank to itself being
/// its own part; with steps = 1 where the profile has no NCCL constants. Cost: one solve of ranks *
/// (group_size - 1) flows. `starts` (by position in traffic.ranks, or empty): before a flow's two ranks are
/// there, it does not start.
CommTimes solve_flat_all_to_all(const CommNetwork& network, const AllToAllTraffic& traffic,
                                std::span<const base::Seconds> starts = {});

/// group_size - 1 rounds; in round k rank i sends to i + k and receives from i - k. A rank enters a round
/// when its own send and receive of the round before are done.
///
/// Model:   start(i, k) = max over the two partners of done(., k - 1); every round is a network problem of
/// its own
///          whose flows start then; overhead = base_latency + per_step * (group_size - 1)
/// Not modelled: rounds of fast ranks that overlap with the round before of slow ones do not share links with
/// it. Cost: group_size - 1 solves.
CommTimes solve_pairwise_all_to_all(const CommNetwork& network, const AllToAllTraffic& traffic);

}  // namespace moeplan::sim
