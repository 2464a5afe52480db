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

Anchor two_constants() {
  Anchor anchor;
  anchor.compute_rate = {0.8, 0.75, 0.85, true};
  anchor.link_rate = {0.5, 0.4, 0.6, true};
  anchor.model = "a model";
  anchor.repeat = 0.02;
  anchor.transfer = 0.05;
  anchor.runs.push_back({"tp 2", "0123", "train.log", base::Seconds::of(2.0), base::Seconds::of(1.5),
                         base::Seconds::of(2.0), 50, 0.01});
  return anchor;
}

TEST(ProfileWriter, AnAnchorIsWrittenAndReadBack) {
  ProfileData data = parse_profile(test_data::tiny_profile(), "tiny.yaml").data();
  data.anchor = two_constants();
  const Profile again = parse_profile(write_profile(data), "again.yaml");
  EXPECT_EQ(write_anchor(*again.data().anchor), write_anchor(*data.anchor));
  EXPECT_TRUE(again.data().anchor == data.anchor);
  EXPECT_EQ(again.data().anchor->find("0123")->log, "train.log");
  EXPECT_EQ(again.data().anchor->find("4567"), nullptr);
}

TEST(Anchor, SlowsComputeAndLinksButNotMemory) {
  const Profile bare = parse_profile(test_data::tiny_profile(), "tiny.yaml");
  ProfileData data = bare.data();
  data.anchor = two_constants();
  const Profile anchored(std::move(data));
  const GemmShape product{8192, 8192, 8192, NumberFormat::kBf16, GemmPass::kForward};
  EXPECT_NEAR(anchored.gemm(product).time / bare.gemm(product).time, 1.0 / 0.8, 0.02);
  EXPECT_EQ(anchored.memory_op(MemoryOp::kCopy, base::Bytes::of(1 << 30)).time,
            bare.memory_op(MemoryOp::kCopy, base::Bytes::of(1 << 30)).time);
  const CommEfficiency& before = bare.comm(LinkClass::kNvlink, CollectiveKind::kAllToAll);
  const CommEfficiency& after = anchored.comm(LinkClass::kNvlink, CollectiveKind::kAllToAll);
  EXPECT_DOUBLE_EQ(after.bandwidth_fraction, 0.5 * before.bandwidth_fraction);
  EXPECT_EQ(after.base_latency, before.base_latency);
}

std::string fault_of_anchor(const std::string& section) {
  try {
    parse_profile(test_data::tiny_profile() + section, "tiny.yaml");
  } catch (const base::InputError& error) {
    return error.what();
  }
  return "";
}

TEST(Anchor, FaultsNameWhatWasFound) {
  const std::string tail =
      "  link_rate: {factor: 1, identified: false}\n  band: {repeat: 0.02, transfer: 0.05}\n";
  const std::string run =
      "  runs:\n    - {plan: a, digest: b, log: c, measured: 1 s, before: 1 s, after: 1 s, iterations: 5, "
      "spread: 0.1}\n";
  const std::string head = "anchor:\n  model: m\n  compute_rate: ";
  EXPECT_EQ(fault_of_anchor(head + "{factor: 0.9, identified: true}\n" + tail + run), "");
  EXPECT_NE(fault_of_anchor(head + "{factor: 9, identified: true}\n" + tail + run).find("factor"),
            std::string::npos);
  EXPECT_NE(fault_of_anchor(head + "{factor: 0.9, identified: false}\n" + tail + run)
                .find("found 0.9 of a constant that is not identified, expected 1"),
            std::string::npos);
  EXPECT_NE(fault_of_anchor(head + "{factor: 0.9, identified: true}\n" + tail + "  runs: []\n")
                .find("found no run"),
            std::string::npos);
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
