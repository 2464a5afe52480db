#include <gtest/gtest.h>

#include "sim/collective/nccl_broadcast.h"
#include "sim/collective/nccl_collnet.h"
#include "sim/collective/nccl_model.h"
#include "sim/collective/nccl_nvls_tree.h"
#include "sim/collective/nccl_reduce.h"
#include "sim/collective/nccl_ring.h"
#include "sim/collective/nccl_tree.h"
#include "sim/collective/nccl_tuner.h"

namespace moeplan::sim {
namespace {

using base::Bytes;
using base::BytesPerSecond;
using base::Seconds;

/// NVLink 100 GB/s of which Simple reaches 0.8, 10 us start, 4 us a step, blocks of 20 GB/s; NIC 50 GB/s of
/// which Simple reaches 0.9, 20 us start, 7 us a step; in-switch reduction at half the rate on 16 channels.
NcclMachine machine() {
  NcclMachine made;
  made.has_local = made.has_nic = true;
  made.local_line = 100e9;
  made.nic_line = 50e9;
  for (const NcclProtocol p : {NcclProtocol::kLl, NcclProtocol::kLl128, NcclProtocol::kSimple}) {
    made.local.of(p) = {Seconds::from_us(10), Seconds::from_us(4), 0.8};
    made.nic.of(p) = {Seconds::from_us(20), Seconds::from_us(7), 0.9};
  }
  made.local.channel_rate = BytesPerSecond::from_gb_per_s(20);
  made.local.copy_rate = BytesPerSecond::from_gb_per_s(200);
  made.local.nvls_efficiency = 0.5;
  made.local.nvls_channels = 16;
  made.nic.channel_rate = BytesPerSecond::from_gb_per_s(14);
  return made;
}

// 4 nodes x 2 ranks, all-gather of 80 MB: 70 MB on the bus, half of it over a NIC at 45 GB/s = 777.8 us and
// as much inside at min(80, 8 channels * 20 / 2 = 80) GB/s = 437.5 us. Steps: 4 inside, 3 between: blocks
// need 437.5 + 16 + 21, the NIC 777.8 + 21 us: the NIC. + 20, + own 10 MB / 200 GB/s = 50 us.
TEST(NcclRing, HidesTheStepsInsideANodeBehindABusyNic) {
  const NcclPath path = ring_path(machine(), CollectiveKind::kAllGather, {4, 2}, 80e6, NcclProtocol::kSimple);
  EXPECT_NEAR(path.nic_bytes, 35e6, 1);
  EXPECT_NEAR(path.local_bytes, 35e6, 1);
  EXPECT_NEAR(path.time().us(), 777.78 + 21 + 20 + 50, 0.01);
}

// A fast NIC leaves the blocks as the bottleneck, and they pay every step.
TEST(NcclRing, PaysEveryStepWhereItsBlocksAreTheBottleneck) {
  NcclMachine fast = machine();
  fast.nic_line = 1e12;
  const NcclPath path = ring_path(fast, CollectiveKind::kAllGather, {4, 2}, 80e6, NcclProtocol::kSimple);
  EXPECT_NEAR(path.time().us(), 437.5 + 16 + 21 + 20 + 50, 0.01);
}

// One rank a node: LL128 waits 8.5 where NCCL counts 4 for fuller nodes.
TEST(NcclRing, NothingHidesTheNetworkBehindOneRankANode) {
  EXPECT_NEAR(machine().nic_step({4, 1}, NcclProtocol::kLl128).us(), 7 * 8.5 / 4, 1e-9);
  EXPECT_NEAR(machine().nic_step({4, 2}, NcclProtocol::kLl128).us(), 7, 1e-9);
}

// 2 nodes x 4, 64 MB, Simple: up and down 128 MB at 0.92 * 80 GB/s = 1739 us, NIC 16 MB at 0.92 * 45 = 386
// us. Hops: 6 in the chains, 2 between. 8 channels of 512 KiB: 4.19 MB at 73.6 GB/s = 57.0 us a hop, 1.05 MB
// at 41.4 GB/s = 25.3 us between: 6 * 57 + 2 * 25.3, less the one that the bytes count. Steps 6 * 4 + 2 * 7,
// + 20.
TEST(NcclTree, FillsEveryHopWithAChunkOfEveryChannel) {
  NcclMachine made = machine();
  made.nics_per_gpu = 1;
  const NcclPath path = tree_path(made, {2, 4}, 64e6, NcclProtocol::kSimple);
  const double channels = 16, piece = channels * 524288, hop = piece / 73.6e9, far = piece / 4 / 41.4e9;
  ASSERT_EQ(made.channels({2, 4}), 16);
  EXPECT_NEAR(path.time().s(), 128e6 / 73.6e9 + 5 * hop + 2 * far + 24e-6 + 14e-6 + 20e-6, 1e-9);
}

TEST(NcclTree, SendsTwiceAsMuchOverTheBusiestNicFromThreeNodesOn) {
  EXPECT_EQ(tree_factor(1), 0);
  EXPECT_EQ(tree_factor(2), 1);
  EXPECT_EQ(tree_factor(10), 2);
  EXPECT_EQ(tree_depth(10), 4);
}

// Ten nodes of 8, 256 MiB: a piece is 64 KiB * 16 * 8 = 8 MiB, a NIC's part of it 2/8: 2 MiB at 45 GB/s
// = 46.6 us a stage; of 2 + 2 * 4 stages nine come before the bytes'.
TEST(NcclNvlsTree, FillsAPipelineOfTwoStagesALevel) {
  const double size = 256.0 * (1 << 20);
  NcclMachine wide = machine();
  wide.local_line = 900e9;  // so that the NIC sets the pace
  const NcclPath path = nvls_tree_path(wide, {10, 8}, size);
  const double stage = 2.0 * (1 << 20) / 45e9;
  EXPECT_NEAR(path.nic_bytes, size / 4, 1);
  EXPECT_NEAR(path.time().s(), size / 4 / 45e9 + 9 * stage + 20e-6 + 4e-6 * 25 / 3.4 + 8 * 7e-6, 1e-9);
}

// AWS sets chunks of 512 KiB: at 4 GiB a piece is 64 MiB instead of 16 MiB, and a hop takes at least 23 us.
TEST(NcclNvlsTree, TakesTheChunkAndLatencyOfItsTransport) {
  NcclMachine efa = machine();
  efa.transport = facts_of(topology::NicTransport::kEfa);
  const double size = 4.0 * (1 << 30);
  const double stage = (64.0 - 16.0) * (1 << 20) * 1.125 / 40e9;
  EXPECT_NEAR((nvls_tree_path(efa, {2, 8}, size).time() - nvls_tree_path(machine(), {2, 8}, size).time()).s(),
              3 * stage + 2 * 16e-6, 1e-9);
}

// Broadcast of 80 MB in one node of 4: all of it over every link, three steps; nothing is copied.
TEST(NcclBroadcast, CarriesTheBufferOnceOverEveryLink) {
  EXPECT_NEAR(broadcast_path(machine(), {1, 4}, 80e6, NcclProtocol::kSimple).time().us(), 1000 + 12 + 10,
              1e-6);
  const NcclPath far = broadcast_path(machine(), {2, 4}, 80e6, NcclProtocol::kSimple);
  EXPECT_NEAR(far.nic_bytes * 4, 80e6, 1);
}

TEST(NcclReduce, LoadsTheLinksAsABroadcastTheOtherWayRound) {
  const NcclPath reduce = reduce_path(machine(), {2, 4}, 80e6, NcclProtocol::kSimple);
  const NcclPath broadcast = broadcast_path(machine(), {2, 4}, 80e6, NcclProtocol::kSimple);
  EXPECT_EQ(reduce.nic_bytes, broadcast.nic_bytes);
  EXPECT_EQ(reduce.time().s(), broadcast.time().s());
}

// Inside: 2 * 3/4 of 64 MB at 80 GB/s = 1200 us; over the NIC a quarter, 16 MB at 45 GB/s = 355.6 us, for any
// number of nodes. + 20 + 2 * 4 + 7 us.
TEST(NcclCollNet, SendsEachByteOverTheNicOnceForAnyNumberOfNodes) {
  const NcclPath few = collnet_path(machine(), {2, 4}, 64e6), many = collnet_path(machine(), {64, 4}, 64e6);
  EXPECT_NEAR(few.time().us(), 1200 + 20 + 8 + 7, 1e-6);
  EXPECT_EQ(few.time().s(), many.time().s());
  EXPECT_NEAR(many.nic_bytes, 16e6, 1);
}

// 10 nodes of 8 Hopper GPUs behind 400 Gb/s: NVLSTree runs at 45.5 GB/s a head, the ring at 48 but with 1.4
// times (8.4 + 140 * 3.4 + 18 * 14) us: they cross between 2 and 4 GiB.
TEST(NcclTuner, LeavesNvlsTreeForTheRingAtSomeGib) {
  NcclMachine hopper = machine();
  hopper.local_line = 450e9;
  hopper.local.nvls_efficiency = 0.85;
  hopper.local.nvls_tree_near_rate = BytesPerSecond::from_gb_per_s(57.7);
  hopper.local.nvls_tree_far_rate = BytesPerSecond::from_gb_per_s(45.5);
  const auto better = [&](double gib) {
    const double size = gib * (1 << 30);
    return tuner_time(hopper, {10, 8}, size, NcclAlgorithm::kRing, NcclProtocol::kSimple) <
           tuner_time(hopper, {10, 8}, size, NcclAlgorithm::kNvlsTree, NcclProtocol::kSimple);
  };
  EXPECT_FALSE(better(2));
  EXPECT_TRUE(better(4));
}

// NVLink is a transport without switches that add, and takes Simple alone: the tree is what is left.
TEST(NcclModel, KeepsToWhatTheTransportLeavesSwitchedOn) {
  const NcclMachine made = machine();
  const auto choose = [&](topology::NicTransport transport) {
    return NcclModel::make(made.local, 450e9, made.nic, 25e9, facts_of(transport))
        .choose(CollectiveKind::kAllReduce, {2, 8}, Bytes::from_mib(256));
  };
  EXPECT_EQ(choose(topology::NicTransport::kRdma).algorithm, NcclAlgorithm::kNvlsTree);
  const NcclPath tcpxo = choose(topology::NicTransport::kTcpxo);
  EXPECT_EQ(tcpxo.algorithm, NcclAlgorithm::kTree);
  EXPECT_EQ(tcpxo.protocol, NcclProtocol::kSimple);
}

}  // namespace
}  // namespace moeplan::sim
