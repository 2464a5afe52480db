#include "sim/collective/nccl_model.h"

#include <gtest/gtest.h>

#include "base/config_files.h"
#include "sim/collective/all_to_all.h"
#include "sim/collective/nccl_collective.h"
#include "sim/collective/point_to_point.h"

namespace moeplan::sim {
namespace {

using base::Bytes;
using base::BytesPerSecond;
using base::Seconds;

/// Simple reaches 80 GB/s of 100, LL128 50, LL 10; starts 10, 5, 2 us; steps 4, 1, 0.5 us.
NcclCost local_cost() {
  NcclCost cost;
  cost.of(NcclProtocol::kLl) = {Seconds::from_us(2), Seconds::from_us(0.5), 0.1};
  cost.of(NcclProtocol::kLl128) = {Seconds::from_us(5), Seconds::from_us(1), 0.5};
  cost.of(NcclProtocol::kSimple) = {Seconds::from_us(10), Seconds::from_us(4), 0.8};
  cost.channel_rate = BytesPerSecond::from_gb_per_s(5);
  cost.copy_rate = BytesPerSecond::from_gb_per_s(200);
  return cost;
}

NcclCost nic_cost() {
  NcclCost cost = local_cost();
  for (NcclProtocolCost& protocol : cost.protocols)
    protocol = {Seconds::from_us(20), Seconds::from_us(5), 0.9};
  cost.channel_rate = BytesPerSecond::from_gb_per_s(14);
  cost.connection_share = 0.88;
  return cost;
}

NcclModel model(double nic_line = 50e9) { return NcclModel::make(local_cost(), 100e9, nic_cost(), nic_line); }

// 8 MB over 4 ranks: 6 MB on the bus / 80 GB/s = 75 us, + 10 + 3 * 4 us, + own 2 MB / 200 GB/s = 10 us.
TEST(NcclModel, RingTakesStartStepsBusBytesAndTheOwnPart) {
  const NcclPath path = model().choose(CollectiveKind::kAllGather, {1, 4}, Bytes::of(8'000'000),
                                       {NcclAlgorithm::kRing, NcclProtocol::kSimple});
  EXPECT_NEAR(path.time().us(), 75 + 10 + 12 + 10, 1e-9);
}

// LL: 2 + 3 * 0.5 + 750 B / 10 GB/s; LL128 starts later; Simple later still.
TEST(NcclModel, ChoosesTheProtocolBySize) {
  const auto protocol = [](std::int64_t bytes) {
    return model().choose(CollectiveKind::kAllGather, {1, 4}, Bytes::of(bytes)).protocol;
  };
  EXPECT_EQ(protocol(1000), NcclProtocol::kLl);
  EXPECT_EQ(protocol(1'000'000), NcclProtocol::kLl128);
  EXPECT_EQ(protocol(100'000'000), NcclProtocol::kSimple);
}

// 2 nodes x 2 ranks, all-reduce of 8 MB pinned to the Simple ring: bus 12 MB, half of it over a NIC at 45
// GB/s = 133.3 us, the other half to the neighbour through 4 of the 8 channels, 20 GB/s = 300 us; steps: 6,
// of them 2 between nodes: 4 * 4 + 2 * 5 us; start 20; own part 2 MB / 200 GB/s.
TEST(NcclModel, RingOverNodesLeavesTheNodeThroughEveryNic) {
  const NcclPath path = model().choose(CollectiveKind::kAllReduce, {2, 2}, Bytes::of(8'000'000),
                                       {NcclAlgorithm::kRing, NcclProtocol::kSimple});
  EXPECT_NEAR(path.nic_bytes / path.nic_rate * 1e6, 6e6 / 45e3, 1e-6);
  EXPECT_NEAR(path.time().us(), 300 + 20 + 16 + 10 + 10, 1e-9);
}

// Over 2 nodes of 8: 16 channels of 5 GB/s, 14 of them inside the node: 70 GB/s, less than the links' 80.
TEST(NcclModel, ChannelsBoundARingThatCrossesNodes) {
  const NcclPath path = model(1e12).choose(CollectiveKind::kAllGather, {2, 8}, Bytes::of(160'000'000),
                                           {NcclAlgorithm::kRing, NcclProtocol::kSimple});
  EXPECT_NEAR(path.local_rate, 70e9, 1);
}

// S (1 + 1/n) at 0.5 of 80 GB/s; beside it one more piece of 64 KiB * 16 channels * 4 ranks.
TEST(NcclModel, NvlsSendsEveryByteOnceAndItsPartTwice) {
  NcclCost cost = local_cost();
  cost.nvls_efficiency = 0.5;
  cost.nvls_channels = 16;
  const NcclModel with = NcclModel::make(cost, 100e9, std::nullopt, 1);
  const double size = 128e6;
  const NcclPath path =
      with.choose(CollectiveKind::kAllReduce, {1, 4}, Bytes::of(128'000'000), {NcclAlgorithm::kNvls, {}});
  const double piece = 65536.0 * 64;
  EXPECT_NEAR(path.time().s(), 10e-6 + 4e-6 * 25 / 3.4 + (size + piece) * 1.25 / 40e9, 1e-9);
}

// The counts that NCCL 2.29 gives a peer behind a 400 Gb/s NIC, by ranks and nodes.
TEST(NcclModel, GivesAPeerFewerChannelsInLargerCommunicators) {
  const Bytes size = Bytes::from_gib(1);
  EXPECT_EQ(model().peer_channels({2, 1}, size), 4);
  EXPECT_EQ(model().peer_channels({2, 8}, size), 4);
  EXPECT_EQ(model().peer_channels({4, 8}, size), 4);
  EXPECT_EQ(model().peer_channels({10, 1}, size), 2);
  EXPECT_EQ(model().peer_channels({10, 4}, size), 2);
  EXPECT_EQ(model().peer_channels({8, 8}, size), 2);
  EXPECT_EQ(model().peer_channels({10, 8}, size), 1);
  EXPECT_EQ(model().peer_channels({64, 8}, size), 1);
}

TEST(NcclModel, GivesALargeSendInsideANodeMoreChannels) {
  EXPECT_EQ(model().peer_channels({1, 8}, Bytes::from_mib(64)), 4);
  EXPECT_EQ(model().peer_channels({1, 8}, Bytes::from_mib(128)), 8);
  EXPECT_EQ(model().peer_channels({1, 8}, Bytes::from_gib(1)), 32);
  EXPECT_EQ(model().peer_channels({1, 4}, Bytes::from_mib(128)), 8);
}

// Reference: 4 ranks, 3 of 4 parts of 2 MB leave at min(80, 32 * 3/4 * 5) = 80 GB/s, + 10 + 4 us, + own 10
// us.
TEST(NcclModel, AllToAllCopiesTheOwnPartBesideItsSends) {
  EXPECT_NEAR(model().idle_time(CollectiveKind::kAllToAll, {1, 4}, Bytes::of(8'000'000)).us(), 75 + 14 + 10,
              1e-9);
}

/// A shipped machine of `nodes` nodes with GPUs of the shipped profile.
struct Machine {
  topology::Cluster cluster;
  Profile profile;
  std::unique_ptr<Sharing> sharing = make_sharing({SharingMode::kFlow, 0});
  CommNetwork network{cluster, profile, *sharing};

  Machine(const std::string& name, int nodes, int gpus)
      : cluster(topology::compile(spec(name, nodes, gpus))),
        profile(load_profile(base::configs_folder() + "/profiles/" + cluster.profile() + ".yaml")) {}

  static topology::ClusterSpec spec(const std::string& name, int nodes, int gpus) {
    topology::ClusterSpec spec =
        topology::load_cluster(base::configs_folder() + "/clusters/" + name + ".yaml").spec();
    spec.nodes = nodes;
    spec.node.gpus = gpus;
    spec.node.nics->count = gpus;
    spec.node.nics->affinity.clear();
    if (nodes > 1 && spec.fabric.kind == topology::FabricSpec::Kind::kNone)
      spec.fabric.kind = topology::FabricSpec::Kind::kSingleSwitch;
    return spec;
  }
  std::vector<base::RankId> ranks() const {
    std::vector<base::RankId> all;
    for (int i = 0; i < cluster.ranks(); ++i) all.emplace_back(i);
    return all;
  }
  double all_to_all_busbw(std::int64_t size) const {
    const int n = cluster.ranks();
    AllToAllTraffic traffic{ranks(), n, {}};
    traffic.bytes.assign(static_cast<std::size_t>(n) * static_cast<std::size_t>(n), size / n);
    const double seconds = solve_flat_all_to_all(network, traffic).makespan.s();
    return static_cast<double>(size) * (n - 1) / n / seconds / 1e9;
  }
};

// Inside a rack of 72 GPUs NVLink carries everything; over two racks half of it goes through a NIC of 50
// GB/s, so busbw falls to about 2 * 50 GB/s. Published inside a rack: 622 GB/s. No constant knows of racks.
TEST(NcclCollective, AllToAllFallsToTheNicShareWhereItLeavesTheRack) {
  const double inside = Machine("gb200-nvl72", 1, 72).all_to_all_busbw(std::int64_t{8} << 30);
  const double across = Machine("gb200-nvl72", 2, 36).all_to_all_busbw(std::int64_t{8} << 30);
  EXPECT_NEAR(inside, 622, 0.15 * 622);
  EXPECT_LT(across, 110);
  EXPECT_GT(across, 80);
}

TEST(NcclCollective, TakesTheIdleTimeOfTheModelWhereNothingElseIsOnTheLinks) {
  const Machine machine("hgx-h100-4n", 2, 8);
  const auto model = NcclModel::find(machine.cluster, machine.profile);
  ASSERT_TRUE(model.has_value());
  for (const CollectiveKind kind :
       {CollectiveKind::kAllGather, CollectiveKind::kReduceScatter, CollectiveKind::kAllReduce}) {
    for (const std::int64_t size : {std::int64_t{1} << 12, std::int64_t{1} << 22, std::int64_t{1} << 30}) {
      const double idle = model->idle_time(kind, {2, 8}, Bytes::of(size)).s();
      const double solved =
          solve_collective(machine.network, {machine.ranks(), 16}, kind, Bytes::of(size)).makespan.s();
      EXPECT_NEAR(solved, idle, 1e-3 * idle) << name(kind) << " " << size;
    }
  }
}

TEST(NcclCollective, TwoGroupsThatShareNicsTakeTwiceTheTransmission) {
  const Machine machine("hgx-h100-4n", 2, 8);
  std::vector<base::RankId> half;
  for (const int rank : {0, 1, 2, 3, 8, 9, 10, 11}) half.emplace_back(rank);
  const Bytes size = Bytes::from_gib(1);
  const double alone =
      solve_collective(machine.network, {half, 8}, CollectiveKind::kAllGather, size).makespan.s();
  std::vector<base::RankId> both = half;
  for (const base::RankId rank : half) both.push_back(rank);
  const double twice =
      solve_collective(machine.network, {both, 8}, CollectiveKind::kAllGather, size).makespan.s();
  EXPECT_GT(twice, 1.8 * alone);
}

// 10 x 8 ranks: one channel of 14 GB/s carries the only connection that leaves a node; 2 x 8: four, so the
// NIC.
TEST(NcclCollective, NeighbourExchangeIsBoundByTheChannelsOfAConnection) {
  const Bytes size = Bytes::from_gib(1);
  const Machine few("hgx-h100-4n", 2, 8), many("hgx-h100-32n", 10, 8);
  const double near =
      size.as_double() / solve_neighbour_exchange(few.network, few.ranks(), size).makespan.s();
  const double far =
      size.as_double() / solve_neighbour_exchange(many.network, many.ranks(), size).makespan.s();
  EXPECT_NEAR(near / 1e9, 43.7, 1.0);
  EXPECT_NEAR(far / 1e9, 14.0, 0.2);
}

}  // namespace
}  // namespace moeplan::sim
