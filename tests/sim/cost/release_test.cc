#include "sim/cost/release.h"

#include <gtest/gtest.h>

namespace moeplan::sim {
namespace {

TEST(Release, NumbersAreComparedInTurnAndNotAsText) {
  EXPECT_TRUE(is_newer_release("SGLang 0.5.10, deepepmoe", "SGLang 0.5.6.post2, deepepmoe"));
  EXPECT_TRUE(is_newer_release("SGLang 0.5.6.post2", "SGLang 0.5.6"));
  EXPECT_TRUE(is_newer_release("TRTLLM 1.3.0rc20", "TRTLLM 1.3.0rc4"));
  EXPECT_FALSE(is_newer_release("TRTLLM 1.0.0", "TRTLLM 1.0.0"));
}

TEST(Release, OfTwoTextsWithoutNumbersOneAndOnlyOneIsTheNewer) {
  EXPECT_NE(is_newer_release("kernel a", "kernel b"), is_newer_release("kernel b", "kernel a"));
  EXPECT_FALSE(is_newer_release("", ""));
}

}  // namespace
}  // namespace moeplan::sim
