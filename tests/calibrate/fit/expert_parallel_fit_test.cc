#include "calibrate/fit/expert_parallel_fit.h"

#include <cmath>

#include <gtest/gtest.h>

#include "calibrate/fit/robust_least_squares.h"
#include "sim/cost/profile.h"
#include "tests/sim/cost/tiny_profile.h"

namespace moeplan::calibrate {
namespace {

// y = 2 + x / 2 with one wild point.
TEST(RobustLeastSquares, FindsALineAndDoesNotBendToAnOddPoint) {
  LeastSquaresProblem problem;
  problem.residuals = [](std::span<const double> p) {
    std::vector<double> r;
    for (int x = 0; x < 20; ++x) r.push_back(p[0] + p[1] * x - (2.0 + 0.5 * x + (x == 7 ? 40.0 : 0.0)));
    return r;
  };
  problem.start = {0, 0};
  problem.lower = {-100, -100};
  problem.upper = {100, 100};
  problem.scale = 0.01;
  const std::vector<double> p = solve_robust_least_squares(problem);
  EXPECT_NEAR(p[0], 2.0, 0.02);
  EXPECT_NEAR(p[1], 0.5, 0.002);
}

TEST(RobustLeastSquares, KeepsItsBounds) {
  LeastSquaresProblem problem;
  problem.residuals = [](std::span<const double> p) { return std::vector<double>{p[0] - 5.0}; };
  problem.start = {0};
  problem.lower = {-1};
  problem.upper = {1};
  EXPECT_DOUBLE_EQ(solve_robust_least_squares(problem)[0], 1.0);
}

sim::EpConstants truth() {
  sim::EpConstants c;
  c.start = base::Seconds::from_us(25);
  c.token = base::Seconds::from_ns(200);
  c.copy = base::Seconds::from_ns(60);
  c.send = base::BytesPerSecond::from_gb_per_s(30);
  c.contention = 0.005;
  c.crest = 0.8;
  c.nvlink_share = 0.7;
  return c;
}

/// Rows of a GPU that is exactly as `truth` says.
std::vector<sim::EpRow> synthetic_rows(const sim::ProfileData& device) {
  std::vector<sim::EpRow> rows;
  for (const int hidden : {2048, 4096, 7168}) {
    for (const int top_k : {1, 2, 8}) {
      for (const int sms : {4, 12, 16, 24}) {
        for (std::int64_t tokens = 1; tokens <= 65536; tokens *= 8) {
          sim::EpRow row;
          row.system = row.stem = "tiny";
          row.tokens = tokens;
          row.hidden = hidden;
          row.top_k = top_k;
          row.experts = 128;
          row.sms = sms;
          row.token_bytes = hidden * 1.03;
          const auto line = [&](sim::LinkClass c) {
            return device.links[static_cast<std::size_t>(c)].line_rate;
          };
          row.measured =
              sim::predict_time(truth(), row, {line(sim::LinkClass::kNvlink), line(sim::LinkClass::kNic)},
                                device.sm_count, device.hbm_bandwidth);
          rows.push_back(row);
        }
      }
    }
  }
  return rows;
}

TEST(ExpertParallelFit, FindsTheConstantsThatMadeTheRows) {
  const sim::Profile profile = sim::parse_profile(sim::test_data::tiny_profile(), "tiny.yaml");
  const std::vector<sim::EpRow> rows = synthetic_rows(profile.data());
  const ExpertParallelFit fit = fit_expert_parallel(profile.data(), "tiny", rows);
  const sim::EpConstants* c = fit.table.find(sim::EpLibrary::kDeepEp, sim::EpOperation::kDispatch);
  ASSERT_NE(c, nullptr);
  EXPECT_EQ(c->evidence, sim::Evidence::kMeasured);
  EXPECT_NEAR(c->start.us(), 25, 0.5);
  EXPECT_NEAR(c->send.gb_per_s(), 30, 1.5);
  ASSERT_EQ(fit.residuals.size(), 1U);
  EXPECT_LT(fit.residuals[0].fitted_mean, 0.005);
  EXPECT_GT(c->low, 0.97);
  EXPECT_LT(c->high, 1.03);
  EXPECT_EQ(fit.table.find(sim::EpLibrary::kDeepEp, sim::EpOperation::kCombine), nullptr);
}

TEST(ExpertParallelFit, GivesTheSameEveryTime) {
  const sim::Profile profile = sim::parse_profile(sim::test_data::tiny_profile(), "tiny.yaml");
  const std::vector<sim::EpRow> rows = synthetic_rows(profile.data());
  EXPECT_EQ(write_expert_parallel(fit_expert_parallel(profile.data(), "tiny", rows).table),
            write_expert_parallel(fit_expert_parallel(profile.data(), "tiny", rows).table));
}

TEST(ExpertParallelFit, TakesTheNearestGpuWhereOneHasNoRows) {
  const sim::Profile profile = sim::parse_profile(sim::test_data::tiny_profile(), "tiny.yaml");
  std::vector<sim::EpRow> rows = synthetic_rows(profile.data());
  for (sim::EpRow& row : rows) row.stem = "h100-sxm";
  const ExpertParallelFit fit = fit_expert_parallel(profile.data(), "a100-sxm", rows);
  const sim::EpConstants* c = fit.table.find(sim::EpLibrary::kDeepEp, sim::EpOperation::kDispatch);
  ASSERT_NE(c, nullptr);
  EXPECT_EQ(c->evidence, sim::Evidence::kAssumed);
  EXPECT_NE(c->source.find("one node as on h100-sxm"), std::string::npos);
  EXPECT_TRUE(fit.residuals.empty());
}

}  // namespace
}  // namespace moeplan::calibrate
