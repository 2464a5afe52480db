#include "report/validation/selection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/diagnostics.h"

namespace moeplan::report {
namespace {

const std::vector<std::string> kGroups = {"gemm", "layer", "steps"};

TEST(Selection, OfNothingTakesEverything) {
  const Selection all;
  EXPECT_TRUE(all.has_group("gemm"));
  EXPECT_TRUE(all.has_case("gemm", "anything"));
  EXPECT_FALSE(all.narrows("gemm"));
}

TEST(Selection, OfAGroupTakesAllItsCasesAndNoOther) {
  const Selection one({"layer"}, kGroups);
  EXPECT_TRUE(one.has_case("layer", "x"));
  EXPECT_FALSE(one.has_group("steps"));
  EXPECT_FALSE(one.narrows("layer"));
}

TEST(Selection, ByPatternNarrowsAndKeepsSlashesOfThePattern) {
  const Selection some({"steps/e2e/steps.csv#21*"}, kGroups);
  EXPECT_TRUE(some.has_case("steps", "e2e/steps.csv#214"));
  EXPECT_FALSE(some.has_case("steps", "e2e/steps.csv#301"));
  EXPECT_FALSE(some.has_case("steps", "e2e/laer_steps.csv#214"));
  EXPECT_TRUE(some.narrows("steps"));
}

TEST(Selection, OfAGroupBesideAPatternIsNotNarrowed) {
  const Selection both({"steps/214", "steps"}, kGroups);
  EXPECT_FALSE(both.narrows("steps"));
  EXPECT_TRUE(both.has_case("steps", "e2e/steps.csv#1"));
}

TEST(Selection, OfAnUnknownGroupNamesTheNearest) {
  try {
    const Selection bad({"step"}, kGroups);
    FAIL() << "accepted";
  } catch (const base::InputError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("--only names \"step\""));
    EXPECT_THAT(error.what(), testing::HasSubstr("did you mean \"steps\"?"));
  }
}

TEST(Pattern, WithoutWildcardsMatchesAnywhere) {
  EXPECT_TRUE(matches("h100", "kernels/gemm.csv#h100_sxm/bfloat16"));
  EXPECT_FALSE(matches("h200", "kernels/gemm.csv#h100_sxm/bfloat16"));
}

TEST(Pattern, WithWildcardsMatchesTheWholeText) {
  EXPECT_TRUE(matches("*h100*bf*", "kernels/gemm.csv#h100_sxm/bfloat16"));
  EXPECT_TRUE(matches("a?c", "abc"));
  EXPECT_FALSE(matches("a?c", "abbc"));
  EXPECT_FALSE(matches("h100*", "kernels/gemm.csv#h100_sxm"));
  EXPECT_TRUE(matches("a*b*c", "a-b-b-c"));
  EXPECT_FALSE(matches("a*b*c", "a-c-b"));
  EXPECT_TRUE(matches("*", ""));
}

}  // namespace
}  // namespace moeplan::report
