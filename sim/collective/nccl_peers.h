#pragma once

#include "sim/collective/nccl_machine.h"

namespace moeplan::sim {

/// Terms of sends and receives.
struct PeerTerms {
  base::Seconds start;
  double local_share = 1, nic_share = 1;  ///< of the line rates
  base::BytesPerSecond connection_rate;   ///< of one transfer between nodes; zero: no limit
};

/// A rank's part of grouped sends and receives.
struct PeerTraffic {
  double local = 0;         ///< bytes it sends inside its node
  double own = 0;           ///< that it keeps
  double remote = 0;        ///< that it sends over its NIC
  double remote_peers = 0;  ///< to so many others
};

/// Grouped sends and receives: an all-to-all, in which all peers go at once.
///
/// Model:   the blocks are dealt out evenly over the peers, the rank itself one of them: inside a node at
/// most
///          channels * block rate * (n-1)/n. Between nodes NCCL deals the rounds out over channels / peer
///          channels sets of channels, node by node; a set moves peer channels * 14 GB/s at most, so the sets
///          with more rounds end later than the NIC alone would: rate = bytes / max-min end of the sets.
///          t = launch + nic step * remote peers + max(local / rate, remote / nic rate); LL or Simple,
///          whichever is faster. The own part is copied by the same blocks: over nodes beside nothing else,
///          in one node only where the blocks are not the bottleneck anyway
/// Symbols: n ranks of the group
/// Source:  NCCL 2.28 src/enqueue.cc (scheduleP2pTasksToPlan), src/include/comm.h
/// (ncclP2pChannelBaseForRound); rates: the profile Not modelled: contention where several senders meet at
/// one receiver, beyond shared links
PeerTerms all_to_all_terms(const NcclMachine& machine, NcclGroup group, const PeerTraffic& traffic);

/// One send and one receive a rank.
///
/// Model:   rate inside a node min(line * share, peer channels * block rate); between nodes min(line *
///          connection share, peer channels * channel rate)
/// Source:  as above, src/graph/paths.cc
PeerTerms send_terms(const NcclMachine& machine, NcclGroup group, base::Bytes bytes);

}  // namespace moeplan::sim
