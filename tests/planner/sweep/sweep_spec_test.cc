#include "planner/sweep/sweep_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "planner/sweep/figures.h"
#include "planner/sweep/grid.h"
#include "tests/support/input_error.h"
#include "tests/planner/sweep/small_sweep.h"

namespace moeplan::sweep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

SweepSpec read(const std::string& text) { return read_sweep(base::parse_yaml(text, "s.yaml")); }

std::string refusal(const std::string& text) {
  return test::input_error_of([&] { read(text); });
}

std::string with_axes(const std::string& axes) { return std::string(kSmallHead) + axes; }

std::vector<std::string> labels(const SweepSpec& spec, const Grid& grid, std::size_t point) {
  std::vector<std::string> labels;
  const std::vector<std::size_t> values = grid.values(point);
  for (std::size_t a = 0; a < values.size(); ++a) labels.push_back(spec.axes[a].values[values[a]].label);
  return labels;
}

TEST(SweepSpecTest, axes_are_combined_and_the_last_is_fastest) {
  const SweepSpec spec = read(with_axes(kSmallAxes));
  const Grid grid(spec);
  ASSERT_EQ(grid.size(), 12U);
  EXPECT_THAT(labels(spec, grid, 0), ElementsAre("100 GB/s", "uniform", "1"));
  EXPECT_THAT(labels(spec, grid, 1), ElementsAre("100 GB/s", "uniform", "2"));
  EXPECT_THAT(labels(spec, grid, 3), ElementsAre("100 GB/s", "zipf:1.0", "1"));
  EXPECT_THAT(labels(spec, grid, 11), ElementsAre("450 GB/s", "zipf:1.0", "16"));
}

TEST(SweepSpecTest, axes_of_one_item_step_together_whatever_their_order) {
  const char* const axes[] = {
      "axes:\n  - run.global_batch: [32, 64]\n    plan.micro_batch: [1, 2]\n  - load: [uniform]\n",
      "axes:\n  - plan.micro_batch: [1, 2]\n    run.global_batch: [32, 64]\n  - load: [uniform]\n"};
  for (const char* text : axes) {
    const SweepSpec spec = read(with_axes(text));
    const Grid grid(spec);
    ASSERT_EQ(grid.size(), 2U);
    EXPECT_EQ(spec.axes[0].path, "plan.micro_batch");
    EXPECT_THAT(labels(spec, grid, 0), ElementsAre("1", "32", "uniform"));
    EXPECT_THAT(labels(spec, grid, 1), ElementsAre("2", "64", "uniform"));
  }
}

TEST(SweepSpecTest, excluded_points_are_left_out_and_the_others_keep_their_order) {
  const SweepSpec spec =
      read(with_axes(std::string(kSmallAxes) + "exclude:\n  - {load: uniform, plan.micro_batch: [2, 16]}\n"
                                               "  - cluster.node.nvlink.bandwidth: 450 GB/s\n"));
  const Grid grid(spec);
  // Of the 6 points at 100 GB/s the two of uniform with micro-batch 2 and 16 go.
  ASSERT_EQ(grid.size(), 4U);
  EXPECT_THAT(labels(spec, grid, 0), ElementsAre("100 GB/s", "uniform", "1"));
  EXPECT_THAT(labels(spec, grid, 1), ElementsAre("100 GB/s", "zipf:1.0", "1"));
  EXPECT_THAT(labels(spec, grid, 3), ElementsAre("100 GB/s", "zipf:1.0", "16"));
}

TEST(SweepSpecTest, a_grid_without_points_or_with_too_many_is_refused) {
  const SweepSpec none = read(with_axes("axes:\n  - load: [uniform]\nexclude:\n  - load: uniform\n"));
  EXPECT_THAT(test::input_error_of([&] { Grid{none}; }), HasSubstr("all 1 points are excluded"));
  std::string seeds = "axes:\n";
  for (int axis = 0; axis < 2; ++axis) {
    seeds += axis == 0 ? "  - options.seed: [" : "  - options.iterations: [";
    for (int i = 1; i <= 1001; ++i) seeds += (i > 1 ? ", " : "") + std::to_string(i);
    seeds += "]\n";
  }
  const SweepSpec many = read(with_axes(seeds));
  EXPECT_THAT(test::input_error_of([&] { Grid{many}; }), HasSubstr("the axes make more than 1000000 points"));
}

TEST(SweepSpecTest, figures_come_in_the_order_of_all_tables_and_those_of_plan_only_with_it) {
  EXPECT_THAT(read(with_axes(std::string(kSmallAxes) + "figures: [mfu, step_time_s]\n")).figures,
              ElementsAre("step_time_s", "mfu"));
  EXPECT_EQ(read(with_axes(kSmallAxes)).figures.size(), all_figures().size() - 2);
  EXPECT_THAT(refusal(with_axes(std::string(kSmallAxes) + "figures: [plans_searched]\n")),
              HasSubstr("plans_searched is a figure of verb plan"));
}

TEST(SweepSpecTest, each_fault_has_its_place_and_its_way_out) {
  const auto expect = [](const std::string& text, const std::string& message) {
    EXPECT_THAT(refusal(text), HasSubstr(message));
  };
  expect(with_axes("axis:\n  - load: [uniform]\n"), "s.yaml:8:1: error: unknown key \"axis\"");
  expect(with_axes("axes:\n  - loads: [uniform]\n"),
         "s.yaml:9:5: error: found \"loads\", expected an input or a path into one\n"
         "    in sweep > axes[0] > loads\n    hint: did you mean \"load\"?");
  expect(with_axes("axes:\n  - load: uniform\n"),
         "s.yaml:9:11: error: found \"uniform\", expected a list of values");
  expect(with_axes("axes:\n  - load: []\n"), "found an empty list, expected a list of values");
  expect(with_axes("axes: []\n"), "s.yaml:8:7: error: found an empty list, expected a list of axes");
  expect(with_axes("axes:\n  - load: [uniform, uniform]\n"),
         "s.yaml:9:21: error: the value \"uniform\" stands twice");
  expect(with_axes("axes:\n  - load: [uniform]\n  - load: [base]\n"),
         "s.yaml:10:5: error: the axis stands twice");
  expect(with_axes("axes:\n  - load.seed: [1]\n"), "a load has no keys, expected \"load\" alone");
  expect(with_axes("axes:\n  - options: [1]\n"), "found no option, expected one of the options");
  expect(with_axes("axes:\n  - run: [a.yaml]\n"), "s.yaml:6:8: error: run stands in base and among the axes");
  expect(with_axes("axes:\n  - run.seq_len: [1, 2]\n    run.global_batch: [1]\n"),
         "run.seq_len has 2 values and run.global_batch has 1, expected as many");
  expect(with_axes(std::string(kSmallAxes) + "exclude:\n  - {lod: uniform}\n"), "did you mean \"load\"?");
  expect(with_axes(std::string(kSmallAxes) + "exclude:\n  - {load: base}\n"),
         "s.yaml:13:12: error: found \"base\", expected a value of the axis");
  expect(with_axes(std::string(kSmallAxes) + "figures: [step_time]\n"), "did you mean \"step_time_s\"?");
  expect("name: a\nverb: simulate\nbase: {cluster: c, model: m}\naxes:\n  - load: [uniform]\n",
         "found no run, expected one in base or among the axes");
  expect("name: a\nverb: plan\nbase: {cluster: c, model: m, run: r, plan: p}\naxes:\n  - load: [uniform]\n",
         "verb plan searches plans, expected none");
}

}  // namespace
}  // namespace moeplan::sweep
