// What a profile file that is wrong is told, text by text.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/cost/profile.h"
#include "tests/sim/cost/tiny_profile.h"
#include "tests/support/input_error.h"

namespace moeplan::sim {
namespace {

using testing::HasSubstr;

std::string error_with(const std::string& from, const std::string& to) {
  const std::string text = test_data::tiny_profile_with(from, to);
  EXPECT_NE(text, "") << "\"" << from << "\" is not in the profile";
  return test::input_error_of([&] { parse_profile(text, "tiny.yaml"); });
}

TEST(ProfileReader, ReadsWhatTheFileSays) {
  const Profile p = parse_profile(test_data::tiny_profile(), "tiny.yaml");
  EXPECT_EQ(p.name(), "tiny");
  EXPECT_EQ(p.gpu(), "Tiny GPU");
  EXPECT_EQ(p.sm_count(), 10);
  EXPECT_DOUBLE_EQ(p.peak(NumberFormat::kBf16).tflops(), 10.0);
  EXPECT_DOUBLE_EQ(p.hbm_bandwidth().bytes_per_s(), 1e12);
  EXPECT_EQ(p.memory(), base::Bytes::from_gib(16));
  EXPECT_DOUBLE_EQ(p.launch_overhead().us(), 5.0);
  EXPECT_TRUE(p.supports(NumberFormat::kFp8Block));
  EXPECT_FALSE(p.supports(NumberFormat::kFp32));
  EXPECT_THAT(p.provenance(), HasSubstr("timing: by hand\n"));
}

TEST(ProfileReader, NamesAnUnknownKeyAndTheOneThatWasMeant) {
  const std::string error = error_with("wave_overhead: 0.5 us", "wave_overheat: 0.5 us");
  EXPECT_THAT(error, HasSubstr("tiny.yaml:31:7: error: unknown key \"wave_overheat\""));
  EXPECT_THAT(error, HasSubstr("in profile > gemm > tables[0]"));
  EXPECT_THAT(error, HasSubstr("did you mean \"wave_overhead\"?"));
}

TEST(ProfileReader, AsksForTheUnit) {
  EXPECT_THAT(error_with("hbm_bandwidth: 1 TB/s", "hbm_bandwidth: 1000"),
              HasSubstr("tiny.yaml:10:18: error: \"1000\" has no unit, expected a data rate"));
}

TEST(ProfileReader, ReportsEveryFaultAtOnce) {
  const std::string text = test_data::tiny_profile_with("sm_count: 10", "sm_count: ten");
  std::string worse = text;
  worse.replace(worse.find("tail: 0.5"), 9, "tails: 0.5");
  const std::string error = test::input_error_of([&] { parse_profile(worse, "tiny.yaml"); });
  EXPECT_THAT(error, HasSubstr("found \"ten\", expected a whole number"));
  EXPECT_THAT(error, HasSubstr("key \"tail\" is missing"));
  EXPECT_THAT(error, HasSubstr("unknown key \"tails\""));
}

TEST(ProfileReader, ChecksSharesAndTheSizeOfGrids) {
  EXPECT_THAT(error_with("efficiency: 1}", "efficiency: 7}"),
              HasSubstr("found 7, expected a number above 0 and up to 1.5"));
  const std::string grid =
      "      correction: {m: [1, 2], n: [1], k_coarse: [1], n_coarse: [1], by_m_n: [0], by_m_k: [0, 0], "
      "by_n_k: [9]}\n"
      "      tiles:\n        - {m: 100";
  const std::string error = error_with("      tiles:\n        - {m: 100", grid);
  EXPECT_THAT(error, HasSubstr("found 1 values, expected 2"));
  EXPECT_THAT(error, HasSubstr("found the exponent 9, expected a value between -3 and 3"));
  EXPECT_THAT(error_with("low: [0.8, 0.9]", "low: [0.8]"),
              HasSubstr("found 1 low and 2 high factors, expected 2 of each"));
}

TEST(ProfileReader, WantsATableForEveryFormatWithAPeakAndForNoOther) {
  EXPECT_THAT(error_with("    fp8_block: 20 TFLOP/s", "    fp16: 20 TFLOP/s"),
              HasSubstr("found no table of fp16, expected one for each format with a peak"));
  EXPECT_THAT(error_with("like: bf16", "like: nvfp4"),
              HasSubstr("found \"nvfp4\", expected a format with a table above"));
  EXPECT_THAT(error_with("- format: fp8_block\n      like: bf16", "- format: bf16\n      like: bf16"),
              HasSubstr("found a second table of bf16, expected one"));
}

TEST(ProfileReader, WantsEveryLinkClassOnce) {
  EXPECT_THAT(error_with("class: pcie", "class: nic"), HasSubstr("found a second class nic, expected one"));
  EXPECT_THAT(error_with("class: pcie", "class: nic"), HasSubstr("found no class pcie, expected one"));
}

TEST(ProfileReader, RefusesAnotherSchema) {
  EXPECT_THAT(error_with("moeplan.profile/1", "moeplan.profile/2"), HasSubstr("moeplan.profile/1"));
}

}  // namespace
}  // namespace moeplan::sim
