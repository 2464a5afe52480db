#include "calibrate/fit/pass_fit.h"

#include <gtest/gtest.h>

namespace moeplan::calibrate {
namespace {

Sample product(const std::string& gpu, sim::GemmPass pass, std::int64_t rows, double seconds) {
  Sample sample;
  sample.gpu = gpu;
  sample.software = "a stack";
  sample.method = sim::TimingMethod::kSustained;
  sample.shape = GroupedProductSample{sim::NumberFormat::kBf16, pass, 8, rows, 4096, 7168};
  sample.time = base::Seconds::of(seconds);
  return sample;
}

std::vector<Sample> pairs() {
  using sim::GemmPass;
  return {product("b200-sxm", GemmPass::kForward, 1024, 1.0),
          product("b200-sxm", GemmPass::kWeightGradient, 1024, 1.25),  // 0.8 of the forward efficiency
          product("a100-pcie", GemmPass::kForward, 1024, 1.0),
          product("a100-pcie", GemmPass::kWeightGradient, 1024, 2.0),  // 0.5
          product("b200-sxm", GemmPass::kForward, 128, 1.0),           // memory decides
          product("b200-sxm", GemmPass::kWeightGradient, 128, 10.0)};
}

TEST(PassFit, ThePairsOfTheSameChipStandForAGpu) {
  const auto b200 = fit_grouped_pass(pairs(), "b200-sxm", sim::GemmPass::kWeightGradient);
  ASSERT_TRUE(b200);
  EXPECT_DOUBLE_EQ(b200->factor.relative_efficiency, 0.8);
  EXPECT_EQ(b200->factor.evidence, sim::Evidence::kInterpolated);
  const auto a100 = fit_grouped_pass(pairs(), "a100-sxm", sim::GemmPass::kWeightGradient);
  EXPECT_DOUBLE_EQ(a100->factor.relative_efficiency, 0.5);
}

TEST(PassFit, AGpuWithoutPairsTakesTheMeanOfTheOthersAndIsAssumed) {
  const auto h100 = fit_grouped_pass(pairs(), "h100-sxm", sim::GemmPass::kWeightGradient);
  ASSERT_TRUE(h100);
  EXPECT_DOUBLE_EQ(h100->factor.relative_efficiency, 0.632);  // sqrt(0.8 * 0.5)
  EXPECT_EQ(h100->factor.evidence, sim::Evidence::kAssumed);
  EXPECT_NE(h100->source.find("assumed here"), std::string::npos);
}

TEST(PassFit, WithoutAPairThereIsNoRatio) {
  EXPECT_FALSE(fit_grouped_pass(pairs(), "b200-sxm", sim::GemmPass::kDataGradient));
  EXPECT_FALSE(fit_attention_backward(pairs(), "b200-sxm", false));
}

TEST(PassFit, AttentionCountsTwoAndAHalfTimesTheFlopBackward) {
  Sample forward;
  forward.gpu = "b200-sxm";
  AttentionSample shape;
  shape.seq = 4096;
  shape.heads = 32;
  shape.kv_heads = 8;
  shape.head_dim = shape.v_dim = 128;
  shape.preparation = false;
  forward.shape = shape;
  forward.time = base::Seconds::of(1.0);
  Sample backward = forward;
  shape.pass = sim::AttentionPass::kBackward;
  backward.shape = shape;
  backward.time = base::Seconds::of(3.125);
  const auto ratio = fit_attention_backward({backward, forward}, "b200-sxm", false);
  ASSERT_TRUE(ratio);
  EXPECT_DOUBLE_EQ(ratio->factor.relative_efficiency, 0.8);
  EXPECT_FALSE(fit_attention_backward({backward, forward}, "b200-sxm", true));
}

}  // namespace
}  // namespace moeplan::calibrate
