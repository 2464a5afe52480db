#include "sim/schedule/segment.h"

#include <cmath>

#include <gtest/gtest.h>

#include "sim/schedule/layer_kernels.h"
#include "tests/sim/schedule/step_case.h"

namespace moeplan::sim {
namespace {

Estimate seconds(double t, double low, double high) {
  return {base::Seconds::of(t), low, high, Evidence::kMeasured};
}

// Two memory-bound kernels of 1 s with a half-width of 0.1 s each: together 0.2 s, one cause. A collective of
// 1 s with 0.3 s has another: sqrt(0.2^2 + 0.3^2) = 0.3606 s around 3 s.
TEST(CostSum, HalfWidthsAddInAClassAndInSquaresBetweenClasses) {
  CostSum sum;
  sum.add(TimeClass::kMemory, seconds(1.0, 0.9, 1.1));
  sum.add(TimeClass::kMemory, seconds(1.0, 0.9, 1.1));
  EXPECT_NEAR(sum.low(), 1.8, 1e-12);
  EXPECT_NEAR(sum.high(), 2.2, 1e-12);
  sum.add(TimeClass::kDispatch, seconds(1.0, 0.7, 1.3));
  EXPECT_NEAR(sum.low(), 3.0 - std::sqrt(0.13), 1e-12);
  EXPECT_NEAR(sum.high(), 3.0 + std::sqrt(0.13), 1e-12);
}

// Products of several shapes share r = 0.16 of their error: of four alike H = 0.4, I = 0.2,
// w^2 = 0.16 0.4^2 + 0.84 0.2^2. The same four in a second layer err the same way: twice that.
TEST(CostSum, TheErrorsOfProductsAverageInALayerAndNotOverLayers) {
  CostSum layer;
  for (int i = 0; i < 4; ++i) layer.add(TimeClass::kGemm, seconds(1.0, 0.9, 1.1));
  const double width = std::sqrt(0.16 * 0.16 + 0.84 * 0.04);
  EXPECT_NEAR(layer.width(), width, 1e-12);
  CostSum model;
  model.add(layer);
  model.add(layer);
  EXPECT_NEAR(model.width(), 2.0 * width, 1e-12);
  CostSum one;
  one.add(TimeClass::kGemm, seconds(1.0, 0.9, 1.1));
  EXPECT_NEAR(one.width(), 0.1, 1e-12);
}

// A band of 0.9 to 1.5 is 1.2 +- 0.3; of one class alone it comes back as it is.
TEST(CostSum, AnAsymmetricBandMovesTheMiddle) {
  CostSum sum;
  sum.add(TimeClass::kMemory, seconds(2.0, 0.9, 1.5));
  const Estimate whole = sum.estimate();
  EXPECT_NEAR(whole.low, 0.9, 1e-12);
  EXPECT_NEAR(whole.high, 1.5, 1e-12);
  CostSum twice;
  twice.add(sum, 2.0);
  EXPECT_NEAR(twice.high(), 6.0, 1e-12);
}

TEST(Segment, TheGpuWaitsForWhatTheHostNeedsBeyondTheKernels) {
  Segment segment;
  segment.add("product", TimeClass::kGemm, seconds(3.0, 1.0, 1.0));
  segment.add_launch_wait({base::Seconds::of(2.0)});
  EXPECT_DOUBLE_EQ(segment.time().s(), 3.0);
  segment.add_launch_wait({base::Seconds::of(5.0)});
  EXPECT_DOUBLE_EQ(segment.time().s(), 5.0);
  EXPECT_DOUBLE_EQ(segment.cost().at(TimeClass::kHost), 2.0);
}

// Norm 1 s, data gradient 3 s, weight gradient 2 s that hides 1.5 s of a reduce-scatter of 2 s. Without it
// beside the reduce-scatter takes its 2 s: input 1 + 3 + 1.5 + 0.5 = 6, weight 2, whole 6.5.
TEST(Segment, CallsAreCountedHiddenOnesToo) {
  Segment one, both;
  one.add_calls(0.5);
  both.add_calls(1);
  both.append(one);
  EXPECT_EQ(both.calls(), 1.5);
}

TEST(BackwardSegment, TrafficThatHidBehindWeightGradientsComesBack) {
  Segment segment;
  segment.add("norm", TimeClass::kMemory, seconds(1.0, 1.0, 1.0));
  segment.add("fc1", TimeClass::kGemm, seconds(3.0, 1.0, 1.0));
  segment.add_weight_gradient("fc1", seconds(2.0, 1.0, 1.0), seconds(1.5, 1.0, 1.0));
  segment.add("tp reduce-scatter", TimeClass::kTpComm, seconds(0.5, 1.0, 1.0));
  const BackwardSegment split(segment);
  EXPECT_DOUBLE_EQ(split.whole.time().s(), 6.5);
  EXPECT_DOUBLE_EQ(split.input.time().s(), 6.0);
  EXPECT_DOUBLE_EQ(split.input.cost().at(TimeClass::kTpComm), 2.0);
  EXPECT_DOUBLE_EQ(split.weight.time().s(), 2.0);
  EXPECT_DOUBLE_EQ(split.weight.cost().at(TimeClass::kGemm), 2.0);
}

// Both products take 1 s; the host needs 4 s for the call of the layer and 0.5 s for its second kernel: the
// whole waits for 4.5 s, the input gradients for 4 s, the weight gradients for nothing.
TEST(BackwardSegment, EachHalfWaitsForItsOwnLaunches) {
  Segment segment;
  segment.add("fc1", TimeClass::kGemm, seconds(1.0, 1.0, 1.0));
  segment.add_weight_gradient("fc1", seconds(1.0, 1.0, 1.0));
  segment.add_launch_wait({base::Seconds::of(4.0), base::Seconds::of(0.5)});
  const BackwardSegment split(segment);
  EXPECT_DOUBLE_EQ(split.whole.time().s(), 4.5);
  EXPECT_DOUBLE_EQ(split.input.time().s(), 4.0);
  EXPECT_DOUBLE_EQ(split.weight.time().s(), 1.0);
}

// Every backward of a layer of a real model: nothing is lost, and the weight gradients are as many products
// as the data gradients and take about as long; attention and what is bound by memory stays with the input
// gradients.
TEST(BackwardSegment, TheHalvesOfALayerAddUp) {
  test_data::StepCase c;
  c.run.seq_len = 4096;
  const LayerKernels kernels(c.model, c.run, c.plan, c.profile,
                             [](LayerGroup, CollectiveKind, base::Bytes) { return Estimate{}; });
  const std::vector<std::int64_t> rows(16, 2048);
  for (const Segment& whole : {kernels.attention_backward(c.model.layers[0]), kernels.moe_before_backward(),
                               kernels.experts_backward(rows), kernels.head_backward()}) {
    const BackwardSegment split(whole);
    const double waits = split.input.cost().at(TimeClass::kHost) + split.weight.cost().at(TimeClass::kHost);
    const double own = whole.cost().at(TimeClass::kHost);
    EXPECT_NEAR(split.input.time().s() + split.weight.time().s() - waits, whole.time().s() - own, 1e-12);
    EXPECT_EQ(split.weight.cost().at(TimeClass::kAttention), 0.0);
    EXPECT_EQ(split.weight.cost().at(TimeClass::kMemory), 0.0);
    EXPECT_GT(split.weight.cost().at(TimeClass::kGemm), 0.3 * whole.cost().at(TimeClass::kGemm));
    EXPECT_LT(split.weight.cost().at(TimeClass::kGemm), 0.8 * whole.cost().at(TimeClass::kGemm));
  }
}

// One sequence of 1,024 tokens leaves the GPU idle between launches; a graph of attention and router takes
// the host out of those two parts, a profile without launches out of all.
TEST(Segment, AGraphTakesTheHostOutOfItsParts) {
  test_data::StepCase c;
  c.use_real_host();
  c.run.seq_len = 1024;
  c.run.gate = GatePolicy::kForceBalanced;
  const double eager = c.simulate().breakdown.host.s();
  c.run.graph = {true, true};
  const double graphed = c.simulate().breakdown.host.s();
  EXPECT_LT(graphed, 0.7 * eager);
  EXPECT_GT(eager, 0.0);
}

// 16 heads of 4,096 tokens: scores of 268 M values pass through memory 15 times 2 bytes and more.
TEST(Segment, AttentionThatIsNotFusedTakesLonger) {
  test_data::StepCase c;
  const double fused = c.simulate().step_time.s();
  c.run.fusion.attention = false;
  EXPECT_GT(c.simulate().step_time.s(), 1.2 * fused);
}

}  // namespace
}  // namespace moeplan::sim
