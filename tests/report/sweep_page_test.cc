#include "report/sweep_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/planner/sweep/small_sweep.h"

namespace moeplan::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// A sweep of 2 x 3 points with made-up results: point p does 1000 / (p + 1) tokens a second and GPU, the last is infeasible.
struct MadeUp {
  MadeUp()
      : sweep(small.document(sweep::kSmallHead +
                             std::string("axes:\n  - load: [uniform, \"zipf:1.0\"]\n"
                                         "  - plan.micro_batch: [1, 2, 4]\nfigures: [mfu]\n")),
              "test") {
    for (int p = 0; p < 6; ++p) {
      sweep::PointResult result;
      result.plan = "<TP1>";
      result.figures = {{"step_time_s", 2.0}, {"tokens_per_s_per_gpu", 1000.0 / (p + 1)}, {"mfu", 0.123456789}};
      results.rows.emplace_back(result);
    }
    results.rows[5]->status = sweep::PointStatus::kInfeasible;
    results.rows[5]->reason = "needs <b>91 GiB</b>";
    results.finished = 6;
  }
  sweep::SmallSweep small;
  sweep::Sweep sweep;
  sweep::Collected results;
};

TEST(SweepPage, WithoutAChartLibraryItHasStaticPicturesOfEachAxis) {
  const MadeUp made;
  const std::string page = write_sweep_page({{"sweep", "s.yaml"}}, made.sweep, made.results, {});
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, HasSubstr("aria-label=\"tokens/s/GPU over load\""));
  EXPECT_THAT(page, HasSubstr("aria-label=\"tokens/s/GPU over plan.micro_batch\""));
  // uniform: point 1; zipf: point 4.
  EXPECT_THAT(page, HasSubstr("<title>uniform: 1000</title>"));
  EXPECT_THAT(page, HasSubstr("<title>zipf:1.0: 250</title>"));
  EXPECT_THAT(page, HasSubstr("5 ok, 1 infeasible, 0 refused, 0 missing"));
}

TEST(SweepPage, TextsOfResultsAreEscaped) {
  const MadeUp made;
  const std::string page = write_sweep_page({}, made.sweep, made.results, {});
  EXPECT_THAT(page, HasSubstr("infeasible: needs &lt;b&gt;91 GiB&lt;/b&gt;"));
  EXPECT_THAT(page, HasSubstr("&lt;TP1&gt;"));
  EXPECT_THAT(page, Not(HasSubstr("<TP1>")));
}

TEST(SweepPage, ItsDataIsThatOfThePointsThatAreOkFastestFirst) {
  MadeUp made;
  std::swap(made.results.rows[0], made.results.rows[4]);
  const std::string page = write_sweep_page({}, made.sweep, made.results, {"Chart.js v9", "var a;", "free"});
  // [load, micro-batch, GPU-seconds a token, figures ...]: point 5 is now the first.
  EXPECT_THAT(page, HasSubstr("\"points\": [\n      [1, 1, 0.001, 0.123457],\n      [0, 1, 0.002, 0.123457],"));
  EXPECT_THAT(page, Not(HasSubstr("[1, 2, 0.006")));
}

TEST(SweepPage, ASweepWithoutAResultHasNoCharts) {
  MadeUp made;
  for (auto& row : made.results.rows) row->status = sweep::PointStatus::kInfeasible;
  const std::string page = write_sweep_page({}, made.sweep, made.results, {"Chart.js v9", "var a;", "free"});
  EXPECT_THAT(page, Not(HasSubstr("chart-sweep")));
  EXPECT_THAT(page, HasSubstr("Points without a plan that fits"));
}

}  // namespace
}  // namespace moeplan::report
