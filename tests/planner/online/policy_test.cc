#include "planner/online/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/input_error.h"

namespace moeplan::planner {
namespace {

using ::testing::HasSubstr;

TEST(Policy, ReadsItsShortTexts) {
  const OnlinePolicy every = load_policy("every:25");
  EXPECT_EQ(every.rule, ReplanRule::kEvery);
  EXPECT_EQ(every.period, 25);
  EXPECT_EQ(every.name, "every:25");
  const OnlinePolicy trigger = load_policy("trigger:1.35");
  EXPECT_EQ(trigger.rule, ReplanRule::kTrigger);
  EXPECT_EQ(trigger.period, 1);
  EXPECT_DOUBLE_EQ(trigger.imbalance, 1.35);
  EXPECT_EQ(load_policy("gain").period, 10);
  const OnlinePolicy gain = load_policy("gain:40");
  EXPECT_EQ(gain.period, 40);
  EXPECT_EQ(gain.horizon, 40);
}

TEST(Policy, ReadsAFile) {
  const OnlinePolicy policy = parse_policy(
      "name: careful\nreplan: gain\nperiod: 5\nhorizon: 50\nhysteresis: 0.25\npredictor: linear\nwindow: 8\n"
      "solver: lpt\nplanning_time: 3 ms\n",
      "p.yaml");
  EXPECT_EQ(policy.name, "careful");
  EXPECT_EQ(policy.rule, ReplanRule::kGain);
  EXPECT_EQ(policy.period, 5);
  EXPECT_EQ(policy.horizon, 50);
  EXPECT_DOUBLE_EQ(policy.hysteresis, 0.25);
  EXPECT_EQ(policy.predictor, Predictor::kLinear);
  EXPECT_EQ(policy.window, 8);
  EXPECT_EQ(policy.solver, "lpt");
  EXPECT_DOUBLE_EQ(policy.planning_time.ms(), 3);
}

TEST(Policy, AFileWithItsRuleAloneIsTheShortText) {
  OnlinePolicy every = parse_policy("replan: every\n", "p.yaml");
  every.name = "every:10";
  EXPECT_EQ(every, load_policy("every:10"));
  OnlinePolicy gain = parse_policy("replan: gain\n", "p.yaml");
  gain.name = "gain";
  EXPECT_EQ(gain, load_policy("gain"));
}

std::string fault_of(const std::string& text) {
  return test::input_error_of([&] { parse_policy(text, "p.yaml"); });
}

std::string refusal_of(const std::string& source) {
  return test::input_error_of([&] { load_policy(source); });
}

TEST(Policy, RefusesWhatItDoesNotKnow) {
  EXPECT_THAT(fault_of("replan: often\n"),
              HasSubstr("p.yaml:1:9: error: found \"often\", expected one of every, trigger, gain"));
  EXPECT_THAT(fault_of("replan: every\nimbalance: 1.5\n"),
              HasSubstr("p.yaml:2:12: error: imbalance is a key of replan: trigger alone"));
  EXPECT_THAT(fault_of("replan: every\nhorizon: 5\n"),
              HasSubstr("p.yaml:2:10: error: horizon is a key of replan: gain alone"));
  EXPECT_THAT(fault_of("replan: every\npredictor: last\nwindow: 5\n"),
              HasSubstr("window is a key of mean, linear and window alone"));
  EXPECT_THAT(fault_of("replan: every\npredictor: linear\nwindow: 1\n"),
              HasSubstr("expected at least 2 points of a line"));
  EXPECT_THAT(fault_of("replan: every\nperiod: 0\n"),
              HasSubstr("p.yaml:2:9: error: found 0, expected 1 to 1000000"));
  EXPECT_THAT(fault_of("replan: every\nsolver: exact\n"), HasSubstr("expected one of contiguous"));
  EXPECT_THAT(fault_of("replan: every\nhysteresis: -1\n"),
              HasSubstr("found -1, expected a fraction of at least 0"));
  EXPECT_THAT(fault_of("replan: trigger\nimbalance: 0.5\n"),
              HasSubstr("found 0.5, expected a max/mean of at least 1"));
  EXPECT_THAT(fault_of("replan: every\nplanning_time: 5\n"), HasSubstr("has no unit"));
  EXPECT_THAT(fault_of("replan: every\nperoid: 5\n"), HasSubstr("did you mean \"period\"?"));
  EXPECT_THAT(refusal_of("every"), HasSubstr("policy \"every\": expected a number of iterations from 1 on"));
  EXPECT_THAT(refusal_of("every:0"), HasSubstr("expected a number of iterations from 1 on"));
  EXPECT_THAT(refusal_of("trigger:0.9"), HasSubstr("expected a max/mean of at least 1"));
  EXPECT_THAT(refusal_of("gain:x"), HasSubstr("expected a number of iterations from 1 on"));
  EXPECT_THAT(refusal_of("sometimes.yaml"),
              HasSubstr("policy \"sometimes.yaml\": no such rule and no such file"));
}

}  // namespace
}  // namespace moeplan::planner
