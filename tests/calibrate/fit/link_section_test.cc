#include "calibrate/fit/link_section.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/diagnostics.h"
#include "calibrate/fit/link_fit.h"
#include "sim/cost/profile.h"
#include "tests/sim/cost/tiny_profile.h"

namespace moeplan::calibrate {
namespace {

using base::BytesPerSecond;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr auto kNvlink = static_cast<std::size_t>(sim::LinkClass::kNvlink);
constexpr auto kNic = static_cast<std::size_t>(sim::LinkClass::kNic);
constexpr auto kAllReduce = static_cast<std::size_t>(sim::CollectiveKind::kAllReduce);

sim::NcclCost links(double share) {
  sim::NcclCost cost;
  cost.of(sim::NcclProtocol::kLl) = {base::Seconds::from_us(5), base::Seconds::from_us(0.8), 0.02};
  cost.of(sim::NcclProtocol::kLl128) = {base::Seconds::from_us(9), base::Seconds::from_us(1.5), 0.4 * share};
  cost.of(sim::NcclProtocol::kSimple) = {base::Seconds::from_us(20), base::Seconds::from_us(5), share};
  cost.channel_rate = BytesPerSecond::from_gb_per_s(20);
  cost.copy_rate = BytesPerSecond::from_gb_per_s(900);
  return cost;
}

DeviceFacts device(const std::string& name, double nvlink, std::vector<std::string> nearest) {
  DeviceFacts facts;
  facts.name = name;
  facts.nvlink = BytesPerSecond::from_gb_per_s(nvlink);
  facts.hbm_bandwidth = BytesPerSecond::from_gb_per_s(4000);
  facts.nearest = std::move(nearest);
  return facts;
}

/// Samples of a machine that is as its model says.
void add(std::vector<Sample>& samples, const std::string& gpu, const sim::NcclModel& model,
         sim::NcclTest test, sim::NcclGroup group, const std::string& cluster = "") {
  for (int power = 10; power <= 32; ++power) {
    Sample sample;
    sample.gpu = gpu;
    CollectiveShape shape{test, group, base::Bytes::of(std::int64_t{1} << power), cluster, std::nullopt};
    if (group.nodes > 1) shape.nic = BytesPerSecond::from_gb_per_s(50);
    sample.time = model.idle_time(sim::collective_kind(test), group, shape.size);
    sample.shape = shape;
    sample.citation = "lab:log";
    samples.push_back(sample);
  }
}

class LinkSectionTest : public ::testing::Test {
 protected:
  LinkSectionTest() : profile_(sim::parse_profile(sim::test_data::tiny_profile(), "tiny.yaml").data()) {
    profile_.name = "ours";
    options_.devices = {device("ours", 300, {"other"}), device("other", 450, {})};
    const auto local = sim::NcclModel::make(links(0.8), 450e9, std::nullopt, 1);
    for (const int ranks : {2, 4}) add(other_, "other", local, sim::NcclTest::kAllGather, {1, ranks});
    add(other_, "other", local, sim::NcclTest::kSendRecv, {1, 4});
  }
  FitReport fit(const std::vector<Sample>& samples) {
    FitReport report;
    fit_link_section(profile_, samples, options_, report);
    return report;
  }

  sim::ProfileData profile_;
  FitOptions options_;
  std::vector<Sample> other_;
};

TEST_F(LinkSectionTest, TakesTheSharesOfTheNearestGpuWhereThereIsNoSampleOfItsOwn) {
  const FitReport report = fit(other_);
  const sim::LinkTable& table = profile_.links[kNvlink];
  EXPECT_DOUBLE_EQ(table.line_rate.gb_per_s(), 300);
  EXPECT_NEAR(table.nccl->of(sim::NcclProtocol::kSimple).share, 0.8, 0.03);
  EXPECT_EQ(table.collectives[kAllReduce].evidence, sim::Evidence::kAssumed);
  EXPECT_THAT(table.source, StartsWith("assumed: shares and steps of other"));
  ASSERT_EQ(report.parts.size(), 1U);
  EXPECT_EQ(report.parts[0].evidence, sim::Evidence::kAssumed);
}

TEST_F(LinkSectionTest, OwnSamplesOfOtherCollectivesOnlyCheckWhatIsAssumed) {
  std::vector<Sample> samples = other_;
  add(samples, "ours", sim::NcclModel::make(links(0.8), 300e9, std::nullopt, 1), sim::NcclTest::kAllReduce,
      {1, 8});
  const FitReport report = fit(samples);
  EXPECT_EQ(report.parts[0].fitted, 0U);
  EXPECT_EQ(report.parts[0].predicted, 8U);  // 32 MiB to 4 GiB
  EXPECT_LT(report.parts[0].predicted_error, 0.1);
  EXPECT_THAT(profile_.links[kNvlink].source,
              HasSubstr("8 samples of this GPU (all_reduce; lab) only check it"));
}

TEST_F(LinkSectionTest, FitsOwnSamplesAndTakesTheChannelRateOfTheNearest) {
  std::vector<Sample> samples = other_;
  const auto model = sim::NcclModel::make(links(0.6), 300e9, std::nullopt, 1);
  for (const int ranks : {2, 4}) add(samples, "ours", model, sim::NcclTest::kAllGather, {1, ranks});
  const FitReport report = fit(samples);
  const sim::LinkTable& table = profile_.links[kNvlink];
  EXPECT_NEAR(table.nccl->of(sim::NcclProtocol::kSimple).share, 0.6, 0.03);
  EXPECT_NEAR(table.nccl->channel_rate.gb_per_s(), 20, 1);
  EXPECT_THAT(table.source, HasSubstr("rate of a channel as on other, assumed"));
  EXPECT_EQ(report.parts[0].evidence, sim::Evidence::kMeasured);
}

TEST_F(LinkSectionTest, AGpuWithoutNvlinkKeepsItsSection) {
  options_.devices[0].nvlink = {};
  const FitReport report = fit(other_);
  EXPECT_TRUE(report.parts.empty());
  EXPECT_THAT(report.kept, ::testing::Contains("links nvlink (this GPU has none)"));
}

TEST_F(LinkSectionTest, TheNicComesFromTheClusterWithMostSamplesAndAnotherGpusIsExtrapolated) {
  std::vector<Sample> samples = other_;
  sim::NcclCost nic = links(0.9);
  nic.channel_rate = BytesPerSecond::from_gb_per_s(14);
  nic.connection_share = 0.85;
  const auto model = sim::NcclModel::make(links(0.8), 450e9, nic, 50e9);
  add(samples, "other", model, sim::NcclTest::kAllGather, {2, 1}, "small");
  for (const int nodes : {2, 4, 8})
    add(samples, "other", model, sim::NcclTest::kAllGather, {nodes, 1}, "large");
  const FitReport report = fit(samples);
  const sim::LinkTable& table = profile_.links[kNic];
  EXPECT_NEAR(table.nccl->of(sim::NcclProtocol::kSimple).share, 0.9, 0.03);
  EXPECT_EQ(table.collectives[kAllReduce].evidence, sim::Evidence::kExtrapolated);
  EXPECT_THAT(table.source, StartsWith("as measured on other, cluster large of 400 Gb/s a GPU"));
  options_.cluster = "small";
  fit(samples);
  EXPECT_THAT(profile_.links[kNic].source, HasSubstr("cluster small"));
  options_.cluster = "none";
  EXPECT_THROW(fit(samples), base::InputError);
}

TEST_F(LinkSectionTest, GivesTheSameForAnyOrderOfSamples) {
  fit(other_);
  const sim::LinkTable first = profile_.links[kNvlink];
  std::vector<Sample> turned(other_.rbegin(), other_.rend());
  fit(turned);
  EXPECT_EQ(profile_.links[kNvlink], first);
}

}  // namespace
}  // namespace moeplan::calibrate
