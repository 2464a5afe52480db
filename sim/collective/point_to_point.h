#pragma once

#include <span>

#include "sim/collective/comm_network.h"

namespace moeplan::sim {

/// senders[i] sends `bytes` to receivers[i], all pairs at the same time; times are those of the receivers.
/// Model: every pair is a communicator of its own, with the channels of NcclModel::send_terms; CommNetwork
/// with steps = 1 where the profile has no NCCL constants.
CommTimes solve_point_to_point(const CommNetwork& network, std::span<const base::RankId> senders,
                               std::span<const base::RankId> receivers, base::Bytes bytes);

/// Every rank of one communicator sends `bytes` to the next one and receives as much from the one before, as
/// sendrecv_perf of nccl-tests does. Over nodes only the last rank of a node sends to another node; its
/// connection has the few channels that NCCL gives a peer.
CommTimes solve_neighbour_exchange(const CommNetwork& network, std::span<const base::RankId> ranks,
                                   base::Bytes bytes);

}  // namespace moeplan::sim
