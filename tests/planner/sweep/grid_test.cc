#include "planner/sweep/grid.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/document.h"
#include "tests/support/input_error.h"

namespace moeplan::planner {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kBase = "name: s\nbase: {cluster: c, model: m, run: r, plan: p}\n";

SweepSpec read(const std::string& rest) { return read_sweep(base::parse_yaml(kBase + rest, "s.yaml")); }
std::string fault(const std::string& rest) {
  return test::input_error_of([&] { read(rest); });
}

std::vector<std::string> points_of(const SweepSpec& spec) {
  std::vector<std::string> all;
  for (const SweepPoint& point : list_points(spec)) all.push_back(describe_point(spec, point));
  return all;
}

TEST(SweepGrid, AxesCombineAndKeysOfOneAxisChangeTogether) {
  const SweepSpec spec = read(
      "axes:\n  - load: [uniform, 'zipf:1.0']\n  - run.global_batch: [8, 16]\n    plan.micro_batch: [1, "
      "2]\n");
  EXPECT_THAT(points_of(spec), ElementsAre("load uniform, run.global_batch 8, plan.micro_batch 1",
                                           "load uniform, run.global_batch 16, plan.micro_batch 2",
                                           "load zipf:1.0, run.global_batch 8, plan.micro_batch 1",
                                           "load zipf:1.0, run.global_batch 16, plan.micro_batch 2"));
  const auto keys = spec.keys();
  EXPECT_THAT(keys[1]->path, ElementsAre("global_batch"));
  EXPECT_EQ(keys[1]->input, "run");
  EXPECT_TRUE(keys[0]->path.empty());
}

TEST(SweepGrid, ExclusionsLeaveNumbersWithoutGaps) {
  const SweepSpec spec = read(
      "axes: [{load: [a, b]}, {run.global_batch: [8, 16]}]\nexclude: [{load: a, run.global_batch: 16}]\n");
  const auto points = list_points(spec);
  ASSERT_EQ(points.size(), 3U);
  for (std::size_t i = 0; i < points.size(); ++i) EXPECT_EQ(points[i].number, i);
  EXPECT_EQ(describe_point(spec, points[1]), "load b, run.global_batch 8");
}

TEST(SweepGrid, Refusals) {
  EXPECT_THAT(fault(""), HasSubstr("found no axis"));
  EXPECT_THAT(fault("axes: [{loadd: [a]}]\n"), HasSubstr("did you mean \"load\""));
  EXPECT_THAT(fault("axes: [{load.layers: [1]}]\n"), HasSubstr("as a whole"));
  EXPECT_THAT(fault("axes: [{load: []}]\n"), HasSubstr("expected a list of values"));
  EXPECT_THAT(fault("axes: [{load: [a, a]}]\n"), HasSubstr("is there twice"));
  EXPECT_THAT(fault("axes: [{load: [a]}, {load: [b]}]\n"), HasSubstr("stands in two axes"));
  EXPECT_THAT(fault("axes: [{load: [a, b], run.global_batch: [1]}]\n"),
              HasSubstr("found 1 values, expected 2"));
  EXPECT_THAT(fault("axes: [{run..x: [1]}]\n"), HasSubstr("a part of the path is empty"));
  EXPECT_THAT(fault("axes: [{load: [a]}]\nexclude: [{laod: a}]\n"), HasSubstr("no axis varies this key"));
  EXPECT_THAT(fault("axes: [{load: [a]}]\nexclude: [{load: b}]\n"), HasSubstr("expected one of a"));
  EXPECT_THAT(fault("axes: [{load: [a]}]\nexclude: [{load: a}]\n"), HasSubstr("every point is excluded"));
  EXPECT_THAT(fault("axes: [{load: [a]}]\nverb: guess\n"), HasSubstr("expected one of simulate, plan"));
  EXPECT_THAT(fault("axes: [{load: [a]}]\nframework: any\n"), HasSubstr("unknown key \"framework\""));
  EXPECT_THAT(fault("axes: [{load: [a]}]\niterations: 0\n"), HasSubstr("expected 1 or more"));
  EXPECT_THAT(
      test::input_error_of([] { read_sweep(base::parse_yaml("name: s\naxes: [{load: [a]}]\n", "s.yaml")); }),
      HasSubstr("input \"cluster\" is missing"));
  std::string many = "axes:\n";
  for (const char* key : {"a", "b", "c", "d"}) {
    many += std::string("  - run.") + key + ": [";
    for (int i = 0; i < 60; ++i) many += std::to_string(i) + ",";
    many += "]\n";
  }
  EXPECT_THAT(fault(many), HasSubstr("more than 1000000 points"));
}

TEST(SweepGrid, APlanSweepTakesNoPlan) {
  const auto plan = [](const std::string& rest) {
    return test::input_error_of([&] {
      read_sweep(base::parse_yaml(
          "name: s\nverb: plan\nbase: {cluster: c, model: m, run: r}\naxes: [{load: [a]}]\n" + rest, "s"));
    });
  };
  EXPECT_EQ(plan("pins: tp=2\nopen: cp\nbudget: 50\nframework: any\n"), "no error");
  EXPECT_THAT(plan("pins: tq=2\n"), HasSubstr("tq"));
  EXPECT_THAT(plan("open: everything\n"), HasSubstr("everything"));
  EXPECT_THAT(plan("budget: -1\n"), HasSubstr("expected a number of simulations"));
  EXPECT_THAT(plan("sharing: bound\n"), HasSubstr("unknown key \"sharing\""));
}

}  // namespace
}  // namespace moeplan::planner
