#include "sim/cost/estimate.h"

#include <gtest/gtest.h>

namespace moeplan::sim {
namespace {

using base::Seconds;

TEST(Estimate, ASumAddsTheEndsOfTheBandsAndKeepsTheWorseEvidence) {
  // 1 s in [0.9, 1.1] and 3 s in [0.5, 2.0]: 4 s in [2.4, 7.1] = [0.6, 1.775].
  const Estimate a{Seconds::of(1), 0.9, 1.1, Evidence::kMeasured};
  const Estimate b{Seconds::of(3), 0.5, 2.0, Evidence::kExtrapolated};
  const Estimate sum = a + b;
  EXPECT_DOUBLE_EQ(sum.time.s(), 4.0);
  EXPECT_DOUBLE_EQ(sum.low, 0.6);
  EXPECT_DOUBLE_EQ(sum.high, 1.775);
  EXPECT_EQ(sum.evidence, Evidence::kExtrapolated);
}

TEST(Estimate, ApartOfZeroLengthChangesNothing) {
  const Estimate a{Seconds::of(2), 0.9, 1.1, Evidence::kMeasured};
  const Estimate nothing{Seconds::of(0), 0.1, 9.0, Evidence::kAssumed};
  for (const Estimate& sum : {a + nothing, nothing + a}) {
    EXPECT_DOUBLE_EQ(sum.time.s(), 2.0);
    EXPECT_DOUBLE_EQ(sum.high, 1.1);
    EXPECT_EQ(sum.evidence, Evidence::kMeasured);
  }
}

TEST(Estimate, RepetitionScalesTheTimeAndKeepsTheBand) {
  const Estimate a{Seconds::of(2), 0.9, 1.1, Evidence::kInterpolated};
  const Estimate thrice = a * 3.0;
  EXPECT_DOUBLE_EQ(thrice.time.s(), 6.0);
  EXPECT_DOUBLE_EQ(thrice.earliest().s(), 5.4);
  EXPECT_EQ(thrice.evidence, Evidence::kInterpolated);
}

}  // namespace
}  // namespace moeplan::sim
