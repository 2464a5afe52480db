#include "calibrate/fit/gemm_fit.h"

#include <cmath>

#include <gtest/gtest.h>

#include "sim/cost/gemm_model.h"
#include "sim/cost/profile.h"
#include "tests/sim/cost/tiny_profile.h"

namespace moeplan::calibrate {
namespace {

/// Times that the model itself gives with known constants, on a GPU of 100 SMs.
TEST(GemmFit, PredictsTheLargestDecadeOfATableThatTheModelMade) {
  sim::ProfileData device = sim::parse_profile(sim::test_data::tiny_profile(), "tiny.yaml").data();
  device.sm_count = 100;
  constexpr auto kBf16 = static_cast<std::size_t>(sim::NumberFormat::kBf16);
  device.peak[kBf16] = base::FlopsPerSecond::of(500e12);
  device.hbm_bandwidth = base::BytesPerSecond::of(3e12);
  sim::GemmTable truth;
  truth.launch_s = 2e-6;
  truth.wave_overhead_s = 1.5e-6;
  truth.split_overhead_s = 3e-6;
  truth.memory_efficiency = 0.6;
  truth.clock = sim::ClockDrop{0.8, 600e-6};
  truth.tiles = {{256, 128, 0.8}, {128, 128, 0.7}, {64, 64, 0.45}};
  std::vector<GemmMeasurement> rows;
  for (const std::int64_t m : {512, 1024, 2048, 8192, 32768}) {
    for (const std::int64_t n : {512, 1024, 2048, 4096, 7168, 16384}) {
      for (const std::int64_t k : {512, 1024, 2048, 4096, 7168, 16384}) {
        const double t = sim::gemm_time(device, truth, {m, n, k}).time.s();
        rows.push_back({{sim::NumberFormat::kBf16, m, n, k}, t});
      }
    }
  }
  const sim::GemmTable table = fit_gemm(device, sim::NumberFormat::kBf16, rows, std::nullopt, 1);
  ASSERT_TRUE(table.origin.left_out);
  EXPECT_LT(table.origin.left_out->median_error, 0.03);
  EXPECT_LT(table.origin.left_out->p95_error, 0.10);
  EXPECT_NEAR(table.clock->share, 0.8, 0.1);
  // The same on any number of threads.
  EXPECT_TRUE(fit_gemm(device, sim::NumberFormat::kBf16, rows, std::nullopt, 4) == table);
}

}  // namespace
}  // namespace moeplan::calibrate
