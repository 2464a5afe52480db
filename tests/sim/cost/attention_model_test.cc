// Attention, memory-bound operations and links against hand calculations (tiny_profile.h).
#include "sim/cost/attention_model.h"

#include <gtest/gtest.h>

#include "sim/cost/profile.h"
#include "tests/sim/cost/tiny_profile.h"

namespace moeplan::sim {
namespace {

const Profile& tiny() {
  static const Profile profile = parse_profile(test_data::tiny_profile(), "tiny.yaml");
  return profile;
}

TEST(AttentionModel, CausalWorkIsTheLowerTriangleAndTheLongestBlockIsItsTail) {
  // 1 sequence of 1024, 8 heads of 64: pairs = 1024 * 1025 / 2 = 524,800; FLOP = 2 * 8 * 128 * pairs
  // = 1.0747904e9; at 10 TFLOP/s * 0.5: 214.95808 us. Longest block: 2 * 128 * 128 * 1024 FLOP on one SM (0.5
  // TFLOP/s) = 67.108864 us, half of it as tail. Launch 2 us.
  const AttentionShape shape{1, 1024, 1024, 8, 8, 64, 64, true};
  EXPECT_NEAR(tiny().attention(shape, AttentionPass::kForward).time.us(), 2.0 + 214.95808 + 33.554432, 1e-6);
}

TEST(AttentionModel, TheSoftmaxCostsAsMuchAsSomeHeadSizeWhateverTheHeadSize) {
  ProfileData data = tiny().data();
  data.attention.softmax_dim = 32.0;
  const AttentionShape shape{1, 1024, 1024, 8, 8, 64, 64, true};
  const AttentionShape larger{1, 1024, 1024, 8, 8, 96, 96, true};
  EXPECT_DOUBLE_EQ(attention_time(data, shape, AttentionPass::kForward).time.s(),
                   tiny().attention(larger, AttentionPass::kForward).time.s());
}

TEST(AttentionModel, WithoutAMaskTheWholeSquareIsWorked) {
  const AttentionShape shape{1, 1024, 1024, 8, 8, 64, 64, false};
  // FLOP = 2 * 8 * 128 * 1024^2 = 2.147483648e9: 429.4967296 us.
  EXPECT_NEAR(tiny().attention(shape, AttentionPass::kForward).time.us(), 2.0 + 429.4967296 + 33.554432,
              1e-6);
}

TEST(AttentionModel, BackwardIsTheFlopRatioOverItsEfficiency) {
  const AttentionShape shape{1, 1024, 1024, 8, 8, 64, 64, true};
  const Estimate forward = tiny().attention(shape, AttentionPass::kForward);
  const Estimate backward = tiny().attention(shape, AttentionPass::kBackward);
  EXPECT_NEAR(backward.time.us(), 2.0 + (forward.time.us() - 2.0) * 2.5 / 0.5, 1e-6);
  EXPECT_EQ(backward.evidence, Evidence::kAssumed);
  EXPECT_NEAR(backward.high, 1.1 * 1.2, 1e-12);
}

TEST(AttentionModel, UnlikeHeadSizesHaveABackwardEfficiencyOfTheirOwn) {
  ProfileData data = tiny().data();
  data.attention.backward_unlike = PassFactor{0.25, 1.0, 1.0, Evidence::kAssumed};
  const auto backward = [](const ProfileData& d, std::int64_t qk, std::int64_t v) {
    return attention_time(d, {1, 1024, 1024, 8, 8, qk, v, true}, AttentionPass::kBackward).time.us();
  };
  EXPECT_DOUBLE_EQ(backward(data, 160, 160), backward(tiny().data(), 160, 160));
  // Half of 0.5: all but the launch of 2 us doubles.
  EXPECT_NEAR(backward(data, 192, 128) - 2.0, 2.0 * (backward(tiny().data(), 192, 128) - 2.0), 1e-9);
}

TEST(AttentionModel, UnlikeQueryAndValueSizesAreAssumed) {
  // MLA: 192 and 128 cost as much as 160 and 160, but nothing measured them.
  const Estimate mla = tiny().attention({1, 1024, 1024, 8, 8, 192, 128, true}, AttentionPass::kForward);
  const Estimate even = tiny().attention({1, 1024, 1024, 8, 8, 160, 160, true}, AttentionPass::kForward);
  EXPECT_DOUBLE_EQ(mla.time.s(), even.time.s());
  EXPECT_EQ(mla.evidence, Evidence::kAssumed);
  EXPECT_EQ(even.evidence, Evidence::kMeasured);
}

TEST(MemoryOps, CostTheFloorAndTheBytesAtTheirShareOfTheBandwidth) {
  // 3 us + 8 MB / (1 TB/s * 0.8) = 13 us.
  const Estimate e = tiny().memory_op(MemoryOp::kSwiglu, base::Bytes::of(8'000'000));
  EXPECT_NEAR(e.time.us(), 13.0, 1e-9);
  EXPECT_DOUBLE_EQ(e.high, 1.6);
  EXPECT_EQ(tiny().memory_op(MemoryOp::kSwiglu, base::Bytes::of(0)).time.s(), 0.0);
  EXPECT_EQ(tiny().memory_op(MemoryOp::kPermute, base::Bytes::of(1)).evidence, Evidence::kInterpolated);
}

TEST(Links, ReachHalfTheirFractionAtTheHalfSize) {
  const CommEfficiency& comm = tiny().comm(LinkClass::kNvlink, CollectiveKind::kAllToAll);
  EXPECT_DOUBLE_EQ(comm.fraction(base::Bytes::of(1'000'000)), 0.25);
  EXPECT_NEAR(comm.fraction(base::Bytes::of(1'000'000'000'000)), 0.5, 1e-5);
  EXPECT_NEAR(comm.base_latency.us(), 10.0, 1e-12);
  EXPECT_EQ(comm.evidence, Evidence::kMeasured);
}

}  // namespace
}  // namespace moeplan::sim
