#include "sim/cost/kernel_rows.h"

#include <numeric>

#include <gtest/gtest.h>

#include "tests/sim/cost/tiny_profile.h"

namespace moeplan::sim {
namespace {

GroupedGemmRow row_of(std::int64_t tokens, std::int64_t experts, std::int64_t ep,
                      std::string_view distribution) {
  GroupedGemmRow row;
  row.num_tokens = tokens;
  row.hidden = 4096;
  row.inter = 1536;
  row.topk = 8;
  row.num_experts = experts;
  row.moe_ep = ep;
  row.distribution = distribution;
  return row;
}

std::int64_t sum(const std::vector<std::int64_t>& counts) {
  return std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
}

TEST(KernelRows, LeaveOutWholeSlabsOfGemmAndTheLargestDecadeOfRows) {
  const auto left = [](std::int64_t m, std::int64_t n, std::int64_t k) {
    return left_out_of_fit(GemmRow{NumberFormat::kBf16, m, n, k});
  };
  int slabs = 0, all = 0;
  for (std::int64_t n = 512; n <= 16384; n += 512) {
    for (std::int64_t k = 512; k <= 16384; k += 512) {
      EXPECT_EQ(left(512, n, k), left(2048, n, k));  // a slab is out at every m
      EXPECT_TRUE(left(4096, n, k));  // the largest decade, 3,277 to 32,768, is out of every slab
      slabs += left(512, n, k) ? 1 : 0;
      ++all;
    }
  }
  EXPECT_NEAR(static_cast<double>(slabs) / all, 0.2, 0.03);
}

TEST(KernelRows, LeaveOutWholeSlabsOfGroupedGemmAndTheLargestOctaveOfRows) {
  int slabs = 0, all = 0;
  for (std::int64_t experts = 8; experts <= 512; experts += 8) {
    const bool left = left_out_of_fit(row_of(1024, experts, 1, "balanced"));
    for (const std::int64_t tokens : {2048, 4096, 8192}) {  // 65,536 rows and fewer
      EXPECT_EQ(left_out_of_fit(row_of(tokens, experts, 1, "power_law_1.2")), left);
      // The experts of one rank are what counts, not how many ranks share the others.
      EXPECT_EQ(left_out_of_fit(row_of(tokens, 4 * experts, 4, "balanced")), left);
    }
    EXPECT_TRUE(left_out_of_fit(row_of(8193, experts, 1, "balanced")));
    slabs += left ? 1 : 0;
    ++all;
  }
  EXPECT_NEAR(static_cast<double>(slabs) / all, 0.2, 0.12);
}

TEST(KernelRows, LeaveOutWholeSlabsOfAttention) {
  int slabs = 0, all = 0;
  for (std::int64_t heads = 1; heads <= 128; ++heads) {
    for (const std::int64_t dim : {64, 128, 192, 256}) {
      const bool left = left_out_of_fit(AttentionRow{1, 1024, heads, heads, dim});
      EXPECT_EQ(left_out_of_fit(AttentionRow{4, 16384, heads, 1, dim}), left);
      slabs += left ? 1 : 0;
      ++all;
    }
  }
  EXPECT_NEAR(static_cast<double>(slabs) / all, 0.2, 0.05);
}

TEST(KernelRows, BalancedSharesAreOfGlobalTokens) {
  // 4096 tokens x top-8 over 4 ranks: 8192 rows on 32 experts, 256 each.
  EXPECT_EQ(tokens_per_expert(row_of(4096, 128, 4, "balanced")), std::vector<std::int64_t>(32, 256));
}

TEST(KernelRows, UniformRowsFillExpertsInBlocks) {
  // 512 tokens x top-8 over 4 ranks: 1024 rows = 8 blocks of 128: 8 of the 64 experts work.
  const auto counts = tokens_per_expert(row_of(512, 256, 4, "uniform"));
  ASSERT_EQ(counts.size(), 64u);
  EXPECT_EQ(sum(counts), 1024);
  EXPECT_EQ(counts[7], 128);
  EXPECT_EQ(counts[8], 0);
}

TEST(KernelRows, PowerLawDrawsAreThoseOfTheFitAndTheHottestRankIsTaken) {
  // Pinned (draw 0): a fit and a later prediction have to draw the same.
  const auto all = tokens_per_expert(row_of(4096, 128, 1, "power_law_1.2"));
  ASSERT_EQ(all.size(), 128u);
  EXPECT_EQ(std::vector<std::int64_t>(all.begin(), all.begin() + 6),
            (std::vector<std::int64_t>{202, 163, 6, 6, 70, 1}));
  EXPECT_EQ(sum(all), 32772);  // 32768 but for rounding
  for (const std::int64_t ep : {2, 4, 8, 16}) {
    EXPECT_GE(sum(tokens_per_expert(row_of(4096, 128, ep, "power_law_1.2"))), 32768 / ep);
  }
}

TEST(KernelRows, WhatCannotBeExpressedHasNoPrediction) {
  const Profile tiny = parse_profile(test_data::tiny_profile(), "tiny.yaml");
  EXPECT_TRUE(predict(tiny, row_of(4096, 128, 1, "balanced")).has_value());
  EXPECT_FALSE(predict(tiny, row_of(4096, 128, 1, "zipf")).has_value());
  EXPECT_FALSE(predict(tiny, row_of(4096, 128, 1, "power_law_x")).has_value());
  GroupedGemmRow sharded = row_of(4096, 128, 1, "balanced");
  sharded.moe_tp = 2;
  EXPECT_FALSE(predict(tiny, sharded).has_value());
  GroupedGemmRow other_kernel = row_of(4096, 128, 1, "balanced");
  other_kernel.kernel = GroupedKernel::kDeepGemm;
  EXPECT_FALSE(predict(tiny, other_kernel).has_value());
}

TEST(KernelRows, TheAttentionTableHoldsTheCoreAndItsPreparation) {
  // 1 x 1024, 8 heads of 64: core 250.512512 us (attention_model_test); q, k, v and output:
  // 1024 * 128 * 16 values * 2 B over 0.5 TB/s = 8.388608 us.
  const Profile tiny = parse_profile(test_data::tiny_profile(), "tiny.yaml");
  EXPECT_NEAR(predict(tiny, AttentionRow{1, 1024, 8, 8, 64}).time.us(), 250.512512 + 8.388608, 1e-6);
}

TEST(KernelRows, KnowTheProfileOfEverySystemThatWeShip) {
  EXPECT_EQ(profile_stem_of_system("h100_sxm"), "h100-sxm");
  EXPECT_EQ(profile_stem_of_system("gb300"), "gb300");
  EXPECT_EQ(profile_stem_of_system("abacus"), "");
}

}  // namespace
}  // namespace moeplan::sim
