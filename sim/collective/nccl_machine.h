#pragma once

#include "base/units.h"
#include "sim/collective/nccl_path.h"
#include "sim/collective/nic_transport.h"
#include "sim/cost/nccl_cost.h"

namespace moeplan::sim {

/// The links of one machine as NCCL's algorithms see them: constants, line rates and what follows from both.
struct NcclMachine {
  bool has_local = false, has_nic = false;
  NcclCost local, nic;
  double local_line = 1, nic_line = 1;  ///< bytes/s per GPU and direction
  double nics_per_gpu = 1;              ///< at most 1: several NICs of one GPU are one port
  NicTransportFacts transport;

  /// Line rate of one port between nodes, which several GPUs may share.
  double port_line() const { return nic_line / nics_per_gpu; }
  /// Ports that a group's ranks on a node use together.
  int ports(NcclGroup group) const;

  /// Channels of a communicator.
  ///
  /// Model:  one node: 32. Over nodes two for each port, four where a port carries more than 25 GB/s and the
  ///         group uses at most four of them; at most 16
  /// Source: NCCL 2.28 src/graph/search.cc (ncclTopoDupChannels), src/graph/connect.cc
  int channels(NcclGroup group) const;

  /// Channels that one send or receive of `bytes` gets.
  ///
  /// Model:  inside a node 32 channels, split evenly over the group's ranks and doubled while a channel's
  ///         part exceeds 16 MiB. Between nodes ceil(NIC rate / 14 GB/s) channels, at least 2, rounded up to
  ///         a power of two, then halved while channels * ceil(n / 8) exceeds those of the communicator
  /// Source: NCCL 2.29 src/graph/paths.cc (ncclTopoComputeP2pChannels, NCCL_P2P_PER_CHANNEL_NET_BW),
  ///         src/enqueue.cc
  int peer_channels(NcclGroup group, base::Bytes bytes) const;

  /// From a rank to the next one of its node, in a group that spans nodes or does not.
  ///
  /// Model:  over nodes the proxy that posts the messages of a rank's network steps is never faster than its
  ///         overhead: 1 us, three times that for Simple
  /// Source: NCCL 2.28 src/graph/tuning.cc (getNetOverhead)
  base::Seconds local_step(NcclGroup group, NcclProtocol protocol) const;
  /// From a node to the next one.
  ///
  /// Model:  a transport's published latency is the least. With one rank a node nothing hides the network:
  ///         LL and LL128 count as in a tree, 5.0/2.7 and 8.5/4.0 times
  /// Source: NCCL 2.28 src/graph/tuning.cc (hwLatencies, interLat)
  base::Seconds nic_step(NcclGroup group, NcclProtocol protocol) const;
  /// Launch and first byte.
  base::Seconds launch(NcclGroup group, NcclProtocol protocol) const;

  bool allows(NcclGroup group, NcclProtocol protocol) const {
    return group.nodes == 1 || protocol == NcclProtocol::kSimple || !transport.simple_only;
  }
  double local_share(NcclProtocol protocol) const { return local.of(protocol).share; }
  double nic_rate(NcclProtocol protocol) const { return nic_line * nic.of(protocol).share; }
  /// What one block moves inside the node under a protocol.
  double block_rate(NcclProtocol protocol) const;
};

}  // namespace moeplan::sim
