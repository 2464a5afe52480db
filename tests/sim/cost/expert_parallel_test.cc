#include "sim/cost/expert_parallel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/cost/profile.h"
#include "sim/cost/profile_data.h"
#include "tests/sim/cost/tiny_profile.h"
#include "tests/support/input_error.h"

namespace moeplan::sim {
namespace {

using ::testing::HasSubstr;

ExpertParallelTable sample() {
  EpConstants c;
  c.start = base::Seconds::from_us(24.5);
  c.copy = base::Seconds::from_ns(60);
  c.send = base::BytesPerSecond::from_gb_per_s(27);
  c.contention = 0.0045;
  c.nvlink_share = 0.7;
  c.low = 0.9;
  c.high = 1.1;
  c.default_sms = 20;
  c.evidence = Evidence::kMeasured;
  c.source = "a table: with a colon";
  ExpertParallelTable table;
  table.set(EpLibrary::kDeepEp, EpOperation::kDispatch, c);
  return table;
}

TEST(ExpertParallelTable, WrittenAndReadAgainIsTheSame) {
  const std::string text = write_expert_parallel(sample());
  const Profile profile = parse_profile(test_data::tiny_profile() + text, "tiny.yaml");
  const EpConstants* c = profile.data().expert_parallel.find(EpLibrary::kDeepEp, EpOperation::kDispatch);
  ASSERT_NE(c, nullptr);
  EXPECT_NEAR(c->start.us(), 24.5, 1e-9);
  EXPECT_NEAR(c->copy.us(), 0.06, 1e-12);
  EXPECT_NEAR(c->send.gb_per_s(), 27, 1e-9);
  EXPECT_EQ(c->default_sms, 20);
  EXPECT_EQ(c->source, "a table: with a colon");
  EXPECT_EQ(write_expert_parallel(profile.data().expert_parallel), text);
  EXPECT_EQ(profile.data().expert_parallel.find(EpLibrary::kHybridEp, EpOperation::kDispatch), nullptr);
}

TEST(ExpertParallelTable, OfNothingIsNoText) { EXPECT_EQ(write_expert_parallel({}), ""); }

std::string error_with(const std::string& entry) {
  return test::input_error_of(
      [&] { parse_profile(test_data::tiny_profile() + "expert_parallel:\n" + entry, "tiny.yaml"); });
}

TEST(ExpertParallelTable, FaultsAreNamed) {
  const std::string rest = ", evidence: assumed, source: s, low: 0.9, high: 1.1}\n";
  const std::string good = "  - {library: deepep, operation: combine" + rest;
  EXPECT_THAT(error_with("  - {library: deepap, operation: combine" + rest), HasSubstr("deepap"));
  EXPECT_THAT(error_with(good + good), HasSubstr("deepep combine stands twice"));
  EXPECT_THAT(error_with("  - {library: deepep, operation: combine, nic_share: 1.5" + rest),
              HasSubstr("expected a share above 0 and up to 1"));
  EXPECT_THAT(error_with("  - {library: deepep, operation: combine, send: 27" + rest),
              HasSubstr("has no unit"));
  EXPECT_THAT(error_with("  - {library: deepep, operation: combine, sendd: 27 GB/s" + rest),
              HasSubstr("unknown key \"sendd\""));
  EXPECT_THAT(
      error_with(
          "  - {library: deepep, operation: combine, evidence: assumed, source: s, low: 2, high: 1}\n"),
      HasSubstr("0 < low <= high"));
}

// 20 of 100 SMs: products take 100/80; 4 touches of 50 GB/s on an HBM of 1,000 GB/s: 1.2.
TEST(Interference, IsTheShareOfSmsAndOfHbm) {
  EXPECT_DOUBLE_EQ(Interference::compute_factor(20, 100), 1.25);
  EXPECT_DOUBLE_EQ(Interference::compute_factor(0, 100), 1.0);
  Interference interference;
  interference.hbm_touches = 4;
  EXPECT_DOUBLE_EQ(interference.memory_factor(base::BytesPerSecond::from_gb_per_s(50),
                                              base::BytesPerSecond::from_gb_per_s(1000)),
                   1.2);
}

}  // namespace
}  // namespace moeplan::sim
