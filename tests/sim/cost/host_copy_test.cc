#include "sim/cost/host_copy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/cost/profile_data.h"
#include "sim/cost/profile_writer.h"
#include "tests/sim/cost/tiny_profile.h"
#include "tests/support/input_error.h"

namespace moeplan::sim {
namespace {

using testing::HasSubstr;

std::string with_section(const std::string& section) {
  return test_data::tiny_profile_with("device:\n", "host_copy: " + section + "\ndevice:\n");
}

std::string error_with(const std::string& section) {
  return test::input_error_of([&] { parse_profile(with_section(section), "tiny.yaml"); });
}

TEST(HostCopy, AProfileOfAnUnknownGpuHasNone) {
  EXPECT_FALSE(parse_profile(test_data::tiny_profile(), "tiny.yaml").data().host_copy);
  EXPECT_FALSE(published_host_copy("tiny"));
}

TEST(HostCopy, TheSectionOfAProfileReadsBackTheSame) {
  const Profile profile = parse_profile(with_section("{evidence: measured, source: by hand, to_host: 20 "
                                                     "GB/s, to_device: 25 GB/s, shared_by: 2, low: 0.9, "
                                                     "high: 1.2}"),
                                        "tiny.yaml");
  ASSERT_TRUE(profile.data().host_copy);
  const HostCopy& copy = *profile.data().host_copy;
  EXPECT_DOUBLE_EQ(copy.to_host.gb_per_s(), 20.0);
  EXPECT_DOUBLE_EQ(copy.to_device.gb_per_s(), 25.0);
  EXPECT_EQ(copy.shared_by, 2);
  EXPECT_EQ(copy.evidence, Evidence::kMeasured);
  EXPECT_DOUBLE_EQ(copy.low, 0.9);
  EXPECT_DOUBLE_EQ(copy.high, 1.2);
  EXPECT_TRUE(parse_profile(write_profile(profile.data()), "again.yaml").data() == profile.data());
}

// What is published is known by the profile's name and stands in no file.
TEST(HostCopy, PublishedRatesAreNotWritten) {
  ProfileData data = parse_profile(test_data::tiny_profile(), "tiny.yaml").data();
  data.name = "h100-sxm";
  data.host_copy = published_host_copy(data.name);
  ASSERT_TRUE(data.host_copy);
  EXPECT_DOUBLE_EQ(data.host_copy->to_host.gb_per_s(), 55.1);
  const std::string text = write_profile(data);
  EXPECT_EQ(text.find("host_copy"), std::string::npos);
  EXPECT_TRUE(parse_profile(text, "again.yaml").data() == data);
}

TEST(HostCopy, EveryPublishedRateHasASourceAndABand) {
  for (const char* name : {"a100-sxm", "h100-sxm", "h200-sxm", "h200-sxm.measured", "h800-sxm", "b200-sxm",
                           "b300-sxm", "gb200", "gb300"}) {
    const auto copy = published_host_copy(name);
    ASSERT_TRUE(copy) << name;
    EXPECT_GT(copy->to_host.gb_per_s(), 0.0) << name;
    EXPECT_LE(copy->low, 1.0) << name;
    EXPECT_GE(copy->high, 1.0) << name;
    EXPECT_FALSE(copy->source.empty()) << name;
  }
}

TEST(HostCopy, FaultsSayWhatWasExpected) {
  const std::string rates = "to_host: 20 GB/s, to_device: 25 GB/s";
  EXPECT_THAT(error_with("{evidence: measured, " + rates + "}"), HasSubstr("key \"source\" is missing"));
  EXPECT_THAT(error_with("{evidence: measured, source: x, to_host: 20, to_device: 25 GB/s}"),
              HasSubstr("\"20\" has no unit, expected a data rate"));
  EXPECT_THAT(error_with("{evidence: measured, source: x, to_host: 0 GB/s, to_device: 25 GB/s}"),
              HasSubstr("found zero or less, expected more than zero"));
  EXPECT_THAT(error_with("{evidence: measured, source: x, " + rates + ", shared_by: 0}"),
              HasSubstr("found 0, expected 1 or more GPUs"));
  EXPECT_THAT(error_with("{evidence: measured, source: x, " + rates + ", low: 2}"),
              HasSubstr("found a band from 2 to 1, expected 0 < low <= high"));
}

}  // namespace
}  // namespace moeplan::sim
