#include "sim/collective/node_relay.h"

#include <gtest/gtest.h>

#include "sim/collective/relay_all_to_all.h"
#include "sim/cost/profile_data.h"
#include "tests/sim/cost/tiny_profile.h"

namespace moeplan::sim {
namespace {

using base::BytesPerSecond;
using base::Seconds;

BytesPerSecond gb(double rate) { return BytesPerSecond::from_gb_per_s(rate); }

/// One SM copies at 10 GB/s; links at their line rates.
EpConstants plain() {
  EpConstants c;
  c.start = Seconds::from_us(20);
  c.send = gb(10);
  c.relay = gb(5);
  c.default_sms = 20;
  c.evidence = Evidence::kMeasured;
  return c;
}

constexpr double kTokens = 1000, kBytes = 10'000;

// One expert a part: 4 experts on 4 ranks, top-2: 2 copies of each of 1,000 tokens of 10 kB = 20 MB; 4 SMs of
// 10 GB/s take 500 us. 3/4 of it over NVLink of 100 GB/s are 150 us, which the 8-norm hardly sees.
TEST(NodeRelay, InOneNodeTakesTheTimeOfItsSms) {
  const RelayWork work = even_relay_work(kTokens, 4, 2, 4, 1, kBytes);
  EXPECT_DOUBLE_EQ(work.copies, 2000.0);
  EXPECT_DOUBLE_EQ(work.nvlink_bytes, 15e6);
  const Seconds time = relay_time(EpLibrary::kDeepEp, plain(), work, {gb(100), gb(50)}, 4);
  EXPECT_NEAR(time.us(), 20 + 500, 0.1);
}

// With 40 SMs the copies take 50 us; 15 MB over NVLink at 100 GB/s 150 us.
TEST(NodeRelay, WithManySmsTakesTheTimeOfNvlink) {
  const Seconds time = relay_time(EpLibrary::kDeepEp, plain(), even_relay_work(kTokens, 4, 2, 4, 1, kBytes),
                                  {gb(100), gb(50)}, 40);
  EXPECT_NEAR(time.us(), 20 + 150, 0.1);
}

// 8 experts on 8 ranks of 2 nodes, top-2: a token touches 2 (1 - C(4,2)/C(8,2)) = 11/7 nodes; half of it,
// 11/14, leaves: 1,000 * 10 kB * 11/14 = 7.857 MB over a NIC of 10 GB/s are 785.7 us.
TEST(NodeRelay, ATokenCrossesOnceToEachNode) {
  const RelayWork work = even_relay_work(kTokens, 8, 2, 8, 2, kBytes);
  EXPECT_NEAR(work.crossings, 11000.0 / 7, 1e-9);
  const Seconds time = relay_time(EpLibrary::kDeepEp, plain(), work, {gb(1000), gb(10)}, 100);
  EXPECT_NEAR(time.us(), 20 + 785.7, 0.5);
}

// Relaying takes (11/7 + 1) * 10 kB / 5 GB/s = 5.143 us a token beside 2 copies of 1 us each: 7.143 ms on one
// SM, 357.1 us on 20.
TEST(NodeRelay, TheRelayTakesSmTimeForEachNodeAndTheTokenItself) {
  const RelayWork work = even_relay_work(kTokens, 8, 2, 8, 2, kBytes);
  const Seconds time = relay_time(EpLibrary::kDeepEp, plain(), work, {gb(1e6), gb(1e6)}, 20);
  EXPECT_NEAR(time.us(), 20 + 7142.9 / 20, 0.1);
}

TEST(NodeRelay, MoreTokensNeverTakeLessTimeAndMoreSmsNeverMore) {
  EpConstants c = plain();
  c.crest = c.node_crest = 1.0;
  c.write = gb(8);
  c.read = gb(60);
  c.contention = 0.004;
  for (const EpLibrary library : {EpLibrary::kDeepEp, EpLibrary::kHybridEp}) {
    for (const int nodes : {1, 2, 4}) {
      double before = 0;
      for (double tokens = 1; tokens < 1e5; tokens *= 3) {
        const RelayWork work = even_relay_work(tokens, 64, 4, 8 * nodes, nodes, kBytes);
        const double time = relay_time(library, c, work, {gb(400), gb(50)}, 12).s();
        EXPECT_GT(time, before);
        EXPECT_LE(relay_time(library, c, work, {gb(400), gb(50)}, 24).s(), time);
        before = time;
      }
    }
  }
}

TEST(NormalPeak, GrowsFromNothingLikeTheLargestOfManyNormals) {
  EXPECT_EQ(normal_peak(1), 0.0);
  EXPECT_NEAR(normal_peak(100), 2.508, 0.2);  // exact expectation 2.508
  EXPECT_NEAR(normal_peak(1000), 3.241, 0.2);
  EXPECT_LT(normal_peak(100), normal_peak(1000));
}

/// 2 nodes of 4 GPUs, NVLink 100 GB/s, a NIC of 50 GB/s each.
struct Fixture {
  topology::Cluster cluster = topology::compile(spec());
  Profile profile = make_profile();
  std::unique_ptr<Sharing> sharing = make_sharing({SharingMode::kBound, 0});
  CommNetwork network{cluster, profile, *sharing};

  static topology::ClusterSpec spec() {
    topology::ClusterSpec spec;
    spec.name = "tiny";
    spec.nodes = 2;
    spec.node.gpus = 4;
    spec.node.gpu = "Tiny GPU";
    spec.node.memory = base::Bytes::from_gib(16);
    spec.node.nvlink = topology::NvlinkSpec{topology::NvlinkSpec::Kind::kSwitch, gb(100), {}, {}};
    spec.node.nics = topology::NicSpec{4, gb(50), {}, {0, 1, 2, 3}};
    spec.fabric.kind = topology::FabricSpec::Kind::kSingleSwitch;
    return spec;
  }
  static Profile make_profile() {
    ProfileData data = parse_profile(test_data::tiny_profile(), "tiny.yaml").data();
    data.expert_parallel.set(EpLibrary::kDeepEp, EpOperation::kDispatch, plain());
    data.expert_parallel.set(EpLibrary::kDeepEp, EpOperation::kCombine, plain());
    return Profile(std::move(data));
  }
};

RelayTraffic even_traffic(int ranks, int nodes, double tokens, std::int64_t experts, int top_k) {
  RelayTraffic traffic;
  const auto n = static_cast<std::size_t>(ranks);
  for (int r = 0; r < ranks; ++r) traffic.ranks.emplace_back(r);
  traffic.group_size = ranks;
  traffic.tokens.assign(n, tokens);
  traffic.copies.assign(n * n, tokens * expected_distinct(experts, top_k, ranks) / ranks);
  traffic.crossings.assign(n * n,
                           nodes > 1 ? tokens * expected_distinct(experts, top_k, nodes) / nodes : tokens);
  return traffic;
}

TEST(RelayAllToAll, OfEvenTrafficIsTheClosedForm) {
  const Fixture f;
  const CommTimes times = solve_relay_all_to_all(f.network, even_traffic(8, 2, kTokens, 32, 4),
                                                 {EpLibrary::kDeepEp, EpOperation::kDispatch, kBytes, 8});
  const Seconds expected = relay_time(EpLibrary::kDeepEp, plain(),
                                      even_relay_work(kTokens, 32, 4, 8, 2, kBytes), {gb(100), gb(50)}, 8);
  // The closed form counts 7/8 of the copies on NVLink; the routes know that what stays on its relay does not
  // travel, so only where NVLink binds do the two differ.
  for (const Seconds done : times.done) EXPECT_NEAR(done.s() / expected.s(), 1.0, 0.02);
}

// Ranks 1 and 2 send all their tokens to rank 0: 2 x 1,000 x 10 kB = 20 MB over its 100 GB/s, 200 us.
// Who sends to it shares that link; combine takes the same way back.
TEST(RelayAllToAll, AHotRankHoldsUpItselfAndWhoSendsToIt) {
  const Fixture f;
  RelayTraffic traffic = even_traffic(4, 1, kTokens, 4, 1);
  traffic.copies.assign(16, 0.0);
  for (std::size_t i = 0; i < 4; ++i) traffic.copies[4 * i] = i == 3 ? 0.0 : kTokens;
  for (const EpOperation operation : {EpOperation::kDispatch, EpOperation::kCombine}) {
    const CommTimes times =
        solve_relay_all_to_all(f.network, traffic, {EpLibrary::kDeepEp, operation, kBytes, 60});
    EXPECT_NEAR(times.done[0].us(), 20 + 200, 1.0);  // 2 x 10 MB arrive
    EXPECT_NEAR(times.done[1].us(), 20 + 200, 1.0);
    EXPECT_LT(times.done[3].us(), 21.0);  // has nothing to do
  }
}

TEST(RelayAllToAll, RelabellingGroupsOfEqualPlacesChangesNothing) {
  const Fixture f;
  RelayTraffic traffic = even_traffic(4, 1, kTokens, 16, 2);
  const RelayCall call{EpLibrary::kDeepEp, EpOperation::kDispatch, kBytes, 4};
  const CommTimes first = solve_relay_all_to_all(f.network, traffic, call);
  for (std::size_t r = 0; r < 4; ++r) traffic.ranks[r] = base::RankId(static_cast<int>(r) + 4);
  const CommTimes second = solve_relay_all_to_all(f.network, traffic, call);
  for (std::size_t r = 0; r < 4; ++r) EXPECT_EQ(first.done[r], second.done[r]);
}

}  // namespace
}  // namespace moeplan::sim
