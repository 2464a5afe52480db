#include "planner/placement/flexmoe.h"

#include <gtest/gtest.h>

#include "tests/planner/placement/system_problems.h"

namespace moeplan::planner {
namespace {

using test::round_problem;

// 1,500 of 2,000 assignments on GPU 0: 3 x 1 ms of work each, and 4 transfers of 1 ms for the half that comes
// from the other GPU: 5 ms, 7.5 s. Across nodes a transfer takes 2 ms: 7 ms, 10.5 s.
TEST(FlexMoe, CostsTheBusiestGpu) {
  const PlacementProblem one = round_problem({2, 2, 1, 1}, {1500, 500});
  EXPECT_NEAR(flexmoe_seconds(one.layer(0), {0, 1}), 7.5, 1e-12);
  const PlacementProblem two = round_problem({2, 1, 1, 1}, {1500, 500});
  EXPECT_NEAR(flexmoe_seconds(two.layer(0), {0, 1}), 10.5, 1e-12);
}

// 600 + 400 on each GPU: 1,000 x 5 ms, and the all-reduce of expert 0: 0.5 B x 2 x 1/2 / 1,000 B/s. On one
// GPU its two vExperts share parameters: nothing to reduce, 1,200 x 5 ms.
TEST(FlexMoe, SynchronisesReplicasOfDifferentGpusOnly) {
  const PlacementProblem problem = round_problem({2, 2, 2, 1}, {1200, 400, 400});
  EXPECT_NEAR(flexmoe_seconds(problem.layer(0), {0, 1, 0, 2}), 5.0005, 1e-12);
  EXPECT_NEAR(flexmoe_seconds(problem.layer(0), {0, 0, 1, 2}), 6.0, 1e-12);
}

// Start {0, 1}, {2, 0}: 1,450 and 550. Expert 1 has most load of a vExpert, expert 0 two of 150. In GPU 0's
// slot the new one makes {1, 1}, {0, 2}: 1,300, 6.5 s; in GPU 1's {0, 1}, {1, 2}: 950 and 1,050, 5.2505 s.
// That is 1.05 of the mean: the end.
TEST(FlexMoe, ExpandsTheHottestWhereItCostsLeast) {
  const PlacementProblem problem = round_problem({2, 2, 2, 1}, {300, 1300, 400});
  const auto solver = make_flexmoe();
  const Slots slots = solver->solve(problem.layer(0));
  EXPECT_EQ(slots, (Slots{0, 1, 1, 2}));
  EXPECT_NEAR(solver->own_cost(problem.layer(0), slots).value(), 5.2505, 1e-12);
}

// No spare slot: nothing to shrink. {900, 700}, {200, 200}: swapping 900 for a 200 leaves 900 | 1,100, 700
// for one 1,100 | 900: the first found of two equal ones.
TEST(FlexMoe, MigratesWhereNothingCanBeShrunk) {
  const PlacementProblem problem = round_problem({2, 2, 2, 1}, {900, 700, 200, 200});
  const Slots slots = make_flexmoe()->solve(problem.layer(0));
  EXPECT_NEAR(flexmoe_seconds(problem.layer(0), slots), 5.5, 1e-9);
}

// 1.1 of the mean is below the threshold.
TEST(FlexMoe, LeavesABalancedLayerAlone) {
  const PlacementProblem problem = round_problem({2, 2, 1, 1}, {1100, 900});
  EXPECT_EQ(make_flexmoe()->solve(problem.layer(0)), (Slots{0, 1}));
}

}  // namespace
}  // namespace moeplan::planner
