#pragma once

#include <vector>

#include "base/ids.h"
#include "sim/collective/comm_network.h"
#include "sim/collective/node_relay.h"

namespace moeplan::sim {

/// Tokens of all groups that exchange at the same time, duplicates removed.
struct RelayTraffic {
  std::vector<base::RankId> ranks;  ///< groups one after the other, `group_size` ranks each
  int group_size = 1;
  std::vector<double> tokens;     ///< [rank]: that the rank routes
  std::vector<double> copies;     ///< [rank][rank of its group]: tokens of one that go to the other
  std::vector<double> crossings;  ///< [rank][rank of its group]: tokens that go to the node of the other
};

/// What a group and a kernel are asked for.
struct RelayCall {
  EpLibrary ep_library = EpLibrary::kDeepEp;
  EpOperation operation = EpOperation::kDispatch;  ///< kCombine takes the same ways back
  double token_bytes = 0;
  int sms = 0;  ///< 0 = what the library takes by itself
};

/// When every rank is done with a dispatch or combine over the node relay (sim/collective/node_relay.h).
///
/// Model:   a crossing goes from its rank to the one of the same index on the other node over NIC and fabric,
/// a
///          copy from there (from the rank itself on its own node) over NVLink; a rank's NVLink and NIC times
///          are those of the most loaded link that its own transfers use, so a hot receiver holds up who
///          sends to it; its SM time is from what it sends or receives, what is more, and relays
/// Requires: the profile has the library's constants.
/// Cost:    two passes over ranks * group_size routes. Deterministic.
/// Not modelled: waiting for a relay that is busy with others' tokens beyond shared links.
CommTimes solve_relay_all_to_all(const CommNetwork& network, const RelayTraffic& traffic,
                                 const RelayCall& call);

}  // namespace moeplan::sim
