#pragma once

#include <span>

#include "sim/collective/comm_network.h"

namespace moeplan::sim {

/// senders[i] sends `bytes` to receivers[i], all pairs at the same time; times are those of the receivers.
/// Model: CommNetwork, send/recv class, steps = 1.
CommTimes solve_point_to_point(const CommNetwork& network, std::span<const base::RankId> senders,
                               std::span<const base::RankId> receivers, base::Bytes bytes);

}  // namespace moeplan::sim
