#include "sim/schedule/overlap.h"

#include <gtest/gtest.h>

namespace moeplan::sim {
namespace {

/// 2 pieces: dispatch 3 ms, combine 5 ms, products 6 ms, memory-bound 2 ms each; 20 of 120 SMs; factor 1.5.
OverlapInput sample() { return {3e-3, 5e-3, 6e-3, 2e-3, 2, 20, 120, 1.5}; }

// One other piece: 8 ms of communication beside 16 ms of work: half of the work is overlapped. Products 1 +
// 0.5 * 0.2; memory 1 + 0.5 * 0.5; of the communication all of one piece in two is covered, by memory-bound
// kernels in 2/8: 1 + 0.5 * 0.25 * 0.5.
TEST(Overlap, SlowsTheShareThatRunsSideBySide) {
  const OverlapFactors factors = overlap_factors(sample());
  EXPECT_NEAR(factors.products, 1.1, 1e-12);
  EXPECT_NEAR(factors.memory, 1.25, 1e-12);
  EXPECT_NEAR(factors.communication, 1.0625, 1e-12);
}

// Ten times the communication, 80 ms beside 16 ms: all of the work is overlapped.
TEST(Overlap, IsNeverMoreThanAllOfTheWork) {
  OverlapInput input = sample();
  input.dispatch *= 10;
  input.combine *= 10;
  const OverlapFactors factors = overlap_factors(input);
  EXPECT_NEAR(factors.products, 1.2, 1e-12);
  EXPECT_NEAR(factors.memory, 1.5, 1e-12);
}

TEST(Overlap, OfOnePieceOrWithoutCommunicationIsNone) {
  OverlapInput one = sample();
  one.pieces = 1;
  EXPECT_EQ(overlap_factors(one).products, 1.0);
  OverlapInput silent = sample();
  silent.dispatch = silent.combine = 0;
  EXPECT_EQ(overlap_factors(silent).memory, 1.0);
  EXPECT_EQ(overlap_factors(silent).communication, 1.0);
}

}  // namespace
}  // namespace moeplan::sim
