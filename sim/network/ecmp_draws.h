#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "sim/network/sharing.h"
#include "sim/network/traffic.h"

namespace moeplan::sim {

/// The least number of draws that percentiles are given of.
constexpr int kFewestDraws = 32;

/// When traffic is done under `ecmp`, for one draw of the hash after the other.
///
/// Model:   each connection (ordered pair of ranks) has Q queue pairs; each carries bytes / Q over the path
/// that
///          hash(seed, src, dst, queue pair) picks, evenly among the equal ones, and counts as a flow of its
///          own wherever it shares a link. Draw i has seed + i.
/// Not modelled: that switches of one kind may hash alike (polarisation), flowlets, and what a protocol does
/// to move queue pairs away from a crowded path. Source:  ECMP by hash of the 5-tuple: RFC 2992; queue pairs
/// of a connection: NCCL_IB_QPS_PER_CONNECTION.
struct EcmpDraws {
  std::uint64_t seed = 0;                 ///< of draw 0
  std::vector<base::Seconds> completion;  ///< [draw]

  /// The least completion that a share p of the draws do not exceed (nearest rank). Requires: 0 < p <= 1.
  base::Seconds percentile(double p) const;
  /// The first draw whose completion is percentile(0.5).
  std::size_t median_draw() const;
};

/// Solves the traffic once for each draw, on up to `threads` threads (0 = as many as the machine has); the
/// result is the same for any number. Requires: the network's cluster has `routing: ecmp`.
EcmpDraws draw_ecmp(const NamedNetwork& network, const Traffic& traffic, const Sharing& sharing,
                    std::uint64_t seed, int draws, int threads);

}  // namespace moeplan::sim
