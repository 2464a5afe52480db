// Weight gradients that add to sums, against hand calculations on a profile with round figures
// (tiny_profile.h).
#include "sim/cost/weight_sums.h"

#include <array>
#include <cstdint>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/cost/profile.h"
#include "sim/cost/profile_data.h"
#include "tests/sim/cost/tiny_profile.h"
#include "tests/support/input_error.h"

namespace moeplan::sim {
namespace {

using testing::HasSubstr;

// Sums at half of 1 TB/s, a quarter of that seen beside a product of up to 2,048 tokens.
std::string with_sums(const std::string& sums = "share: 0.5, exposed: 0.25") {
  return test_data::tiny_profile_with("  tables:\n    - format: bf16\n",
                                      "  weight_sums: {source: by hand, " + sums +
                                          ", evidence: interpolated}\n  tables:\n    - format: bf16\n");
}

Profile profile(const std::string& sums = "share: 0.5, exposed: 0.25") {
  return parse_profile(with_sums(sums), "tiny.yaml");
}

GemmShape gradient(std::int64_t tokens, WeightResult result = WeightResult::kAddFp32) {
  return {1000, 1000, tokens, NumberFormat::kBf16, GemmPass::kWeightGradient, result};
}

TEST(WeightSums, WhatIsSeenOfThemAddsToTheProduct) {
  const Profile p = profile();
  // 17.8 us at half the efficiency; 10^6 sums of 8 B at 0.5 TB/s = 16 us, a quarter of it seen; 1 us launch.
  EXPECT_NEAR(p.gemm(gradient(64)).time.us(), 35.6 + 4.0 + 1.0, 1e-9);
  // Sums in bf16 move half as much.
  EXPECT_NEAR(p.gemm(gradient(64, WeightResult::kAddBf16)).time.us(), 35.6 + 2.0 + 1.0, 1e-9);
}

TEST(WeightSums, AGradientThatOnlyWritesCostsWhatADataGradientCosts) {
  const Profile p = profile();
  const Estimate e = p.gemm(gradient(64, WeightResult::kWriteBf16));
  EXPECT_NEAR(e.time.us(), 18.8, 1e-9);
  EXPECT_EQ(e.evidence, Evidence::kMeasured);
}

TEST(WeightSums, HideBehindProductsOverManyTokens) {
  const Profile p = profile();
  // 4,096 tokens: 10 waves of 81.92 + 0.5 us at half the efficiency, and half of what 2,048 tokens see.
  EXPECT_NEAR(p.gemm(gradient(4096)).time.us(), 1648.4 + 2.0 + 1.0, 1e-9);
  EXPECT_NEAR(exposed_sums_seconds(p.data(), 1e6, 2048, WeightResult::kAddFp32) * 1e6, 4.0, 1e-9);
  EXPECT_NEAR(exposed_sums_seconds(p.data(), 1e6, 8192, WeightResult::kAddFp32) * 1e6, 1.0, 1e-9);
}

TEST(WeightSums, DecideOverFewTokens) {
  // 80 us of traffic and 0.256 us of inputs against 35.6 us of product and the 20 us seen beside it.
  EXPECT_NEAR(profile("share: 0.1, exposed: 0.25").gemm(gradient(64)).time.us(), 81.256, 1e-9);
}

TEST(WeightSums, EachExpertOfAGroupHidesBehindItsOwnTokens) {
  const std::array<std::int64_t, 3> tokens{64, 0, 4096};
  // The expert of 4,096 tokens has one tile: 81.92 + 0.5 us. 10^4 sums an expert are 0.16 us at 0.5 TB/s:
  // 0.04 us seen of the first, 0.02 of the last, none of the one without tokens.
  EXPECT_NEAR(profile()
                  .grouped_gemm(tokens, 100, 100, NumberFormat::kBf16, GemmPass::kWeightGradient,
                                GroupedKernel::kDefault, WeightResult::kAddFp32)
                  .time.us(),
              83.48, 1e-9);
  EXPECT_NEAR(profile()
                  .grouped_gemm(tokens, 100, 100, NumberFormat::kBf16, GemmPass::kWeightGradient,
                                GroupedKernel::kDefault, WeightResult::kAddBf16)
                  .time.us(),
              83.45, 1e-9);
}

TEST(WeightSums, AProfileSaysThemAndIsToldWhatIsWrong) {
  const Profile p = profile();
  ASSERT_TRUE(p.data().sums.has_value());
  EXPECT_DOUBLE_EQ(p.data().sums->share, 0.5);
  EXPECT_DOUBLE_EQ(p.data().sums->exposed, 0.25);
  EXPECT_EQ(p.data().sums->source, "by hand");
  EXPECT_FALSE(parse_profile(test_data::tiny_profile(), "tiny.yaml").data().sums.has_value());
  const auto error = [](const std::string& sums) {
    return test::input_error_of([&] { parse_profile(with_sums(sums), "tiny.yaml"); });
  };
  EXPECT_THAT(error("share: 1.2, exposed: 0.25"),
              HasSubstr("found 1.2, expected a number above 0 and up to 1"));
  EXPECT_THAT(error("share: 0.5, exposd: 0.25"), HasSubstr("did you mean \"exposed\"?"));
}

TEST(WeightSums, ResultsHaveNames) {
  for (const WeightResult result : {WeightResult::kAddFp32, WeightResult::kAddBf16, WeightResult::kWriteBf16})
    EXPECT_EQ(parse_weight_result(name(result)), result);
  EXPECT_FALSE(parse_weight_result("add"));
  EXPECT_DOUBLE_EQ(bytes_moved(WeightResult::kAddFp32), 8.0);
  EXPECT_DOUBLE_EQ(bytes_moved(WeightResult::kAddBf16), 4.0);
  EXPECT_DOUBLE_EQ(bytes_moved(WeightResult::kWriteBf16), 2.0);
}

}  // namespace
}  // namespace moeplan::sim
