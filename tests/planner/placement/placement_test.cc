#include "planner/placement/placement.h"

#include <algorithm>
#include <numeric>

#include <gtest/gtest.h>

#include "base/random.h"
#include "tests/support/corpus.h"

namespace moeplan::planner {
namespace {

// Shares 8 5 4 3 (of 20), experts 1 2 3 0: 8 -> rank 0; 5 -> rank 1; 4 -> rank 1 (5 < 8), now 9 and full; 3 -> rank 0,
// 11. The busiest carries 0.55 of 0.5.
TEST(GreedyPlacement, PacksHeaviestFirstWithEqualCounts) {
  const std::vector<double> share = {0.15, 0.4, 0.25, 0.2};  // expert 1 is the hottest
  EXPECT_EQ(place_greedily(share, 2), (Slots{0, 1, 2, 3}));
  EXPECT_NEAR(max_over_mean(share, {0, 1, 2, 3}, 2), 1.1, 1e-12);
}

TEST(GreedyPlacement, MovesExpertsApartThatContiguousPutsTogether) {
  const std::vector<double> share = {0.4, 0.4, 0.1, 0.1};
  EXPECT_NEAR(max_over_mean(share, {0, 1, 2, 3}, 2), 1.6, 1e-12);
  EXPECT_NEAR(max_over_mean(share, place_greedily(share, 2), 2), 1.0, 1e-12);
}

// One expert takes half. Two ranks, 4 experts + 1 spare slot on each = 3 slots a rank: both spare slots go to it
// (0.5 -> 0.25 -> 0.1667), so 3 copies of 1/6 and three singles of 1/6: every slot equal, 0.5 on each rank.
TEST(Replication, SpareSlotsGoToTheHottest) {
  const double sixth = 1.0 / 6;
  const std::vector<double> share = {0.5, sixth, sixth, sixth};
  const Slots slots = replicate_greedily(share, 2, 3);
  EXPECT_EQ(std::count(slots.begin(), slots.end(), 0), 3);
  EXPECT_NEAR(max_over_mean(share, slots, 2), 1.0, 1e-12);
}

// 4 spare slots go 0.5 -> 2, 0.3 -> 2, 0.25 -> 3, 0.167 -> 4 copies: 4 2 1 1, so no rank needs two of one expert.
TEST(Replication, CopiesOfOneExpertAvoidTheSameRank) {
  const std::vector<double> share = {0.5, 0.3, 0.1, 0.1};
  const Slots slots = replicate_greedily(share, 4, 2);
  EXPECT_EQ(std::count(slots.begin(), slots.end(), 0), 4);
  EXPECT_EQ(std::count(slots.begin(), slots.end(), 1), 2);
  for (std::size_t r = 0; r < 4; ++r) EXPECT_NE(slots[2 * r], slots[2 * r + 1]);
}

TEST(LowerBound, IsTheMeanOrTheHottestExpert) {
  const std::vector<double> share = {0.7, 0.1, 0.1, 0.1};
  EXPECT_NEAR(lower_bound_max_over_mean(share, 4, 4), 2.8, 1e-12);  // 0.7 of a mean of 0.25
  EXPECT_NEAR(lower_bound_max_over_mean(share, 2, 4), 1.4, 1e-12);
  const std::vector<double> even(4, 0.25);
  EXPECT_NEAR(lower_bound_max_over_mean(even, 2, 4), 1.0, 1e-12);
}

TEST(Placement, NeverBeatsItsBoundAndIsAlwaysLegal) {
  base::RandomStream random(test::test_seed(), "placement");
  for (int trial = 0; trial < 200; ++trial) {
    const int ranks = 1 << random.below(4);
    const int per_rank = 1 + static_cast<int>(random.below(4));
    const int spare = static_cast<int>(random.below(3));
    const std::vector<double> alpha(static_cast<std::size_t>(ranks * per_rank), 0.5);
    const std::vector<std::vector<double>> shares = {random.dirichlet(alpha), random.dirichlet(alpha)};
    for (const sim::Placement& placement : {greedy_placement(shares, {}, ranks), replicated_placement(shares, ranks, spare)}) {
      ASSERT_EQ(find_placement_fault(placement, 2, ranks * per_rank, ranks), "") << placement.algorithm;
      for (std::size_t layer = 0; layer < 2; ++layer) {
        const double bound = lower_bound_max_over_mean(shares[layer], ranks, static_cast<int>(placement.slots[layer].size()));
        EXPECT_GE(max_over_mean(shares[layer], placement.slots[layer], ranks), bound - 1e-9);
      }
    }
  }
}

// 4 experts on 2 ranks have 3 ways to pair up. With shares a >= b >= c >= d the heaviest goes with the lightest,
// {a,d} {b,c}, which no other pairing beats: exchanging d for c or b makes the pair of a heavier.
TEST(GreedyPlacement, FindsTheBestPairing) {
  base::RandomStream random(test::test_seed(), "pairs");
  for (int trial = 0; trial < 200; ++trial) {
    const std::vector<double> alpha(4, 0.7);
    const std::vector<double> s = random.dirichlet(alpha);
    double best = 2;
    for (const Slots& slots : {Slots{0, 1, 2, 3}, Slots{0, 2, 1, 3}, Slots{0, 3, 1, 2}}) best = std::min(best, max_over_mean(s, slots, 2));
    EXPECT_NEAR(max_over_mean(s, place_greedily(s, 2), 2), best, 1e-12);
  }
}

TEST(PlacementChecker, NamesWhatIsIllegal) {
  sim::Placement p;
  EXPECT_EQ(find_placement_fault(p, 1, 4, 2), "");
  EXPECT_NE(find_placement_fault(p, 1, 5, 2), "");
  p.slots = {{0, 1, 2, 2}};
  EXPECT_EQ(find_placement_fault(p, 1, 4, 2), "layer 0: expert 3 has no slot");
  p.slots = {{0, 1, 2, 3, 4, 0}};
  EXPECT_EQ(find_placement_fault(p, 1, 4, 2), "layer 0: there is no expert 4");
  p.slots = {{0, 1, 2, 3, 0}};
  EXPECT_EQ(find_placement_fault(p, 1, 4, 2), "layer 0: 5 slots on 2 ranks");
  p.slots = {{0, 1, 2, 3}};
  EXPECT_EQ(find_placement_fault(p, 2, 4, 2), "1 layers placed, the model has 2");
}

// 8 experts in 4 groups of two on two ranks: groups weigh 0.4 0.4 0.1 0.1, so one heavy and one light to each rank.
TEST(GreedyPlacement, GroupLimitedRoutingMovesWholeGroups) {
  sim::ModelSpec model;
  model.groups = 4;
  const std::vector<std::vector<double>> shares = {{0.3, 0.1, 0.2, 0.2, 0.05, 0.05, 0.1, 0.0}};
  const sim::Placement placement = greedy_placement(shares, model, 2);
  EXPECT_NEAR(max_over_mean(shares[0], placement.slots[0], 2), 1.0, 1e-12);
  for (std::size_t s = 0; s < 8; s += 2) EXPECT_EQ(placement.slots[0][s] / 2, placement.slots[0][s + 1] / 2);
}

}  // namespace
}  // namespace moeplan::planner
