#include "sim/collective/nccl_peers.h"

#include <gtest/gtest.h>

namespace moeplan::sim {
namespace {

using base::BytesPerSecond;
using base::Seconds;

/// NIC of 50 GB/s that Simple fills, channels of 14 GB/s, no latencies and no copies to speak of.
NcclMachine machine() {
  NcclMachine made;
  made.has_local = made.has_nic = true;
  made.local_line = 450e9;
  made.nic_line = 50e9;
  for (const NcclProtocol p : {NcclProtocol::kLl, NcclProtocol::kLl128, NcclProtocol::kSimple}) {
    made.local.of(p) = {Seconds(), Seconds(), p == NcclProtocol::kSimple ? 1.0 : 0.1};
    made.nic.of(p) = {Seconds(), Seconds(), p == NcclProtocol::kSimple ? 1.0 : 0.1};
  }
  made.local.channel_rate = BytesPerSecond::from_gb_per_s(20);
  made.local.copy_rate = BytesPerSecond::from_gb_per_s(1e9);
  made.nic.channel_rate = BytesPerSecond::from_gb_per_s(14);
  return made;
}

double share(NcclGroup group) {
  const double part = 1e9, peers = group.ranks() - group.local;
  return all_to_all_terms(machine(), group, {part * (group.local - 1), part, part * peers, peers}).nic_share;
}

// 10 nodes of one rank: 4 channels, 2 a peer, so two sets with 5 and 4 rounds. Both share the NIC until 4 are
// done: 8/50; the fifth runs at 28 GB/s: 1/28. 9 / (8/50 + 1/28) = 46.0 GB/s.
TEST(NcclPeers, TheSetWithOneRoundMoreEndsAlone) {
  EXPECT_NEAR(share({10, 1}) * 50, 9 / (8 / 50.0 + 1 / 28.0), 1e-6);
}

// 10 nodes of two: 8 channels, four sets; nodes 1, 8 and 9 after this one share one: 6, 4, 4, 4 rounds.
TEST(NcclPeers, BitReversedStartsPutThreeNodesOnOneSet) {
  EXPECT_NEAR(share({10, 2}) * 50, 18 / (16 / 50.0 + 2 / 28.0), 1e-6);
}

// 2 nodes of 8: one set of 4 channels carries 56 GB/s, more than the NIC.
TEST(NcclPeers, FourChannelsFillTheNic) {
  EXPECT_NEAR(share({2, 8}), 1.0, 1e-9);
  EXPECT_NEAR(share({10, 4}), 1.0, 1e-9);
}

TEST(NcclPeers, AConnectionOverNodesIsBoundByItsChannels) {
  EXPECT_NEAR(send_terms(machine(), {10, 8}, base::Bytes::from_gib(1)).connection_rate.bytes_per_s(), 14e9,
              1);
  EXPECT_NEAR(send_terms(machine(), {10, 1}, base::Bytes::from_gib(1)).connection_rate.bytes_per_s(), 28e9,
              1);
}

// 4 ports of 100 Gb/s under 8 GPUs: two channels a port; 8 ports of 400 Gb/s: two, up to four of them: four.
TEST(NcclMachineChannels, FollowThePorts) {
  NcclMachine few = machine();
  few.nic_line = 6.25e9;
  few.nics_per_gpu = 0.5;
  EXPECT_EQ(few.ports({2, 8}), 4);
  EXPECT_EQ(few.channels({2, 8}), 8);
  EXPECT_EQ(machine().channels({2, 8}), 16);
  EXPECT_EQ(machine().channels({2, 4}), 16);
  EXPECT_EQ(machine().channels({2, 1}), 4);
  EXPECT_EQ(machine().channels({1, 8}), 32);
}

}  // namespace
}  // namespace moeplan::sim
