#include "planner/placement/shadowing.h"

#include <gtest/gtest.h>

#include "planner/placement/checker.h"
#include "planner/placement/system_slots.h"

namespace moeplan::planner {
namespace {

const std::vector<double> kTokens = {3000, 1000};

ShadowModel model_of(ShadowPolicy policy, double parameters) {
  return {policy, {kTokens, 2, 1000, parameters}};
}

// One expert a rank, H 1,000, 10^6 parameters. A token's work: 3 x 2 x 10^6 / 11.5e12 = 0.52174 us; its
// four transfers: 4 x 1,000 x 4 B / 6.25 GB/s = 2.56 us. Without a shadow 3,000 x 3.08174 us = 9.24522 ms.
// With expert 0 shadowed each rank keeps its 1,500, rank 1 has 2,500: 1.30435 ms, and 2 x 4 MB / 6.25 GB/s
// = 1.28 ms.
TEST(Shadowing, PaperAddsTransfersAndDropsTheAllToAll) {
  const ShadowModel model = model_of(ShadowPolicy::kPaper, 1e6);
  EXPECT_NEAR(model.seconds(0), 9.245217e-3, 1e-9);
  EXPECT_NEAR(model.seconds(1), 2.584348e-3, 1e-9);
  EXPECT_EQ(model.choose(1), 1);
  EXPECT_EQ(model.choose(0), 0);  // no slot for it
}

// Work four times as much: 2.08696 us. 3,000 x 4.64696 = 13.94087 ms; 2,500 x 2.08696 + 0.64 ms x (1 + 2/2)
// = 6.49739.
TEST(Shadowing, PrototypeMultipliesWorkByTheSizeOfAnElement) {
  const ShadowModel model = model_of(ShadowPolicy::kPrototype, 1e6);
  EXPECT_NEAR(model.seconds(0), 13.940870e-3, 1e-9);
  EXPECT_NEAR(model.seconds(1), 6.497391e-3, 1e-9);
  EXPECT_EQ(model.choose(1), 1);
}

// Both sources send 2,000: the next largest total is as large, and the transfer comes on top.
TEST(Shadowing, FastMoeSortsTotalsOfSourcesAndNeverShadows) {
  const ShadowModel model = model_of(ShadowPolicy::kFastMoe, 1e6);
  EXPECT_NEAR(model.seconds(1) - model.seconds(0), 1e6 * 4 / 6.25e9, 1e-12);
  EXPECT_EQ(model.choose(1), 0);
}

// Work 6e5 / 112e12 = 5.35714 ns, transfers 4 x 1,000 x 2 / 8e9 = 1 us, of the half that comes from the
// other rank. 3,000 x 5.35714 ns + 1,500 x 1 us = 1.516071 ms. Expert 0 shadowed: (1,000 + 1,500) x 5.35714
// ns + 500 x 1 us + 8 x 2 x 10^5 / 8e9 (0.2 ms) = 0.713393 ms. With 10^6 parameters: 1.660714 against
// 2.633929 ms, not worth it.
TEST(Shadowing, SmartMoesCopyCountsRemoteTokensAndEightTransfers) {
  const ShadowModel small = model_of(ShadowPolicy::kSmartMoe, 1e5);
  EXPECT_NEAR(small.seconds(0), 1.516071e-3, 1e-9);
  EXPECT_NEAR(small.seconds(1), 0.713393e-3, 1e-9);
  EXPECT_EQ(small.choose(1), 1);
  const ShadowModel large = model_of(ShadowPolicy::kSmartMoe, 1e6);
  EXPECT_NEAR(large.seconds(0), 1.660714e-3, 1e-9);
  EXPECT_NEAR(large.seconds(1), 2.633929e-3, 1e-9);
  EXPECT_EQ(large.choose(1), 0);
}

PlacementProblem four_experts() {
  PlacementProblem problem{{2, 2, 3, 1}, 1, 4, 1, {0.7, 0.1, 0.12, 0.08}, {}};
  problem.fill_means();
  problem.job.assignments = 100'000;
  return problem;
}

// Expert 0 goes to GPU 1; GPU 0's spare slot repeats expert 1, which stands nowhere else: 0.35 + 0.1
// against 0.35 + 0.12 + 0.08.
TEST(Shadowing, PutsAReplicaOnEveryOtherGpu) {
  const PlacementProblem problem = four_experts();
  const auto solver = make_fastermoe(ShadowPolicy::kPaper);
  const Slots slots = solver->solve(problem.layer(0));
  EXPECT_EQ(slots, (Slots{0, 1, 1, 0, 2, 3}));
  EXPECT_NEAR(check_layer(problem.shape, 4, problem.load, slots).objective, 0.55, 1e-12);
  const auto cost = solver->own_cost(problem.layer(0), slots);
  ASSERT_TRUE(cost.has_value());
  EXPECT_LT(*cost, *solver->own_cost(problem.layer(0), home_slots(problem.layer(0))));
}

// A rank has two experts and one spare slot: no whole worker fits.
TEST(Shadowing, PrototypeNeedsSlotsForAWholeWorker) {
  const PlacementProblem problem = four_experts();
  EXPECT_EQ(make_fastermoe(ShadowPolicy::kPrototype)->solve(problem.layer(0)), (Slots{0, 1, 1, 2, 3, 3}));
}

TEST(Shadowing, RefusesExpertsThatDoNotDivide) {
  PlacementProblem problem{{2, 2, 3, 1}, 1, 3, 1, {1, 1, 1}, {}};
  problem.fill_means();
  EXPECT_EQ(make_fastermoe(ShadowPolicy::kPaper)->find_refusal(problem.layer(0)),
            "FasterMoE needs as many experts on each GPU: 3 on 2 do not divide");
}

}  // namespace
}  // namespace moeplan::planner
