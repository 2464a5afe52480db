#pragma once

#include <optional>
#include <string_view>

#include "base/units.h"
#include "sim/cost/nccl_cost.h"
#include "sim/cost/ops.h"
#include "sim/cost/profile.h"
#include "topology/cluster.h"

namespace moeplan::sim {

enum class NcclAlgorithm { kRing, kTree, kNvls, kNvlsTree };
std::string_view name(NcclAlgorithm algorithm);
std::string_view name(NcclProtocol protocol);

/// The ranks of one communicator: `local` on each of `nodes` nodes.
struct NcclGroup {
  int nodes = 1;
  int local = 1;
  int ranks() const { return nodes * local; }
};

/// Only these may be chosen, where set.
struct NcclPin {
  std::optional<NcclAlgorithm> algorithm;
  std::optional<NcclProtocol> protocol;
};

/// One way to run a collective, and what bounds it on an idle machine.
///
/// Model: t = start + max(local_bytes / local_rate, nic_bytes / nic_rate)
struct NcclPath {
  NcclAlgorithm algorithm = NcclAlgorithm::kRing;
  NcclProtocol protocol = NcclProtocol::kSimple;
  base::Seconds start;     ///< launch, steps along ring or tree, filling of the pipeline, own part
  double local_bytes = 0;  ///< that a rank sends inside its node
  double nic_bytes = 0;    ///< that it sends to another node, over its share of the node's NICs
  double local_rate = 1;   ///< bytes/s
  double nic_rate = 1;
  base::Seconds time() const;
};

/// NCCL on one machine: how many channels it gives a collective, which algorithm and protocol it takes, and
/// how long that is. Follows NCCL's own tuner (src/graph/tuning.cc) in form - latency + bytes / bandwidth,
/// the least over algorithm x protocol - with constants from the profile.
///
/// Symbols: n ranks, g of them on each of N nodes, S = nccl-tests' size, B = Simple rate inside a node
/// Ring:      bus bytes = passes S (n-1)/n; of them (g-1)/g inside the node and 1/g over the rank's NIC;
///            steps = passes (n-1), of them passes (N-1) between nodes; rate inside at most
///            channels * channel_rate * (g-1)/g where the ring leaves the node. The rank's own part, S/n, is
///            copied once.
/// NVLS:      every rank sends and receives S (1 + 1/n): the switch pulls each part from all ranks and
///            multicasts the sum. Rate = efficiency * B. Pipeline of two stages over pieces of
///            chunk * channels * n bytes; NCCL's chunk shrinks with S.
/// NVLSTree:  NVLS inside the node and a double binary tree between nodes: a NIC sends S/g (N = 2), 2 S/g
/// (more
///            nodes: up in both trees, down twice in one); 2 + 2 ceil(log2 N) stages.
/// Tree:      the same tree, inside the node a chain of g ranks that sends S up and S down.
/// Point to point: channels of a peer as NCCL gives them, see peer_channels().
///
/// Source:  NCCL 2.29 src/graph/tuning.cc (latency table: NVLS 25 us where a Simple ring step is 3.4;
/// NVLSTree 20.9
///          us where a Simple ring step over the network is 14; tree bandwidth 0.92 of the ring's),
///          src/transport/nvls.cc (chunk sizes), src/graph/paths.cc (channels per peer). Rates and step times
///          are the profile's.
/// Not modelled: CollNet, PAT, symmetric kernels, user buffer registration, tuner plug-ins, environment
///          variables.
class NcclModel {
 public:
  /// Empty where the profile has no NCCL constants for the links that this cluster has.
  static std::optional<NcclModel> find(const topology::Cluster& cluster, const Profile& profile);

  /// The links of one machine by their line rates (bytes/s per GPU and direction); an absent class has none.
  static NcclModel make(const std::optional<NcclCost>& local, double local_line,
                        const std::optional<NcclCost>& nic, double nic_line);

  /// Time of a whole collective on an idle machine; S as nccl-tests counts it, all-to-all and the exchange
  /// between neighbours included. What solve_collective and its like give where nothing else is on the links.
  base::Seconds idle_time(CollectiveKind kind, NcclGroup group, base::Bytes size) const;

  /// The fastest way to all-gather, reduce-scatter, all-reduce or broadcast; S as nccl-tests counts it.
  /// Requires: more than one rank, S > 0.
  NcclPath choose(CollectiveKind kind, NcclGroup group, base::Bytes size, const NcclPin& pin = {}) const;

  /// Channels that one send or receive of `bytes` gets.
  ///
  /// Model: inside a node 32 channels, split evenly over the group's ranks and doubled while a channel's part
  ///        exceeds 16 MiB. Between nodes ceil(NIC rate / 14 GB/s) channels, at least 2, rounded up to a
  ///        power of two, then halved while channels * ceil(n / 8) exceeds those of the communicator
  /// Source: NCCL 2.29 src/graph/paths.cc (ncclTopoComputeP2pChannels, NCCL_P2P_PER_CHANNEL_NET_BW),
  /// src/enqueue.cc
  int peer_channels(NcclGroup group, base::Bytes bytes) const;
  /// Channels of a communicator: 32 in one node; 4 for each NIC and at most 16 over nodes.
  int channels(NcclGroup group) const;

  /// Terms of grouped sends and receives in which a rank sends `sent` bytes inside its node and keeps `own`;
  /// `remote_peers` others are on other nodes.
  struct PeerTerms {
    base::Seconds start;
    double local_share = 1, nic_share = 1;
    base::BytesPerSecond connection_rate;
  };
  PeerTerms all_to_all_terms(NcclGroup group, double local_bytes, double own_bytes, double nic_bytes,
                             double remote_peers) const;
  PeerTerms send_terms(NcclGroup group, base::Bytes bytes) const;

 private:
  NcclModel() = default;
  NcclPath ring(CollectiveKind kind, NcclGroup group, double size, NcclProtocol protocol) const;
  NcclPath tree(NcclGroup group, double size, NcclProtocol protocol) const;
  NcclPath nvls(NcclGroup group, double size) const;
  double local_share(NcclProtocol protocol) const;

  bool has_local_ = false, has_nic_ = false;
  NcclCost local_, nic_;
  double local_line_ = 1, nic_line_ = 1;  // bytes/s per GPU and direction
};

}  // namespace moeplan::sim
