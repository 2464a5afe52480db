#include "planner/placement/weighted_split.h"

#include <algorithm>
#include <numeric>

#include <gtest/gtest.h>

#include "planner/placement/layer_time.h"
#include "tests/planner/placement/problems.h"
#include "tests/support/corpus.h"

namespace moeplan::planner {
namespace {

// Expert 0 (60) on both GPUs, 1 (30) on GPU 0, 2 (10) on GPU 1: 50 each where 20 of the 60 go to GPU 0.
// Evenly 60 | 40.
TEST(WeightedSplit, FillsTheLighterGpu) {
  const WeightedSplit split = split_by_load(std::vector<double>{60, 30, 10}, {2, 2, 2, 1}, {0, 1, 0, 2});
  EXPECT_NEAR(split.largest, 50, 1e-9);
  EXPECT_NEAR(split.share[0], 1.0 / 3, 1e-9);
  EXPECT_NEAR(split.share[2], 2.0 / 3, 1e-9);
  EXPECT_NEAR(split.share[1], 1, 1e-12);
}

// Expert 0 (80) stands on GPU 0 alone: 80 whatever the rest does, above the mean of 50.
TEST(WeightedSplit, RisesToWhatASetOfExpertsNeeds) {
  const WeightedSplit split = split_by_load(std::vector<double>{80, 20}, {2, 2, 2, 1}, {0, 1, 1, 1});
  EXPECT_NEAR(split.largest, 80, 1e-9);
  EXPECT_NEAR(split.share[1], 0, 1e-9);
  EXPECT_NEAR(split.share[2] + split.share[3], 1, 1e-9);
  EXPECT_NEAR(split.share[2], split.share[3], 1e-12);
}

TEST(WeightedSplit, SplitsExpertsWithoutLoadEvenly) {
  const WeightedSplit split = split_by_load(std::vector<double>{0, 0}, {2, 2, 1, 1}, {0, 1});
  EXPECT_EQ(split.largest, 0);
  EXPECT_EQ(split.share, (std::vector<double>{1, 1}));
}

/// max over sets of experts of their load over the number of GPUs that hold one, by trying them all.
double needed_by_sets(std::span<const double> load, const SlotShape& shape, const Slots& slots) {
  double most = 0;
  for (std::size_t set = 1; set < std::size_t{1} << load.size(); ++set) {
    double sum = 0;
    std::vector<bool> holds(static_cast<std::size_t>(shape.gpus), false);
    for (std::size_t e = 0; e < load.size(); ++e) sum += (set >> e & 1U) != 0 ? load[e] : 0.0;
    for (std::size_t s = 0; s < slots.size(); ++s) {
      if ((set >> static_cast<std::size_t>(slots[s]) & 1U) != 0)
        holds[s / static_cast<std::size_t>(shape.slots_per_gpu)] = true;
    }
    most = std::max(most, sum / static_cast<double>(std::count(holds.begin(), holds.end(), true)));
  }
  return most;
}

TEST(WeightedSplit, EqualsHallsConditionOnRandomPlacements) {
  base::RandomStream random(moeplan::test::test_seed(), "weighted split");
  for (int trial = 0; trial < 200; ++trial) {
    const SlotShape shape{2 + static_cast<int>(random.below(5)), 1, 1 + static_cast<int>(random.below(3)), 1};
    const int experts =
        1 + static_cast<int>(random.below(static_cast<std::uint64_t>(std::min(shape.slots(), 9))));
    const PlacementProblem problem = test::random_layer(random, experts, 1, shape);
    Slots slots;
    for (int s = 0; s < shape.slots(); ++s)
      slots.push_back(s < experts ? s : static_cast<int>(random.below(static_cast<std::uint64_t>(experts))));
    random.shuffle(slots);
    const WeightedSplit split = split_by_load(problem.load, shape, slots);
    EXPECT_NEAR(split.largest, needed_by_sets(problem.load, shape, slots), 1e-9 * split.largest) << trial;
    std::vector<double> gpu(static_cast<std::size_t>(shape.gpus), 0.0);
    std::vector<double> sum(static_cast<std::size_t>(experts), 0.0);
    for (std::size_t s = 0; s < slots.size(); ++s) {
      const auto e = static_cast<std::size_t>(slots[s]);
      EXPECT_GE(split.share[s], 0);
      sum[e] += split.share[s];
      gpu[s / static_cast<std::size_t>(shape.slots_per_gpu)] += split.share[s] * problem.load[e];
    }
    EXPECT_LE(*std::max_element(gpu.begin(), gpu.end()), split.largest * (1 + 1e-8)) << trial;
    for (const double one : sum) EXPECT_NEAR(one, 1, 1e-9);
  }
}

// Two sources of 30 tokens to expert 0, 15 to 1, 5 to 2: as in the first case 20 of 60 go to slot 0, 10 of
// each source.
TEST(WeightedSplit, HandsOutWholeTokens) {
  const sim::RoutingMatrix routing{2, 3, {30, 15, 5, 30, 15, 5}};
  const sim::MoeTraffic traffic = split_tokens(routing, {2, 2, 2, 1}, {0, 1, 0, 2}, TokenSplit::kWeighted);
  EXPECT_EQ(traffic.slot_tokens, (std::vector<std::int64_t>{20, 30, 40, 10}));
  EXPECT_EQ(traffic.copies, (std::vector<std::int64_t>{25, 25, 25, 25}));
}

}  // namespace
}  // namespace moeplan::planner
