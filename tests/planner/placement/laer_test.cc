#include "planner/placement/laer.h"

#include <gtest/gtest.h>

#include "tests/planner/placement/system_problems.h"

namespace moeplan::planner {
namespace {

using test::round_problem;

// Two nodes of 2 GPUs, 3,000 assignments of expert 0 and 1,000 of expert 1, a quarter from each GPU. One
// expert a node: a GPU of node 0 gets 750 from its node (375 its own) and 750 of the other's 1,500. Sent:
// inside 2 x 375 ms + 2 x 125 ms = 1 s, across (1,500 + 500) x 2 ms = 4 s. 4 x 5 + 3 x 1.5 = 24.5 s. One of
// each on each node: nothing crosses, 2 x 750 ms + 2 x 250 ms = 2 s. 4 x 2 + 4.5 = 12.5 s.
TEST(Laer, SumsWhatIsSentAndTakesTheBusiestOfWork) {
  const PlacementProblem problem = round_problem({4, 2, 1, 1}, {3000, 1000});
  EXPECT_NEAR(laer_seconds(problem.layer(0), {0, 0, 1, 1}), 24.5, 1e-12);
  EXPECT_NEAR(laer_seconds(problem.layer(0), {0, 1, 0, 1}), 12.5, 1e-12);
}

TEST(Laer, SpreadsReplicasOverNodes) {
  const PlacementProblem problem = round_problem({4, 2, 1, 1}, {3000, 1000});
  const auto solver = make_laer();
  const Slots slots = solver->solve(problem.layer(0));
  EXPECT_EQ(slots, (Slots{0, 1, 0, 1}));
  EXPECT_NEAR(solver->own_cost(problem.layer(0), slots).value(), 12.5, 1e-12);
}

// Two nodes, 8 slots: two each (6 slots), then two more, one a node, to 6/2 = 3. One node, 4 slots: one
// each, one more.
TEST(Laer, GrowsReplicasByOneANode) {
  const std::vector<double> load = {6, 1, 1};
  EXPECT_EQ(laer_replicas(load, {4, 2, 2, 1}), (std::vector<int>{4, 2, 2}));
  EXPECT_EQ(laer_replicas(load, {2, 2, 2, 1}), (std::vector<int>{2, 1, 1}));
}

}  // namespace
}  // namespace moeplan::planner
