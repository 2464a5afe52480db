#include <numeric>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "sim/collective/all_to_all.h"
#include "sim/collective/point_to_point.h"
#include "sim/collective/ring.h"
#include "tests/sim/cost/tiny_profile.h"
#include "tests/support/corpus.h"

namespace moeplan::sim {
namespace {

using base::Bytes;
using base::RankId;

/// 2 nodes of 4 GPUs, NVLink 100 GB/s a direction, one NIC of 50 GB/s each, no latencies.
/// Efficiencies of the tiny profile: all-to-all 0.5 b / (b + 1 MB) with 10 us + 1 us per step, send/recv 0.6,
/// all-gather 0.7, all-reduce 0.8 with 10 us.
struct Fixture {
  topology::Cluster cluster = topology::compile(spec());
  Profile profile = parse_profile(test_data::tiny_profile(), "tiny.yaml");
  std::unique_ptr<Sharing> sharing = make_sharing({SharingMode::kFlow, 0});
  CommNetwork network{cluster, profile, *sharing};

  static topology::ClusterSpec spec() {
    topology::ClusterSpec spec;
    spec.name = "tiny";
    spec.nodes = 2;
    spec.node.gpus = 4;
    spec.node.gpu = "Tiny GPU";
    spec.node.memory = Bytes::from_gib(16);
    spec.node.nvlink = topology::NvlinkSpec{
        topology::NvlinkSpec::Kind::kSwitch, base::BytesPerSecond::from_gb_per_s(100), {}, {}};
    spec.node.nics = topology::NicSpec{4, base::BytesPerSecond::from_gb_per_s(50), {}, {0, 1, 2, 3}};
    spec.fabric.kind = topology::FabricSpec::Kind::kSingleSwitch;
    return spec;
  }
};

std::vector<RankId> ranks(int first, int count) {
  std::vector<RankId> result;
  for (int i = 0; i < count; ++i) result.emplace_back(first + i);
  return result;
}

AllToAllTraffic uniform(std::vector<RankId> members, int group, std::int64_t bytes) {
  AllToAllTraffic traffic{std::move(members), group, {}};
  traffic.bytes.assign(traffic.ranks.size() * static_cast<std::size_t>(group), bytes);
  return traffic;
}

// 4 ranks of a node send 1 MB to each of 3 peers: b = 3 MB, fraction 0.5 * 3/4 = 0.375, 3 MB / 37.5 GB/s = 80
// us, + 11 us.
TEST(FlatAllToAll, TakesBytesOverTheCalibratedLinkAndTheOverhead) {
  const Fixture f;
  const CommTimes times = solve_flat_all_to_all(f.network, uniform(ranks(0, 4), 4, 1'000'000));
  for (const base::Seconds done : times.done) EXPECT_NEAR(done.us(), 91.0, 1e-6);
  EXPECT_NEAR(times.high, 1.1, 1e-12);
  EXPECT_EQ(times.evidence, Evidence::kMeasured);
}

// Everybody sends 3 MB to rank 0 only: its NVLink down carries 9 MB; senders send 3 MB each: 9 MB / 37.5 GB/s
// = 240 us.
TEST(FlatAllToAll, AHotRankTakesAsLongAsItsOwnLink) {
  const Fixture f;
  AllToAllTraffic traffic = uniform(ranks(0, 4), 4, 0);
  for (std::size_t i = 1; i < 4; ++i) traffic.bytes[i * 4] = 3'000'000;
  EXPECT_NEAR(solve_flat_all_to_all(f.network, traffic).done[0].us(), 240.0 + 11.0, 1e-6);
}

// 8 ranks over 2 nodes, 1 MB a pair: 4 MB leave over the NIC: fraction 0.5 * 4/5 = 0.4 of 50 GB/s = 200 us;
// NVLink's 3 MB take 80 us.
TEST(FlatAllToAll, SpanningNodesIsBoundByTheNic) {
  const Fixture f;
  const CommTimes times = solve_flat_all_to_all(f.network, uniform(ranks(0, 8), 8, 1'000'000));
  for (const base::Seconds done : times.done) EXPECT_NEAR(done.us(), 211.0, 1e-6);
}

TEST(FlatAllToAll, NothingToSendTakesNoTime) {
  const Fixture f;
  EXPECT_EQ(solve_flat_all_to_all(f.network, uniform(ranks(0, 4), 4, 0)).makespan.s(), 0.0);
}

// Two groups on one node do not share links of an NVSwitch: the same time as one group alone.
TEST(FlatAllToAll, GroupsWithoutCommonLinksDoNotSlowEachOther) {
  const Fixture f;
  const CommTimes alone = solve_flat_all_to_all(f.network, uniform(ranks(0, 2), 2, 1'000'000));
  const CommTimes both = solve_flat_all_to_all(f.network, uniform(ranks(0, 4), 2, 1'000'000));
  EXPECT_NEAR(both.done[3].s(), alone.done[0].s(), 1e-15);
}

// 3 rounds of 1 MB each; a round is a collective of 1 MB per rank: fraction 0.25, 40 us; overhead 10 us once
// and 1 us a round.
TEST(PairwiseAllToAll, RunsItsRoundsOneAfterTheOther) {
  const Fixture f;
  const CommTimes times = solve_pairwise_all_to_all(f.network, uniform(ranks(0, 4), 4, 1'000'000));
  for (const base::Seconds done : times.done) EXPECT_NEAR(done.us(), 3 * 40.0 + 10.0 + 3 * 1.0, 1e-6);
}

TEST(AllToAllTraffic, ReversedTwiceIsTheSame) {
  AllToAllTraffic traffic = uniform(ranks(0, 8), 4, 0);
  std::iota(traffic.bytes.begin(), traffic.bytes.end(), 0);
  const AllToAllTraffic back = traffic.reversed();
  EXPECT_EQ(back.bytes[0 * 4 + 1], traffic.bytes[1 * 4 + 0]);
  EXPECT_EQ(back.bytes[5 * 4 + 3], traffic.bytes[7 * 4 + 1]);
  EXPECT_EQ(back.reversed().bytes, traffic.bytes);
}

// Relabelling ranks of a symmetric node permutes the finish times and changes none.
TEST(FlatAllToAll, RelabellingSymmetricRanksChangesNothing) {
  const Fixture f;
  base::RandomStream random(test::test_seed(), "relabel");
  AllToAllTraffic traffic = uniform(ranks(0, 4), 4, 0);
  for (std::int64_t& bytes : traffic.bytes) bytes = static_cast<std::int64_t>(random.below(5'000'000));
  AllToAllTraffic turned = traffic;
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j < 4; ++j)
      turned.bytes[(i + 1) % 4 * 4 + (j + 1) % 4] = traffic.bytes[i * 4 + j];
  }
  const CommTimes a = solve_flat_all_to_all(f.network, traffic);
  const CommTimes b = solve_flat_all_to_all(f.network, turned);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(a.done[i].s(), b.done[(i + 1) % 4].s(), 1e-15);
}

// Ring all-gather of 8 MB over 4 ranks: 6 MB to the neighbour at 0.7 * 100 GB/s (half size 1 B) = 85.71 us, +
// 10 us.
TEST(Ring, AllGatherSendsNMinusOneParts) {
  const Fixture f;
  const CommTimes times =
      solve_ring(f.network, {ranks(0, 4), 4}, CollectiveKind::kAllGather, Bytes::of(8'000'000));
  EXPECT_NEAR(times.makespan.us(), 6e6 / 70e9 * 1e6 + 10.0, 1e-3);
}

// All-reduce is both passes: 2 * 6 MB at 80 GB/s.
TEST(Ring, AllReduceSendsTwice) {
  const Fixture f;
  const CommTimes times =
      solve_ring(f.network, {ranks(0, 4), 4}, CollectiveKind::kAllReduce, Bytes::of(8'000'000));
  EXPECT_NEAR(times.makespan.us(), 12e6 / 80e9 * 1e6 + 10.0, 1e-3);
}

// 8 ranks on 2 nodes, 8 MB: B = 7 MB; a quarter of it leaves each GPU over its NIC: 1.75 MB / 35 GB/s = 50
// us; NVLink carries 5.25 MB / 70 GB/s = 75 us and is the bottleneck.
TEST(Ring, SpanningNodesUsesTheNicOfEveryMember) {
  const Fixture f;
  const CommTimes times =
      solve_ring(f.network, {ranks(0, 8), 8}, CollectiveKind::kAllGather, Bytes::of(8'000'000));
  EXPECT_NEAR(times.makespan.us(), 75.0 + 10.0, 1e-3);
}

// One rank per node: the whole ring goes over one NIC: B = 4 MB / 35 GB/s = 114.3 us.
TEST(Ring, OneRankPerNodeHasOneNic) {
  const Fixture f;
  const CommTimes times =
      solve_ring(f.network, {{RankId(0), RankId(4)}, 2}, CollectiveKind::kAllGather, Bytes::of(8'000'000));
  EXPECT_NEAR(times.makespan.us(), 4e6 / 35e9 * 1e6 + 10.0, 1e-3);
}

TEST(Ring, AGroupOfOneTakesNoTime) {
  const Fixture f;
  EXPECT_EQ(solve_ring(f.network, {ranks(0, 4), 1}, CollectiveKind::kAllReduce, Bytes::of(1000)).makespan.s(),
            0.0);
}

// 3 MB over the NIC at 0.6 * 50 GB/s = 100 us, + 10 us.
TEST(PointToPoint, GoesOverTheNicOfEachPair) {
  const Fixture f;
  const CommTimes times = solve_point_to_point(f.network, ranks(0, 4), ranks(4, 4), Bytes::of(3'000'000));
  ASSERT_EQ(times.done.size(), 4U);
  EXPECT_NEAR(times.makespan.us(), 110.0, 1e-3);
}

}  // namespace
}  // namespace moeplan::sim
