#include "sim/collective/all_to_all_phases.h"

#include <numeric>

#include <gtest/gtest.h>

#include "base/config_files.h"
#include "base/random.h"
#include "sim/collective/leader_all_to_all.h"
#include "sim/collective/rail_relay_all_to_all.h"
#include "sim/collective/split_pipe_all_to_all.h"
#include "sim/collective/two_level_all_to_all.h"
#include "tests/support/corpus.h"

namespace moeplan::sim {
namespace {

using base::RankId;
using Phases = std::vector<AllToAllTraffic>;

/// 4 shipped nodes of 8 H100.
struct Machine {
  topology::Cluster cluster = topology::load_cluster(base::configs_folder() + "/clusters/hgx-h100-4n.yaml");
  Profile profile = load_profile(base::configs_folder() + "/profiles/h100-sxm.yaml");
  std::unique_ptr<Sharing> sharing = make_sharing({SharingMode::kFlow, 0});
  CommNetwork network{cluster, profile, *sharing};
};

AllToAllTraffic traffic_of(int count, const std::function<std::int64_t()>& bytes) {
  AllToAllTraffic traffic;
  for (int r = 0; r < count; ++r) traffic.ranks.emplace_back(r);
  traffic.group_size = count;
  for (int i = 0; i < count * count; ++i) traffic.bytes.push_back(bytes());
  return traffic;
}

std::int64_t bytes_between(const AllToAllTraffic& phase, int from, int to) {
  return phase.bytes[static_cast<std::size_t>(from * phase.group_size + to)];
}

/// Sum of what goes between nodes.
std::int64_t crossing(const Machine& m, const AllToAllTraffic& phase) {
  std::int64_t sum = 0;
  for (int i = 0; i < phase.group_size; ++i) {
    for (int j = 0; j < phase.group_size; ++j)
      if (!m.cluster.same_node(RankId(i), RankId(j))) sum += bytes_between(phase, i, j);
  }
  return sum;
}

/// What a rank has at the end, others' bytes only: all that came in less what it passed on for others.
std::vector<std::int64_t> kept(const Phases& phases) {
  const auto n = static_cast<std::size_t>(phases.front().group_size);
  std::vector<std::int64_t> balance(n, 0);
  for (const AllToAllTraffic& phase : phases) {
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        if (i == j) continue;
        balance[i] -= phase.bytes[i * n + j];
        balance[j] += phase.bytes[i * n + j];
      }
    }
  }
  return balance;
}

TEST(AllToAllPhases, EveryAlgorithmDeliversEveryByteAndSendsItOnceBetweenNodes) {
  const Machine m;
  base::RandomStream random(test::test_seed(), "phases");
  const AllToAllTraffic traffic =
      traffic_of(32, [&] { return static_cast<std::int64_t>(random.below(1000)); });
  for (const auto& phases : {two_level_phases(m.cluster, traffic), leader_phases(m.cluster, traffic),
                             split_pipe_phases(m.cluster, traffic), rail_relay_phases(m.cluster, traffic)}) {
    EXPECT_EQ(kept(phases), kept({traffic}));
    std::int64_t crossed = 0;
    for (const AllToAllTraffic& phase : phases) crossed += crossing(m, phase);
    EXPECT_EQ(crossed, crossing(m, traffic));
  }
}

// 4 nodes of 8, 1 byte a pair: in phase 1 rank 0 sends rank 1 what is for ranks 1, 9, 17, 25; in phase 2 rank
// 1 sends rank 9 what the 8 ranks of its node have for it.
TEST(TwoLevelAllToAll, SendsOneMessageAPairOfNodesAndIndex) {
  const Machine m;
  const Phases phases = two_level_phases(m.cluster, traffic_of(32, [] { return 1; }));
  ASSERT_EQ(phases.size(), 2u);
  EXPECT_EQ(bytes_between(phases[0], 0, 1), 4);
  EXPECT_EQ(bytes_between(phases[0], 0, 9), 0);
  EXPECT_EQ(bytes_between(phases[1], 1, 9), 8);
  EXPECT_EQ(bytes_between(phases[1], 1, 10), 0);
}

// Rank 1 gives its leader 24 bytes for other nodes; a leader sends another 64; and hands 24 to each of its
// own.
TEST(LeaderAllToAll, PutsAllThatLeavesANodeOnOneNic) {
  const Machine m;
  const Phases phases = leader_phases(m.cluster, traffic_of(32, [] { return 1; }));
  ASSERT_EQ(phases.size(), 3u);
  EXPECT_EQ(bytes_between(phases[0], 1, 0), 24 + 1);
  EXPECT_EQ(bytes_between(phases[0], 1, 2), 1);
  EXPECT_EQ(bytes_between(phases[1], 0, 8), 64);
  EXPECT_EQ(bytes_between(phases[1], 1, 9), 0);
  EXPECT_EQ(bytes_between(phases[2], 8, 9), 24);
}

// The leader's NIC carries what eight NICs do otherwise.
TEST(LeaderAllToAll, TakesEightTimesAsLongBetweenNodesAsTwoLevels) {
  const Machine m;
  const AllToAllTraffic traffic = traffic_of(32, [] { return 4'000'000; });
  const double two = solve_two_level_all_to_all(m.network, traffic).makespan.s();
  const double leader = solve_leader_all_to_all(m.network, traffic).makespan.s();
  EXPECT_GT(leader, 5 * two);
}

TEST(SplitPipeAllToAll, IsNoSlowerThanFlatAndNeverFasterThanItsSlowerHalf) {
  const Machine m;
  for (const std::int64_t bytes : {std::int64_t{2'000}, std::int64_t{4'000'000}}) {
    const AllToAllTraffic traffic = traffic_of(32, [=] { return bytes; });
    const double flat = solve_flat_all_to_all(m.network, traffic).makespan.s();
    const double split = solve_split_pipe_all_to_all(m.network, traffic).makespan.s();
    EXPECT_LE(split, flat * 1.001);
    for (const AllToAllTraffic& half : split_pipe_phases(m.cluster, traffic))
      EXPECT_GE(split, solve_flat_all_to_all(m.network, half).makespan.s() * 0.999);
  }
}

// Both links work at once: never slower than one after the other, never faster than the slower of the two.
TEST(RailRelayAllToAll, OverlapsWhatTwoLevelsDoInTurn) {
  const Machine m;
  const AllToAllTraffic traffic = traffic_of(32, [] { return 4'000'000; });
  const double turn = solve_two_level_all_to_all(m.network, traffic).makespan.s();
  const double together = solve_rail_relay_all_to_all(m.network, traffic).makespan.s();
  EXPECT_LT(together, turn);
  for (const AllToAllTraffic& phase : rail_relay_phases(m.cluster, traffic))
    EXPECT_GE(together, solve_flat_all_to_all(m.network, phase).makespan.s() * 0.999);
}

// Small messages: 3 peers over the network instead of 24 steps.
TEST(TwoLevelAllToAll, WinsOverFlatWithSmallMessagesOnly) {
  const Machine m;
  const auto gain = [&](std::int64_t bytes) {
    const AllToAllTraffic traffic = traffic_of(32, [=] { return bytes; });
    return solve_flat_all_to_all(m.network, traffic).makespan.s() /
           solve_two_level_all_to_all(m.network, traffic).makespan.s();
  };
  EXPECT_GT(gain(512), 1.0);
  EXPECT_LT(gain(8'000'000), 1.0);
}

TEST(AllToAllPhases, InsideOneNodeAllComeDownToTheFlatOne) {
  const Machine m;
  const AllToAllTraffic traffic = traffic_of(8, [] { return 4'000'000; });
  const double flat = solve_flat_all_to_all(m.network, traffic).makespan.s();
  EXPECT_NEAR(solve_two_level_all_to_all(m.network, traffic).makespan.s(), flat, 1e-3 * flat);
  EXPECT_NEAR(solve_split_pipe_all_to_all(m.network, traffic).makespan.s(), flat, 1e-3 * flat);
  EXPECT_NEAR(solve_rail_relay_all_to_all(m.network, traffic).makespan.s(), flat, 1e-3 * flat);
}

}  // namespace
}  // namespace moeplan::sim
