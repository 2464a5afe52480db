#include "calibrate/fit/measured_sections.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/cost/profile.h"
#include "tests/sim/cost/tiny_profile.h"

namespace moeplan::calibrate {
namespace {

using ::testing::HasSubstr;

sim::ProfileData tiny() { return sim::parse_profile(sim::test_data::tiny_profile(), "tiny.yaml").data(); }

Sample sample_of(SampleShape shape, base::Seconds time) {
  Sample sample;
  sample.gpu = "tiny";
  sample.software = "by hand";
  sample.citation = "test";
  sample.shape = std::move(shape);
  sample.time = time;
  return sample;
}

/// Products of a GPU whose gradients run at 0.8 and 0.6 of the forward efficiency.
std::vector<Sample> gradients(double data, double weight) {
  sim::ProfileData truth = tiny();
  truth.gemm_passes[static_cast<std::size_t>(sim::GemmPass::kDataGradient)].relative_efficiency = data;
  truth.gemm_passes[static_cast<std::size_t>(sim::GemmPass::kWeightGradient)].relative_efficiency = weight;
  const sim::Profile profile(truth);
  std::vector<Sample> samples;
  for (const std::int64_t m : {512, 1024, 2048, 4096}) {
    for (const std::int64_t n : {1000, 2000, 4000}) {
      for (const auto pass : {sim::GemmPass::kDataGradient, sim::GemmPass::kWeightGradient}) {
        GemmSample s;
        s.shape = {m, n, 2048, sim::NumberFormat::kBf16, pass};
        samples.push_back(sample_of(s, profile.gemm(s.shape).time));
      }
    }
  }
  return samples;
}

TEST(GemmPasses, HandMadeSamplesGiveBackWhatMadeThem) {
  sim::ProfileData profile = tiny();
  FitReport report;
  fit_gemm_passes(profile, gradients(0.8, 0.6), report);
  const auto factor = [&](sim::GemmPass pass) { return profile.gemm_passes[static_cast<std::size_t>(pass)]; };
  EXPECT_NEAR(factor(sim::GemmPass::kDataGradient).relative_efficiency, 0.8, 0.002);
  EXPECT_NEAR(factor(sim::GemmPass::kWeightGradient).relative_efficiency, 0.6, 0.002);
  EXPECT_EQ(factor(sim::GemmPass::kDataGradient).evidence, sim::Evidence::kMeasured);
  EXPECT_NEAR(factor(sim::GemmPass::kWeightGradient).low, 1.0, 0.005);
  EXPECT_THAT(profile.gemm_pass_source, HasSubstr("12 of data_gradient, 12 of weight_gradient"));
}

TEST(GemmPasses, FewSamplesChangeNothing) {
  sim::ProfileData profile = tiny();
  std::vector<Sample> few = gradients(0.8, 0.6);
  few.resize(2 * (kLeastPassSamples - 1));
  FitReport report;
  fit_gemm_passes(profile, few, report);
  EXPECT_EQ(profile.gemm_passes, tiny().gemm_passes);
  ASSERT_EQ(report.remarks.size(), 2U);
  EXPECT_THAT(report.remarks[0], HasSubstr("11 samples"));
}

// HBM of 1 TB/s: share 0.5 and 0.9, floor 4 us.
TEST(MemorySection, HandMadeSamplesGiveBackWhatMadeThem) {
  std::vector<Sample> samples;
  for (const auto& [op, share] : {std::pair(sim::MemoryOp::kNorm, 0.5), {sim::MemoryOp::kAdd, 0.9}}) {
    for (const std::int64_t mib : {1, 4, 64, 256, 1024}) {
      const auto bytes = base::Bytes::of(mib << 20);
      samples.push_back(sample_of(MemorySample{op, std::string(name(op)), bytes},
                                  base::Seconds::of(4e-6 + bytes.as_double() / (share * 1e12))));
    }
  }
  sim::ProfileData profile = tiny();
  const sim::MemoryOpCost copy = profile.memory_ops[static_cast<std::size_t>(sim::MemoryOp::kCopy)];
  FitReport report;
  fit_memory_section(profile, samples, report);
  EXPECT_NEAR(profile.memory_floor_s, 4e-6, 0.05e-6);
  EXPECT_NEAR(profile.memory_ops[static_cast<std::size_t>(sim::MemoryOp::kAdd)].share, 0.9, 0.005);
  EXPECT_EQ(profile.memory_ops[static_cast<std::size_t>(sim::MemoryOp::kAdd)].evidence, sim::Evidence::kMeasured);
  EXPECT_EQ(profile.memory_ops[static_cast<std::size_t>(sim::MemoryOp::kCopy)], copy);
  ASSERT_EQ(report.parts.size(), 1U);
  EXPECT_LT(report.parts[0].fitted_error, 0.01);
}

TEST(MemorySection, AShareOfALibrarysOwnKernelStays) {
  sim::ProfileData profile = tiny();
  sim::MemoryOpCost& norm = profile.memory_ops[static_cast<std::size_t>(sim::MemoryOp::kNorm)];
  norm = {0.4, sim::Evidence::kInterpolated, "a library on this GPU"};
  const sim::MemoryOpCost before = norm;
  FitReport report;
  fit_memory_section(profile, {sample_of(MemorySample{sim::MemoryOp::kNorm, "norm", base::Bytes::of(std::int64_t{1} << 30)},
                                         base::Seconds::from_us(2000))}, report);
  EXPECT_EQ(norm, before);
  ASSERT_EQ(report.remarks.size(), 1U);
  EXPECT_THAT(report.remarks[0], HasSubstr("stays"));
}

}  // namespace
}  // namespace moeplan::calibrate
