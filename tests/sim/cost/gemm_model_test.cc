// The GEMM model against hand calculations on a profile with round figures (tiny_profile.h).
#include "sim/cost/gemm_model.h"

#include <cmath>

#include <gtest/gtest.h>

#include "base/check.h"
#include "sim/cost/profile.h"
#include "sim/cost/profile_data.h"
#include "tests/sim/cost/tiny_profile.h"

namespace moeplan::sim {
namespace {

using test_data::tiny_profile;
using test_data::tiny_profile_with;

// One tile of k = 64: 2 * 100 * 100 * 64 FLOP at 1 TFLOP/s = 1.28 us, and 0.5 us for the wave.

TEST(GemmModel, CountsWholeWavesOfTilesOverTheSms) {
  const Profile p = parse_profile(tiny_profile(), "tiny.yaml");
  // 10 x 10 tiles on 10 SMs: 10 waves of 1.78 us, and 1 us to launch.
  EXPECT_NEAR(p.gemm({1000, 1000, 64}).time.us(), 18.8, 1e-9);
  // One more row makes 110 tiles: 11 waves.
  EXPECT_NEAR(p.gemm({1001, 1000, 64}).time.us(), 20.58, 1e-9);
  // ... and up to 1100 rows cost the same: tile quantisation.
  EXPECT_NEAR(p.gemm({1100, 1000, 64}).time.us(), 20.58, 1e-9);
}

TEST(GemmModel, SplitsALongContractionOverIdleSms) {
  const Profile p = parse_profile(tiny_profile(), "tiny.yaml");
  // One tile, k = 6400: 128.5 us on one SM. Four splits of k = 1600: 32.5 us, 2 us to combine and
  // 4 * 8 B * 10^4 partial sums over 1 TB/s = 0.32 us; with launch 35.82 us.
  EXPECT_NEAR(p.gemm({100, 100, 6400}).time.us(), 35.82, 1e-9);
}

TEST(GemmModel, IsBoundByMemoryWhereBytesTakeLonger) {
  const Profile p =
      parse_profile(tiny_profile_with("hbm_bandwidth: 1 TB/s", "hbm_bandwidth: 100 GB/s"), "tiny.yaml");
  // (100*64 + 10^5*64) * 2 B + 100 * 10^5 * 2 B = 32.8128 MB at 100 GB/s = 328.128 us (compute: 178 us).
  EXPECT_NEAR(p.gemm({100, 100000, 64}).time.us(), 329.128, 1e-6);
}

TEST(GemmModel, AWeightGradientIsSlowerByItsEfficiencyAndWritesFp32) {
  const Profile p = parse_profile(tiny_profile(), "tiny.yaml");
  // Compute 17.8 us at half the efficiency; 1 us launch. Evidence and band of the pass join the table's.
  const Estimate e = p.gemm({1000, 1000, 64, NumberFormat::kBf16, GemmPass::kWeightGradient});
  EXPECT_NEAR(e.time.us(), 36.6, 1e-9);
  EXPECT_EQ(e.evidence, Evidence::kAssumed);
  EXPECT_NEAR(e.low, 0.9 * 0.9, 1e-12);
  // Memory-bound: 8 bytes a result instead of 2: (12800 + 12.8e6 + 8e7) B at 100 GB/s = 928.128 us.
  const Profile slow =
      parse_profile(tiny_profile_with("hbm_bandwidth: 1 TB/s", "hbm_bandwidth: 100 GB/s"), "tiny.yaml");
  EXPECT_NEAR(slow.gemm({100, 100000, 64, NumberFormat::kBf16, GemmPass::kWeightGradient}).time.us(), 929.128,
              1e-6);
}

TEST(GemmModel, AFormatLikeAnotherUsesItsOwnPeakAndIsAssumed) {
  const Profile p = parse_profile(tiny_profile(), "tiny.yaml");
  // fp8_block: tiles at 2 TFLOP/s an SM: 10 waves of 0.64 + 0.5 us.
  const Estimate e = p.gemm({1000, 1000, 64, NumberFormat::kFp8Block});
  EXPECT_NEAR(e.time.us(), 12.4, 1e-9);
  EXPECT_EQ(e.evidence, Evidence::kAssumed);
  EXPECT_DOUBLE_EQ(e.low, 0.5);
}

TEST(GemmModel, ASustainedFactorSlowsComputeAlone) {
  ProfileData data = parse_profile(tiny_profile(), "tiny.yaml").data();
  data.sustained = SustainedFactor{0.5, 0.9, 1.2, "by hand", Evidence::kInterpolated};
  data.method = TimingMethod::kSustained;
  const Profile p{data};
  // 10 waves of 2 * 1.28 + 0.5 us, and 1 us to launch; the band of the factor is of steps.
  const Estimate e = p.gemm({1000, 1000, 64});
  EXPECT_NEAR(e.time.us(), 31.6, 1e-9);
  EXPECT_EQ(e.evidence, worst(Evidence::kInterpolated, data.gemm[3]->origin.evidence));
  EXPECT_NEAR(e.high, data.gemm[3]->origin.band.high[1], 1e-12);
}

TEST(GemmModel, APartOfALastWaveCostsLessThanAWholeOneWhereKernelsRecoverTheTail) {
  ProfileData data = parse_profile(tiny_profile(), "tiny.yaml").data();
  data.gemm[3]->tail_recovered = 0.75;
  const Profile p{data};
  // 110 tiles on 10 SMs are 11 whole waves, as ever; 105 tiles are 10.5 and a quarter of the idle half.
  EXPECT_NEAR(p.gemm({1100, 1000, 64}).time.us(), 20.58, 1e-9);
  EXPECT_NEAR(p.gemm({1500, 700, 64}).time.us(), 1.0 + 10.625 * 1.78, 1e-9);
}

TEST(GemmModel, AnOperandBeyondHalfTheCacheSlowsTheMainLoopAndAWriteThatNothingHidesIsAdded) {
  ProfileData data = parse_profile(tiny_profile(), "tiny.yaml").data();
  data.gemm[3]->spill_slowdown = 0.4;
  data.l2_cache = base::Bytes::of(128000);
  // A = 1000 x 64 x 2 B = 128 kB, half of which the cache keeps: 17.8 us * (1 + 0.4 / 2) + 1 us to launch.
  EXPECT_NEAR(Profile{data}.gemm({1000, 1000, 64}).time.us(), 22.36, 1e-9);
  data.l2_cache = base::Bytes::of(256000);
  EXPECT_NEAR(Profile{data}.gemm({1000, 1000, 64}).time.us(), 18.8, 1e-9);
  // C = 2 MB at 1 TB/s, half of it in view.
  data.gemm[3]->store_exposed = 0.5;
  EXPECT_NEAR(Profile{data}.gemm({1000, 1000, 64}).time.us(), 19.8, 1e-9);
}

TEST(GemmModel, QuantisationIsCheaperWhereTheCacheKeepsWhatItReadsTwice) {
  ProfileData data = parse_profile(tiny_profile(), "tiny.yaml").data();
  GemmTable& table = *data.gemm[3];
  table.quantise = QuantiseCost{1e-6, 5.0, 0.4};
  // 1000 x 1000 values: 5 MB at 1 TB/s = 5 us; bf16 in and out 4 MB.
  data.l2_cache = base::Bytes::of(4'000'000);
  EXPECT_NEAR(table_quantise_time(data, table, 1000, 1000).time.us(), 6.0, 1e-9);
  data.l2_cache = base::Bytes::of(8'000'000);
  EXPECT_NEAR(table_quantise_time(data, table, 1000, 1000).time.us(), 3.0, 1e-9);
  data.l2_cache = base::Bytes{};  // not stated
  EXPECT_NEAR(table_quantise_time(data, table, 1000, 1000).time.us(), 6.0, 1e-9);
}

TEST(GemmModel, TheBandOpensWithTheOctavesOfRowsThatNoFitSaw) {
  ProfileData data = parse_profile(tiny_profile(), "tiny.yaml").data();
  const double high = Profile{data}.gemm({400, 1000, 64}).high;
  data.gemm[3]->beyond = BandGrowth{100.0, 1.5};
  // Two octaves: 1 + 0.5 sqrt(2).
  EXPECT_NEAR(Profile{data}.gemm({400, 1000, 64}).high, std::pow(high, 1.0 + 0.5 * std::sqrt(2.0)), 1e-12);
  EXPECT_NEAR(Profile{data}.gemm({100, 4000, 64}).high, high, 1e-12);
}

TEST(GemmModel, BandsGoByPredictedTimeAndOpenOutsideTheMeasuredRange) {
  const Profile p = parse_profile(tiny_profile(), "tiny.yaml");
  const Estimate small = p.gemm({100, 100, 64});  // 2.78 us: below the 10 us edge
  EXPECT_DOUBLE_EQ(small.low, 0.8);
  EXPECT_DOUBLE_EQ(small.high, 1.3);
  EXPECT_EQ(small.evidence, Evidence::kMeasured);
  const Estimate large = p.gemm({1000, 1000, 64});
  EXPECT_DOUBLE_EQ(large.low, 0.9);
  const Estimate outside = p.gemm({1000, 1000, 6464});
  EXPECT_EQ(outside.evidence, Evidence::kExtrapolated);
  EXPECT_LT(outside.low, 0.9);
  EXPECT_GT(outside.high, 1.1);
}

TEST(GemmModel, TheCorrectionMultipliesByTheExponentOfItsThreeGrids) {
  const std::string grid =
      "      correction: {m: [1000], n: [1000], k_coarse: [64], n_coarse: [1000], by_m_n: [0.1], by_m_k: "
      "[0.2], by_n_k: [-0.05]}\n"
      "      tiles:\n        - {m: 100";
  const Profile p = parse_profile(tiny_profile_with("      tiles:\n        - {m: 100", grid), "tiny.yaml");
  EXPECT_NEAR(p.gemm({1000, 1000, 64}).time.us(), 18.8 * std::exp(0.25), 1e-9);
}

TEST(GemmModel, AnEmptyProductCostsNothing) {
  const Profile p = parse_profile(tiny_profile(), "tiny.yaml");
  EXPECT_EQ(p.gemm({0, 1000, 64}).time.s(), 0.0);
}

TEST(GemmModel, AFormatThatTheGpuLacksIsABug) {
  const Profile p = parse_profile(tiny_profile(), "tiny.yaml");
  EXPECT_FALSE(p.supports(NumberFormat::kNvfp4));
  EXPECT_THROW(p.gemm({100, 100, 64, NumberFormat::kNvfp4}), base::InternalError);
}

}  // namespace
}  // namespace moeplan::sim
