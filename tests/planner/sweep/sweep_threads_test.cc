#include <atomic>
#include <chrono>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "planner/sweep/export.h"
#include "planner/sweep/sweep.h"
#include "tests/support/input_error.h"
#include "tests/support/schema_checker.h"
#include "tests/planner/sweep/small_sweep.h"

namespace moeplan::sweep {
namespace {

using ::testing::HasSubstr;

const std::string kText = std::string(kSmallHead) + kSmallAxes;  // NOLINT: tests may throw here

RunOptions options(const SmallSweep& small, int threads, const Part& part = {}) {
  RunOptions run;
  run.folder = small.path("out");
  run.threads = threads;
  run.part = part;
  return run;
}

Collected all_of(const Sweep& sweep, const SmallSweep& small) {
  return collect(sweep, small.path("out"), std::chrono::milliseconds(0));
}

std::string csv_of(const std::string& text, int threads, std::size_t parts = 1) {
  const SmallSweep small;
  const Sweep sweep(small.document(text), "test");
  for (std::size_t part = 0; part < parts; ++part) run_part(sweep, options(small, threads, {part, parts}));
  const Collected results = all_of(sweep, small);
  EXPECT_TRUE(results.is_complete());
  return write_points_csv(sweep, results) + write_points_json(sweep, results);
}

TEST(SweepThreadsTest, results_depend_neither_on_threads_nor_on_parts) {
  const std::string one = csv_of(kText, 1);
  EXPECT_EQ(csv_of(kText, 2), one);
  EXPECT_EQ(csv_of(kText, 8), one);
  EXPECT_EQ(csv_of(kText, 2, 5), one);
}

TEST(SweepThreadsTest, a_search_at_each_point_gives_the_same_on_several_threads) {
  const std::string text =
      "name: search\nverb: plan\nbase: {cluster: hgx-h100-1n, model: tiny-moe, run: run.yaml}\n"
      "options: {budget: 8, pin: [tp=1]}\naxes:\n  - load: [uniform, \"zipf:1.0\"]\n  - options.pin: [pp=1, "
      "pp=2, \"tp=8,pp=4\"]\n";
  const std::string one = csv_of(text, 1);
  EXPECT_EQ(csv_of(text, 3), one);
  EXPECT_THAT(one, HasSubstr(",infeasible,"));  // 8 x 4 GPUs are not there
}

TEST(SweepThreadsTest, progress_counts_every_point_once) {
  const SmallSweep small;
  const Sweep sweep(small.document(kText), "test");
  RunOptions run = options(small, 4);
  std::atomic<int> inside{0};
  std::size_t last = 0;
  run.on_progress = [&](const Progress& progress) {
    EXPECT_EQ(++inside, 1);
    EXPECT_EQ(progress.total, 12U);
    EXPECT_GE(progress.done, last);
    last = progress.done;
    --inside;
  };
  run_part(sweep, run);
  EXPECT_EQ(last, 12U);
}

TEST(SweepThreadsTest, a_sweep_that_was_stopped_goes_on_where_it_stood) {
  const SmallSweep small;
  const Sweep sweep(small.document(kText), "test");
  RunOptions run = options(small, 2);
  std::atomic<int> asked{0};
  run.stop = [&] { return ++asked > 5; };
  const RunResult first = run_part(sweep, run);
  EXPECT_TRUE(first.stopped);
  EXPECT_EQ(first.progress.done, 5U);
  run.stop = nullptr;
  EXPECT_THAT(test::input_error_of([&] { run_part(sweep, run); }),
              HasSubstr("holds 5 finished points of this sweep"));
  run.resume = true;
  const RunResult second = run_part(sweep, run);
  EXPECT_FALSE(second.stopped);
  EXPECT_EQ(second.progress.found, 5U);
  EXPECT_EQ(second.progress.done, 12U);
  EXPECT_EQ(run_part(sweep, run).progress.found, 12U);
}

TEST(SweepThreadsTest, a_sweep_that_grew_keeps_its_points_and_another_sweep_is_refused) {
  const SmallSweep small;
  const Sweep before(small.document(kText), "test");
  run_part(before, options(small, 2));
  std::string grown = kText;
  grown.replace(grown.find("uniform"), 7, "uniform, \"zipf:0.5\"");
  const Sweep after(small.document(grown), "test");
  RunOptions run = options(small, 2);
  EXPECT_THAT(test::input_error_of([&] { run_part(after, run); }), HasSubstr("of another sweep, \"small\""));
  run.resume = true;
  const RunResult result = run_part(after, run);
  EXPECT_EQ(result.progress.found, 12U);
  EXPECT_EQ(result.progress.total, 18U);
  EXPECT_EQ(result.unused, 0U);
  EXPECT_TRUE(all_of(after, small).is_complete());
}

TEST(SweepThreadsTest, rows_of_a_changed_file_or_another_build_are_not_served) {
  const SmallSweep small;
  run_part(Sweep(small.document(kText), "test"), options(small, 2));
  small.write("plan.yaml", std::string(kSmallPlan) + "overlap_grad_reduce: false\n");
  RunOptions run = options(small, 2);
  run.resume = true;
  RunResult result = run_part(Sweep(small.document(kText), "test"), run);
  EXPECT_EQ(result.progress.found, 0U);
  EXPECT_EQ(result.unused, 12U);
  result = run_part(Sweep(small.document(kText), "another build"), run);
  EXPECT_EQ(result.progress.found, 0U);
  EXPECT_EQ(result.unused, 24U);
}

TEST(SweepThreadsTest, other_parts_can_take_over_what_a_part_has_finished) {
  const SmallSweep small;
  const Sweep sweep(small.document(kText), "test");
  EXPECT_EQ(run_part(sweep, options(small, 1, {1, 3})).progress.total, 4U);
  EXPECT_FALSE(all_of(sweep, small).is_complete());
  // A sibling may begin beside it; another division needs --resume.
  EXPECT_EQ(run_part(sweep, options(small, 1, {2, 3})).progress.done, 4U);
  EXPECT_THAT(test::input_error_of([&] { run_part(sweep, options(small, 1)); }), HasSubstr("of this sweep"));
  RunOptions run = options(small, 1);
  run.resume = true;
  EXPECT_EQ(run_part(sweep, run).progress.found, 8U);
  EXPECT_TRUE(all_of(sweep, small).is_complete());
}

}  // namespace
}  // namespace moeplan::sweep
