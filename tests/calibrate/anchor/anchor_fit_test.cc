#include "calibrate/anchor/anchor_fit.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/input_error.h"

namespace moeplan::calibrate {
namespace {

using ::testing::HasSubstr;

/// A step of so many seconds of products, of links and of neither.
StepModel parts(double compute, double links, double rest) {
  return [=](double compute_rate, double link_rate) {
    return base::Seconds::of(compute / compute_rate + links / link_rate + rest);
  };
}

AnchorRun run_of(StepModel model, double compute_rate, double link_rate, double factor = 1.0) {
  AnchorRun run;
  run.plan = "plan";
  run.digest = "01";
  run.log = "run.log";
  run.steps.median = model(compute_rate, link_rate) * factor;
  run.steps.steps = 24;
  run.steps.spread = 0.01;
  run.steps.deviation = 0.0015;
  run.predict = std::move(model);
  return run;
}

TEST(AnchorFit, OneRunIsMet) {
  const sim::Anchor anchor = fit_anchor("m", {run_of(parts(6, 2, 2), 0.9, 0.7)});
  ASSERT_EQ(anchor.runs.size(), 1U);
  EXPECT_NEAR(anchor.runs[0].after / anchor.runs[0].measured, 1.0, 0.01);
  EXPECT_DOUBLE_EQ(anchor.runs[0].before.s(), 10.0);
  // One equation does not tell which: both move, and their intervals hold the truth.
  EXPECT_LT(anchor.compute_rate.factor, 1.0);
  EXPECT_LT(anchor.link_rate.factor, 1.0);
  EXPECT_LT(anchor.link_rate.low, 0.7);
  EXPECT_GT(anchor.compute_rate.high, 0.9);
  EXPECT_DOUBLE_EQ(anchor.repeat, 0.032);
  EXPECT_NEAR(anchor.transfer, 1.6449 * 0.084 * std::sqrt(2.0), 1e-4);
}

TEST(AnchorFit, DifferentPlansTellBothRates) {
  std::vector<AnchorRun> runs;
  for (int i = 0; i < 8; ++i) {
    runs.push_back(run_of(parts(8, 1, 1), 0.8, 0.6));
    runs.push_back(run_of(parts(2, 7, 1), 0.8, 0.6));
  }
  const sim::Anchor anchor = fit_anchor("m", runs);
  EXPECT_NEAR(anchor.compute_rate.factor, 0.8, 0.02);
  EXPECT_NEAR(anchor.link_rate.factor, 0.6, 0.02);
  EXPECT_TRUE(anchor.compute_rate.identified && anchor.link_rate.identified);
  EXPECT_LT(anchor.compute_rate.high / anchor.compute_rate.low, 1.15);
  EXPECT_LT(anchor.transfer, 0.145);
}

TEST(AnchorFit, WhatNoRunTellsStaysAtOne) {
  const sim::Anchor anchor = fit_anchor("m", {run_of(parts(9, 0, 1), 0.9, 0.5)});
  EXPECT_TRUE(anchor.compute_rate.identified);
  EXPECT_FALSE(anchor.link_rate.identified);
  EXPECT_DOUBLE_EQ(anchor.link_rate.factor, 1.0);
  EXPECT_NEAR(anchor.compute_rate.factor, 0.9, 0.005);
  const sim::Anchor nothing = fit_anchor("m", {run_of(parts(0.1, 0.1, 10), 0.5, 0.5)});
  EXPECT_FALSE(nothing.compute_rate.identified || nothing.link_rate.identified);
  EXPECT_NEAR(nothing.runs[0].before / nothing.runs[0].after, 1.0, 1e-12);
}

// Two runs of the same plan that differ by 40 %: no constant explains that, and the band says so.
TEST(AnchorFit, TheBandHoldsWhatTheFitLeaves) {
  const sim::Anchor anchor =
      fit_anchor("m", {run_of(parts(8, 1, 1), 1, 1, 1.2), run_of(parts(8, 1, 1), 1, 1, 0.8)});
  EXPECT_GT(anchor.repeat, 0.18);
}

TEST(AnchorFit, RefusesALogOfAnotherRun) {
  EXPECT_THAT(test::input_error_of([] { fit_anchor("m", {run_of(parts(8, 1, 1), 0.01, 1)}); }),
              HasSubstr("expected 1/4 to 4"));
  // Neither rate moves this step, and the log says ten times as much: no profile could hold that.
  EXPECT_THAT(test::input_error_of([] { fit_anchor("m", {run_of(parts(0.1, 0.1, 10), 1, 1, 10.0)}); }), HasSubstr("expected 100 % at most"));
  EXPECT_THAT(test::input_error_of([] { fit_anchor("m", {}); }), HasSubstr("no run"));
}

}  // namespace
}  // namespace moeplan::calibrate
