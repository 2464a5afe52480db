#include "planner/placement/study.h"

#include <gtest/gtest.h>

#include "planner/placement/maps.h"
#include "tests/support/corpus.h"

namespace moeplan::planner {
namespace {

TEST(Windows, RollToTheEndOfTheLoad) {
  const std::vector<Window> windows = roll_windows({{0, 1}, {1, 11}}, 10, 35);
  ASSERT_EQ(windows.size(), 3U);  // scored on 1:11, 11:21, 21:31; 31:41 reaches beyond
  EXPECT_EQ(windows[2].train, (IterationRange{20, 21}));
  EXPECT_EQ(windows[2].score, (IterationRange{21, 31}));
  EXPECT_EQ(roll_windows({{0, 1}, {1, 11}}, 0, 35).size(), 1U);
}

// Gains 10 % and 30 %: mean 20 %, standard deviation 14.14 %, half-width 1.645 * 14.14 / sqrt 2 = 16.45 %.
TEST(PairedGain, IsAMeanWithItsInterval) {
  const PairedGain gain = paired_gain({1.1, 2.6}, {1.0, 2.0});
  EXPECT_NEAR(gain.mean, 0.2, 1e-12);
  EXPECT_NEAR(gain.half_width, 0.1645, 1e-12);
  EXPECT_EQ(paired_gain({1.1}, {1.0}).half_width, 0.0);
}

// 3 experts; 0 in slots 0 and 3.
TEST(Maps, AreThoseOfEplb) {
  const ExpertMaps maps = make_maps({"x", {{0, 1, 2, 0}}}, 3);
  EXPECT_EQ(maps.logical_count[0], (std::vector<std::int32_t>{2, 1, 1}));
  EXPECT_EQ(maps.logical_to_physical[0], (std::vector<std::vector<std::int32_t>>{{0, 3}, {1, -1}, {2, -1}}));
  EXPECT_EQ(write_maps_json(maps), write_maps_json(make_maps({"x", {{0, 1, 2, 0}}}, 3)));
}

// Planned on one snapshot of the published training trace, scored on the next ten (100 iterations): the
// acceptance of the planner. Shares of windows and layers, and never above in the mean.
TEST(Study, OnTheTrainingTraceOursScoresBelowGlobalEplb) {
  const auto corpus = test::corpus();
  if (!corpus) GTEST_SKIP() << "no corpus";
  const auto loads =
      sim::load_expert_loads((*corpus / "routing" / "smartmoe_gpt_32e_top2_trace.npz").string(), {});
  for (const int slots : {4, 5, 6, 8}) {
    const std::vector<Window> windows = roll_windows({{0, 1}, {1, 11}}, 20, loads->iterations());
    const Study study = run_study(*loads, {8, 8, slots, 1}, windows, {"eplb_global", "moeplan"}, 1);
    const SolverStudy& eplb = study.solvers[0];
    const SolverStudy& ours = study.solvers[1];
    EXPECT_LE(ours.planned, eplb.planned * (1 + 1e-9)) << slots;
    EXPECT_LE(ours.scored, eplb.scored) << slots;
    EXPECT_EQ(ours.duplicates, 0) << slots;
    EXPECT_GE(ours.planned, study.bound * (1 - 1e-9)) << slots;
    EXPECT_GE(ours.scored, study.scored_bound * (1 - 1e-9)) << slots;
  }
}

}  // namespace
}  // namespace moeplan::planner
