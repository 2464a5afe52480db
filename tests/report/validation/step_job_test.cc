#include "report/validation/step_job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "report/validation/step_prediction.h"

namespace moeplan::report {
namespace {

using sim::RecomputeModule;
using testing::ElementsAre;

TEST(Precision, WordsOfTheTablesAreRecipes) {
  EXPECT_EQ(parse_precision("bf16")->gemm, sim::NumberFormat::kBf16);
  EXPECT_EQ(parse_precision("fp8_cs")->gemm, sim::NumberFormat::kFp8Tensor);
  EXPECT_EQ(parse_precision("mxfp8")->gemm, sim::NumberFormat::kMxfp8);
  EXPECT_EQ(parse_precision("nvfp4")->gemm, sim::NumberFormat::kNvfp4);
  EXPECT_FALSE(parse_precision("fp6"));
}

TEST(Recompute, ModulesAreSortedAndUnknownOnesRefused) {
  std::vector<std::string> notes;
  EXPECT_EQ(parse_recompute("none", notes)->mode, sim::RecomputeMode::kNone);
  EXPECT_EQ(parse_recompute("full", notes)->mode, sim::RecomputeMode::kFull);
  const auto selective = parse_recompute("selective:layernorm+moe_act+shared_expert", notes);
  ASSERT_TRUE(selective);
  EXPECT_THAT(selective->modules, ElementsAre(RecomputeModule::kMoeAct, RecomputeModule::kLayernorm,
                                              RecomputeModule::kSharedExperts));
  EXPECT_TRUE(notes.empty());
  EXPECT_FALSE(parse_recompute("selective:mamba", notes));
  EXPECT_FALSE(parse_recompute("unknown", notes));
}

TEST(Recompute, AStandInIsSaid) {
  std::vector<std::string> notes;
  EXPECT_TRUE(parse_recompute("selective:torchtitan_selective_op", notes));
  EXPECT_EQ(notes.size(), 1U);
}

TEST(Evidence, OfAStepIsTheWorstLevelThatHoldsATenth) {
  using sim::Evidence;
  EXPECT_EQ(summarise({0.95, 0.0, 0.0, 0.05}, Evidence::kMeasured), Evidence::kMeasured);
  EXPECT_EQ(summarise({0.5, 0.1, 0.3, 0.1}, Evidence::kMeasured), Evidence::kAssumed);
  EXPECT_EQ(summarise({0.6, 0.4, 0.0, 0.0}, Evidence::kMeasured), Evidence::kInterpolated);
  EXPECT_EQ(summarise({1.0, 0.0, 0.0, 0.0}, Evidence::kExtrapolated), Evidence::kExtrapolated);
}

}  // namespace
}  // namespace moeplan::report
