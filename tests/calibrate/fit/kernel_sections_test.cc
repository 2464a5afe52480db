#include "calibrate/fit/kernel_sections.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/diagnostics.h"
#include "sim/cost/profile.h"
#include "tests/sim/cost/tiny_profile.h"

namespace moeplan::calibrate {
namespace {

sim::ProfileData tiny() { return sim::parse_profile(sim::test_data::tiny_profile(), "tiny.yaml").data(); }

/// Rows of one model at many loads; `scale` tells releases apart.
std::vector<Sample> samples_of(const std::string& software, double scale) {
  std::vector<Sample> samples;
  for (const std::int64_t hidden : {1024, 2048, 3072, 4096}) {
    for (std::int64_t tokens = 1024; tokens <= 16384; tokens += 1024) {
      Sample sample;
      sample.gpu = "tiny";
      sample.software = software;
      sample.citation = "a table";
      sample.shape = GroupedGemmSample{sim::NumberFormat::kBf16,
                                       sim::GroupedKernel::kCutlass,
                                       tokens,
                                       hidden,
                                       1024,
                                       2,
                                       8,
                                       1,
                                       1,
                                       "balanced"};
      sample.time =
          base::Seconds::of(scale * 6.0 * 2.0 * 1024.0 * static_cast<double>(tokens * hidden) / 8e12);
      samples.push_back(sample);
    }
  }
  return samples;
}

FitOptions with_threads(int threads) {
  FitOptions options;
  options.threads = threads;
  return options;
}

TEST(KernelSections, TheNewestReleaseIsFittedWhateverTheOrder) {
  std::vector<Sample> samples = samples_of("Engine 1.9.0, kernel", 3.0);
  for (const Sample& sample : samples_of("Engine 1.10.0, kernel", 1.0)) samples.push_back(sample);
  sim::ProfileData forward = tiny();
  FitReport report;
  fit_grouped_section(forward, samples, with_threads(1), report);
  const auto& table = *forward.grouped[static_cast<std::size_t>(sim::NumberFormat::kBf16)][0];
  EXPECT_EQ(table.origin.software, "Engine 1.10.0, kernel");
  EXPECT_EQ(table.origin.source, "a table");
  EXPECT_EQ(table.origin.evidence, sim::Evidence::kMeasured);
  EXPECT_TRUE(table.is_default);
  std::reverse(samples.begin(), samples.end());
  sim::ProfileData backward = tiny();
  fit_grouped_section(backward, samples, with_threads(2), report);
  EXPECT_TRUE(forward == backward);
}

TEST(KernelSections, AReleaseWithTooFewRowsDoesNotStandInTheWayOfTheOneBefore) {
  std::vector<Sample> samples = samples_of("Engine 2.0", 1.0);
  samples.resize(3);
  for (const Sample& sample : samples_of("Engine 1.0", 1.0)) samples.push_back(sample);
  sim::ProfileData profile = tiny();
  FitReport report;
  fit_grouped_section(profile, samples, with_threads(1), report);
  EXPECT_EQ(profile.grouped[static_cast<std::size_t>(sim::NumberFormat::kBf16)][0]->origin.software,
            "Engine 1.0");
}

TEST(KernelSections, AFormatThatIsLikeAnotherTakesItsNewMechanism) {
  sim::ProfileData profile = tiny();
  FitReport report;
  fit_grouped_section(profile, samples_of("Engine 1.0", 1.0), with_threads(1), report);
  const auto& own = *profile.grouped[static_cast<std::size_t>(sim::NumberFormat::kBf16)][0];
  const auto& like = *profile.grouped[static_cast<std::size_t>(sim::NumberFormat::kFp8Block)][0];
  EXPECT_EQ(like.memory_efficiency, own.memory_efficiency);
  EXPECT_EQ(like.origin.evidence, sim::Evidence::kAssumed);
}

TEST(KernelSections, TooFewRowsAreRefusedWithTheirNumber) {
  std::vector<Sample> samples = samples_of("Engine 1.0", 1.0);
  samples.resize(10);
  sim::ProfileData profile = tiny();
  FitReport report;
  try {
    fit_grouped_section(profile, samples, with_threads(1), report);
    FAIL();
  } catch (const base::InputError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("bf16 grouped GEMM samples (cutlass) of tiny"));
    EXPECT_THAT(error.what(), testing::HasSubstr("expected at least 20"));
  }
}

TEST(KernelSections, WithoutSamplesEverythingIsKeptAndSaidSo) {
  sim::ProfileData profile = tiny();
  FitReport report;
  fit_grouped_section(profile, {}, with_threads(1), report);
  fit_attention_section(profile, {}, 1, report);
  EXPECT_TRUE(profile == tiny());
  EXPECT_THAT(report.kept, testing::ElementsAre("grouped_gemm tables", "grouped_gemm passes",
                                                "attention forward", "attention backward"));
}

}  // namespace
}  // namespace moeplan::calibrate
