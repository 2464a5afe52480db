#include "planner/placement/pro_prophet.h"

#include <gtest/gtest.h>

#include "tests/planner/placement/system_problems.h"

namespace moeplan::planner {
namespace {

using test::round_problem;

// 1,500 and 500 assignments. As it is: 750 of another GPU's arrive at GPU 0: 4 x 0.75 + 3 x 1.5 = 7.5 s.
// Expert 0 on both: 750, and 750 + 500 of which 250 arrive: 4 x 0.25 + 3 x 1.25 + 2 x (2/2 x 0.5 B / 1,000
// B/s) = 4.751 s. Both on both: 1,000 each, nothing arrives: 3 + 2 x 0.001 = 3.002 s.
TEST(ProProphet, AddsTransfersToWhatIsWorkedOnAndReceived) {
  const PlacementProblem problem = round_problem({2, 2, 2, 1}, {1500, 500});
  const LayerProblem layer = problem.layer(0);
  EXPECT_NEAR(pro_prophet_seconds(layer, {}), 7.5, 1e-12);
  EXPECT_NEAR(pro_prophet_seconds(layer, {{0, {0, 1}}}), 4.751, 1e-12);
  EXPECT_NEAR(pro_prophet_seconds(layer, {{0, {0, 1}}, {1, {0, 1}}}), 3.002, 1e-12);
}

// Across nodes everything that moves takes twice as long: 4 x 1.5 + 4.5.
TEST(ProProphet, CountsTheSlowerLinkWhereThereAreNodes) {
  const PlacementProblem problem = round_problem({2, 1, 2, 1}, {1500, 500});
  EXPECT_NEAR(pro_prophet_seconds(problem.layer(0), {}), 10.5, 1e-12);
}

// 2,800 of 4,000 on expert 0 of four GPUs. Left out of its transfer, n GPUs send to the home: with n = 0
// GPUs hold 700, others 1,100 (300 arrive): 4 x 0.3 + 3.3 + 0.001; with n = 1 the home has 1,400 (700
// arrive): 7 s.
TEST(ProProphet, LeavesOutGpusThatSendToTheHome) {
  const PlacementProblem problem = round_problem({4, 4, 2, 1}, {2800, 400, 400, 400});
  const LayerProblem layer = problem.layer(0);
  EXPECT_NEAR(pro_prophet_seconds(layer, {{0, {0, 1, 2, 3}}}), 4.501, 1e-12);
  EXPECT_NEAR(pro_prophet_seconds(layer, {{0, {0, 1, 2}}}), 7.0 + 0.00075, 1e-12);
  const auto solver = make_pro_prophet();
  const Slots slots = solver->solve(layer);
  EXPECT_EQ(slots, (Slots{0, 0, 0, 1, 0, 2, 0, 3}));  // GPU 0's own spare slot has only expert 0 to repeat
  EXPECT_NEAR(solver->own_cost(layer, slots).value(), 4.501, 1e-12);
}

// Transfers that cost more than they save are not made: an expert of 5,000 B takes 2 x 5 s.
TEST(ProProphet, KeepsTheBestPrefix) {
  PlacementProblem problem = round_problem({2, 2, 2, 1}, {1500, 500});
  problem.job.parameters = 5000;
  problem.job.flops_per_s = 1e7;  // 1 ms an assignment still
  EXPECT_EQ(make_pro_prophet()->solve(problem.layer(0)), (Slots{0, 0, 1, 1}));
}

}  // namespace
}  // namespace moeplan::planner
