#include "calibrate/fit/grouped_fit.h"

#include <gtest/gtest.h>

#include "sim/cost/grouped_model.h"
#include "sim/cost/kernel_rows.h"
#include "sim/cost/profile.h"
#include "tests/sim/cost/tiny_profile.h"

namespace moeplan::calibrate {
namespace {

constexpr auto kBf16 = static_cast<std::size_t>(sim::NumberFormat::kBf16);

/// A GPU of 100 SMs with 500 TFLOP/s, 3 TB/s and an L2 of 50 MiB.
sim::ProfileData device() {
  sim::ProfileData data = sim::parse_profile(sim::test_data::tiny_profile(), "tiny.yaml").data();
  data.sm_count = 100;
  data.peak[kBf16] = base::FlopsPerSecond::of(500e12);
  data.hbm_bandwidth = base::BytesPerSecond::of(3e12);
  data.l2_cache = base::Bytes::from_mib(50);
  data.gemm[kBf16]->launch_s = 2e-6;
  data.gemm[kBf16]->wave_overhead_s = 1.5e-6;
  return data;
}

sim::GroupedTable truth() {
  sim::GroupedTable table;
  table.launch_s = 2e-6;
  table.wave_overhead_s = 1e-6;
  table.memory_efficiency = 0.75;
  table.reread_share = 0.3;
  table.tiles = {{256, 128, 0.8}, {128, 128, 0.7}, {64, 128, 0.5}};
  table.clock = sim::ClockDrop{0.85, 1e-3};
  table.operation = {40e-6, 0.0, 0.7, 0.5};
  return table;
}

double seconds_of(const sim::ProfileData& data, const sim::GroupedTable& table, const GroupedGemmSample& s) {
  sim::GroupedGemmRow row;
  row.num_tokens = s.tokens;
  row.hidden = s.hidden;
  row.inter = s.inter;
  row.topk = s.top_k;
  row.num_experts = s.experts;
  row.moe_ep = s.expert_ranks;
  row.distribution = s.distribution;
  double total = 0.0;
  const auto draws = sim::token_draws(row);
  for (const auto& counts : draws)
    total += sim::expert_operation_time(data, table, counts, s.hidden, s.inter, s.tokens).time.s();
  return total / static_cast<double>(draws.size());
}

/// Times that the model itself gives with known constants.
std::vector<GroupedMeasurement> table_of(const sim::ProfileData& data) {
  struct Model {
    std::int64_t hidden, inter, top_k, experts;
  };
  std::vector<GroupedMeasurement> rows;
  for (const Model& m : {Model{2048, 768, 8, 128},
                         {4096, 1536, 8, 128},
                         {7168, 2048, 8, 256},
                         {4096, 14336, 2, 8},
                         {6144, 16384, 2, 8},
                         {5120, 3072, 4, 64}}) {
    for (const std::int64_t tokens : {1024, 2048, 4096, 8192, 16384, 65536}) {
      for (const std::int64_t ranks : {1, 2, 4, 8}) {
        for (const char* distribution : {"balanced", "power_law_1.2"}) {
          GroupedGemmSample s;
          s.tokens = tokens;
          s.hidden = m.hidden;
          s.inter = m.inter;
          s.top_k = m.top_k;
          s.experts = m.experts;
          s.expert_ranks = ranks;
          s.distribution = distribution;
          if (fits_grouped(s)) rows.push_back({s, seconds_of(data, truth(), s)});
        }
      }
    }
  }
  return rows;
}

TEST(GroupedFit, PredictsSlabsAndLargeLoadsOfATableThatTheModelMade) {
  const sim::ProfileData data = device();
  const std::vector<GroupedMeasurement> rows = table_of(data);
  const auto fit = [&](int threads) {
    return fit_grouped(data, sim::NumberFormat::kBf16, sim::GroupedKernel::kCutlass, rows, *data.gemm[kBf16],
                       threads);
  };
  const sim::GroupedTable table = fit(1);
  ASSERT_TRUE(table.origin.left_out);
  EXPECT_EQ(table.origin.fitted->shapes + table.origin.left_out->shapes, static_cast<int>(rows.size()));
  EXPECT_LT(table.origin.left_out->median_error, 0.03);
  EXPECT_LT(table.origin.left_out->p95_error, 0.10);
  EXPECT_NEAR(table.memory_efficiency, 0.75, 0.05);
  EXPECT_GT(table.reread_share, 0.1);
  EXPECT_EQ(table.launch_s, 2e-6);
  // A larger row tile is never the worse one.
  EXPECT_GE(table.tiles[0].efficiency, table.tiles[1].efficiency);
  EXPECT_GE(table.tiles[1].efficiency, table.tiles[2].efficiency);
  EXPECT_TRUE(fit(4) == table);
}

TEST(GroupedFit, WithoutASizeOfTheL2NoWeightIsReadTwice) {
  sim::ProfileData data = device();
  data.l2_cache = base::Bytes{};
  const sim::GroupedTable table = fit_grouped(data, sim::NumberFormat::kBf16, sim::GroupedKernel::kCutlass,
                                              table_of(data), *data.gemm[kBf16], 2);
  EXPECT_EQ(table.reread_share, 0.0);
}

TEST(GroupedFit, SkewedLoadsOfManyRanksHoldTheImbalanceBetweenThemAndAreNotFitted) {
  GroupedGemmSample s;
  s.tokens = 8192;
  s.hidden = 4096;
  s.inter = 1536;
  s.top_k = 8;
  s.experts = 128;
  s.distribution = "power_law_1.2";
  EXPECT_TRUE(fits_grouped(s));
  s.expert_ranks = 8;
  EXPECT_FALSE(fits_grouped(s));
  s.kernel = sim::GroupedKernel::kDeepGemm;  // that table states which rank it timed
  EXPECT_TRUE(fits_grouped(s));
  s.kernel = sim::GroupedKernel::kCutlass;
  s.distribution = "balanced";
  EXPECT_TRUE(fits_grouped(s));
  s.tokens = 512;  // 512 rows a rank: launch-bound
  EXPECT_FALSE(fits_grouped(s));
  s.tokens = 8192;
  s.tensor_ranks = 2;
  EXPECT_FALSE(fits_grouped(s));
}

}  // namespace
}  // namespace moeplan::calibrate
