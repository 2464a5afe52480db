#include "sim/cost/ops.h"

#include <gtest/gtest.h>

#include "sim/cost/format.h"

namespace moeplan::sim {
namespace {

TEST(NumberFormats, EveryNameReadsBackToItsFormat) {
  for (int i = 0; i < kNumberFormats; ++i) {
    const auto format = static_cast<NumberFormat>(i);
    EXPECT_EQ(parse_number_format(name(format)), format);
  }
  EXPECT_EQ(parse_number_format("fp8"), NumberFormat::kFp8Tensor);
  EXPECT_FALSE(parse_number_format("float99").has_value());
}

TEST(NumberFormats, AnElementCarriesItsShareOfTheScales) {
  EXPECT_DOUBLE_EQ(bytes_per_element(NumberFormat::kBf16), 2.0);
  EXPECT_DOUBLE_EQ(bytes_per_element(NumberFormat::kFp8Block), 1.0 + 4.0 / 128);  // fp32 scale per 128 values
  EXPECT_DOUBLE_EQ(bytes_per_element(NumberFormat::kMxfp8), 1.0 + 1.0 / 32);      // 8-bit scale per 32
  EXPECT_DOUBLE_EQ(bytes_per_element(NumberFormat::kNvfp4), 0.5 + 1.0 / 16);      // fp8 scale per 16
}

TEST(Operations, EveryNameReadsBack) {
  for (int i = 0; i < kMemoryOps; ++i) {
    EXPECT_EQ(parse_memory_op(name(static_cast<MemoryOp>(i))), static_cast<MemoryOp>(i));
  }
  for (int i = 0; i < kCollectiveKinds; ++i) {
    EXPECT_EQ(parse_collective_kind(name(static_cast<CollectiveKind>(i))), static_cast<CollectiveKind>(i));
  }
  for (int i = 0; i < kLinkClasses; ++i) {
    EXPECT_EQ(parse_link_class(name(static_cast<LinkClass>(i))), static_cast<LinkClass>(i));
  }
  for (int i = 0; i < kGemmPasses; ++i) {
    EXPECT_EQ(parse_gemm_pass(name(static_cast<GemmPass>(i))), static_cast<GemmPass>(i));
  }
  EXPECT_FALSE(parse_memory_op("teleport").has_value());
}

}  // namespace
}  // namespace moeplan::sim
