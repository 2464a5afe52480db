#include "sim/cost/profile_writer.h"

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "sim/cost/profile.h"
#include "tests/sim/cost/tiny_profile.h"

namespace moeplan::sim {
namespace {

std::vector<std::string> shipped_profiles() {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator("configs/profiles"))
    if (entry.path().extension() == ".yaml") paths.push_back(entry.path().string());
  std::sort(paths.begin(), paths.end());
  return paths;
}

TEST(ProfileWriter, WhatIsWrittenReadsBackToTheSameValuesForEveryShippedProfile) {
  for (const std::string& path : shipped_profiles()) {
    SCOPED_TRACE(path);
    const Profile profile = load_profile(path);
    const std::string text = write_profile(profile.data());
    const Profile again = parse_profile(text, "again.yaml");
    EXPECT_TRUE(again.data() == profile.data());
    EXPECT_EQ(write_profile(again.data()), text);
  }
}

TEST(ProfileWriter, EveryMechanismOfAProductIsWritten) {
  ProfileData data = parse_profile(test_data::tiny_profile(), "tiny.yaml").data();
  data.l2_cache = base::Bytes::of(50 << 20);
  GemmTable& table = *data.gemm[static_cast<std::size_t>(NumberFormat::kBf16)];
  table.tail_recovered = 0.7;
  table.spill_slowdown = 0.25;
  table.store_exposed = 0.5;
  table.beyond = BandGrowth{2048.0, 1.3};
  table.quantise = QuantiseCost{2e-6, 6.0, 0.75};
  const Profile again = parse_profile(write_profile(data), "again.yaml");
  EXPECT_EQ(again.data().l2_cache, data.l2_cache);
  EXPECT_TRUE(*again.data().gemm[static_cast<std::size_t>(NumberFormat::kBf16)] == table);
}

TEST(ProfileWriter, TheKeyAndTheSustainedFactorAreWritten) {
  ProfileData data = parse_profile(test_data::tiny_profile(), "tiny.yaml").data();
  data.software = "a stack: 1.0";
  data.method = TimingMethod::kSustained;
  data.sustained = SustainedFactor{0.8, 0.95, 1.1, "dense steps", Evidence::kInterpolated};
  const Profile again = parse_profile(write_profile(data, "first\nsecond"), "again.yaml");
  EXPECT_TRUE(again.data() == data);
  EXPECT_TRUE(write_profile(data, "first\nsecond").starts_with("# first\n# second\nschema: "));
}

TEST(ProfileWriter, TheL2TheRereadsAndTheSoftmaxAreWritten) {
  ProfileData data = parse_profile(test_data::tiny_profile(), "tiny.yaml").data();
  data.l2_cache = base::Bytes::from_mib(50);
  data.attention.softmax_dim = 52.5;
  data.attention.backward_unlike = PassFactor{0.75, 0.9, 1.1, Evidence::kInterpolated};
  for (auto& kernels : data.grouped)
    for (auto& table : kernels)
      if (table) table->reread_share = 0.25;
  EXPECT_TRUE(parse_profile(write_profile(data), "again.yaml").data() == data);
}

TEST(ProfileWriter, NumbersAreTheFewestDigitsThatReadBackToTheSameValue) {
  ProfileData data = parse_profile(test_data::tiny_profile(), "tiny.yaml").data();
  data.launch_overhead = base::Seconds::of(1.676 * 1e-6);
  const std::string text = write_profile(data);
  EXPECT_NE(text.find("launch_overhead: 1.676 us\n"), std::string::npos);
  data.launch_overhead = base::Seconds::of(1.0 / 3.0);
  EXPECT_TRUE(parse_profile(write_profile(data), "again.yaml").data() == data);
}

}  // namespace
}  // namespace moeplan::sim
