#include "sim/collective/nccl_machine.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace moeplan::sim {

namespace {

using base::Seconds;

// NCCL 2.28 and 2.29, as its source states them.
constexpr int kMaxChannels = 32;            // p2p channels of a communicator in one node
constexpr int kMaxNetChannels = 16;         // of a communicator over nodes
constexpr double kFastPort = 25e9;          // bytes/s; faster ports get twice the channels
constexpr int kFewPorts = 4;                // unless there are more of them
constexpr double kNetChannelRate = 14e9;    // NCCL_P2P_PER_CHANNEL_NET_BW
constexpr int kPeersPerBatch = 8;           // NCCL_MAX_DEV_WORK_P2P_PER_BATCH
constexpr double kChannelPart = 16 << 20;   // 32 chunks of 512 KiB: beyond it a send takes more channels
constexpr double kNetOverhead = 1e-6;       // s, to post one message
constexpr double kSimpleNetOverhead = 3.0;  // times that

// A hop between nodes of one rank each, in those of fuller nodes: LL, LL128, Simple.
constexpr std::array<double, kNcclProtocols> kBareHop{5.0 / 2.7, 8.5 / 4.0, 1.0};

int power_of_two_up(int value) {
  int power = 1;
  while (power < value) power *= 2;
  return power;
}

}  // namespace

int NcclMachine::ports(NcclGroup group) const {
  return std::max(1, static_cast<int>(std::lround(group.local * nics_per_gpu)));
}

int NcclMachine::channels(NcclGroup group) const {
  if (group.nodes <= 1) return kMaxChannels;
  const int count = ports(group);
  const int each = port_line() > kFastPort && count <= kFewPorts ? 4 : 2;
  return std::min(kMaxNetChannels, each * count);
}

int NcclMachine::peer_channels(NcclGroup group, base::Bytes bytes) const {
  const int total = channels(group);
  if (group.nodes <= 1) {
    int count = std::max(1, total / power_of_two_up(group.ranks()));
    while (count < total && bytes.as_double() / count > kChannelPart) count *= 2;
    return count;
  }
  const int wanted = static_cast<int>(std::ceil(nic_line / kNetChannelRate));
  int count = power_of_two_up(std::max(2, wanted));
  const int batches = (group.ranks() + kPeersPerBatch - 1) / kPeersPerBatch;
  while (count > 1 && count * batches > total) count /= 2;
  return count;
}

Seconds NcclMachine::local_step(NcclGroup group, NcclProtocol protocol) const {
  const Seconds step = local.of(protocol).step;
  if (group.nodes <= 1) return step;
  const double times = protocol == NcclProtocol::kSimple ? kSimpleNetOverhead : 1.0;
  return max(step, Seconds::of(kNetOverhead * times));
}

Seconds NcclMachine::nic_step(NcclGroup group, NcclProtocol protocol) const {
  const Seconds least =
      transport.latency + (protocol == NcclProtocol::kSimple ? transport.simple_overhead : Seconds());
  const double bare = group.local == 1 ? kBareHop[static_cast<std::size_t>(protocol)] : 1.0;
  return max(nic.of(protocol).step * bare, least);
}

Seconds NcclMachine::launch(NcclGroup group, NcclProtocol protocol) const {
  return group.nodes > 1 ? max(local.of(protocol).start, nic.of(protocol).start) : local.of(protocol).start;
}

double NcclMachine::block_rate(NcclProtocol protocol) const {
  return local.channel_rate.bytes_per_s() * local_share(protocol) / local_share(NcclProtocol::kSimple);
}

}  // namespace moeplan::sim
