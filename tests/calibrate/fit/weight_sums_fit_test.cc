// Samples made from known constants give them back.
#include "calibrate/fit/weight_sums_fit.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/cost/profile.h"
#include "tests/sim/cost/tiny_profile.h"

namespace moeplan::calibrate {
namespace {

using sim::GemmPass;
using sim::WeightResult;

struct Truth {
  double share, exposed, efficiency, hbm;
};

constexpr double kWidth = 2048.0 * 4096.0;

Sample sample(const std::string& gpu, GemmPass pass, std::int64_t tokens, double seconds,
              WeightResult result) {
  Sample s;
  s.gpu = gpu;
  s.software = "a stack";
  const sim::GemmShape forward{tokens, 4096, 2048};
  const sim::GemmShape gradient{2048, 4096, tokens, sim::NumberFormat::kBf16, pass, result};
  s.shape = GemmSample{pass == GemmPass::kForward ? forward : gradient};
  s.time = base::Seconds::of(seconds);
  return s;
}

/// A product takes 1 us a token; sums decide up to 256 tokens, are seen in part up to 2,048 and hide beyond.
/// Every size of `tokens` with each of `results`.
std::vector<Sample> pairs(const std::string& gpu, const Truth& truth,
                          WeightResult result = WeightResult::kAddFp32,
                          const std::vector<std::int64_t>& all = {64, 128, 256, 512, 1024, 2048, 4096, 8192,
                                                                  16384}) {
  std::vector<Sample> samples;
  for (const std::int64_t tokens : all) {
    const auto t = static_cast<double>(tokens);
    const double traffic = kWidth * sim::bytes_moved(result) / (truth.hbm * truth.share);
    const double seen = truth.exposed * std::min(1.0, 2048.0 / t) * traffic;
    const double forward = (tokens <= 256 ? traffic / 4.0 : t * 1e-6);
    double gradient = forward + seen;
    if (tokens <= 256) gradient = traffic;
    if (tokens >= 4096) gradient = forward / truth.efficiency + seen;
    samples.push_back(sample(gpu, GemmPass::kForward, tokens, forward, result));
    samples.push_back(sample(gpu, GemmPass::kWeightGradient, tokens, gradient, result));
  }
  return samples;
}

sim::ProfileData profile(const std::string& name) {
  sim::ProfileData data = sim::parse_profile(sim::test_data::tiny_profile(), "tiny.yaml").data();
  data.name = name;
  return data;
}

DeviceFacts device(const std::string& name, double hbm, const std::vector<std::string>& nearest) {
  DeviceFacts d;
  d.name = name;
  d.hbm_bandwidth = base::BytesPerSecond::of(hbm);
  d.nearest = nearest;
  return d;
}

const sim::PassFactor& pass(const sim::ProfileData& data) {
  return data.gemm_passes[static_cast<std::size_t>(GemmPass::kWeightGradient)];
}

constexpr Truth kTruth{0.5, 0.25, 0.9, 1e12};

TEST(WeightSumsFit, GivesTheConstantsBackThatThePairsWereMadeFrom) {
  for (const WeightResult result : {WeightResult::kAddFp32, WeightResult::kAddBf16}) {
    sim::ProfileData data = profile("tiny");
    FitReport report;
    fit_weight_sums(data, pairs("tiny", kTruth, result), {}, report);
    ASSERT_TRUE(data.sums);
    EXPECT_DOUBLE_EQ(data.sums->share, 0.5);
    EXPECT_DOUBLE_EQ(data.sums->exposed, 0.25);
    EXPECT_EQ(data.sums->evidence, sim::Evidence::kInterpolated);
    EXPECT_EQ(data.sums->source, "a stack: weight gradients beside forward products on tiny");
    EXPECT_DOUBLE_EQ(pass(data).relative_efficiency, 0.9);
    ASSERT_EQ(report.parts.size(), 1u);
    EXPECT_EQ(report.parts[0].what, "weight_sums (share 0.5, exposed 0.25)");
  }
}

TEST(WeightSumsFit, AMeasuredEfficiencyStays) {
  sim::ProfileData data = profile("tiny");
  data.gemm_passes[static_cast<std::size_t>(GemmPass::kWeightGradient)].evidence = sim::Evidence::kMeasured;
  FitReport report;
  fit_weight_sums(data, pairs("tiny", kTruth), {}, report);
  EXPECT_DOUBLE_EQ(pass(data).relative_efficiency, 0.5);
  EXPECT_DOUBLE_EQ(data.sums->exposed, 0.25);
}

TEST(WeightSumsFit, TheNearestGpuWithPairsStandsForOneWithout) {
  const Truth near{0.4, 0.5, 0.8, 2e12}, far{0.8, 0.125, 1.0, 4e12};
  const std::vector<DeviceFacts> devices{device("mine", 1e12, {"none-pcie", "near-sxm", "far-sxm"}),
                                         device("near-sxm", 2e12, {}), device("far-sxm", 4e12, {})};
  std::vector<Sample> samples = pairs("near-pcie", near);
  for (const Sample& s : pairs("far-sxm", far)) samples.push_back(s);
  sim::ProfileData data = profile("mine");
  FitReport report;
  fit_weight_sums(data, samples, devices, report);
  ASSERT_TRUE(data.sums);
  EXPECT_DOUBLE_EQ(data.sums->share, 0.4);
  EXPECT_DOUBLE_EQ(data.sums->exposed, 0.5);
  EXPECT_EQ(data.sums->evidence, sim::Evidence::kAssumed);
  EXPECT_THAT(data.sums->source, testing::EndsWith("on near-pcie, assumed here"));
}

TEST(WeightSumsFit, WithoutANearGpuTheGeometricMeanStands) {
  const Truth one{0.4, 0.5, 0.8, 2e12}, other{0.9, 0.125, 0.9, 4e12};
  const std::vector<DeviceFacts> devices{device("one", 2e12, {}), device("other", 4e12, {})};
  std::vector<Sample> samples = pairs("one", one);
  for (const Sample& s : pairs("other", other)) samples.push_back(s);
  sim::ProfileData data = profile("mine");
  FitReport report;
  fit_weight_sums(data, samples, devices, report);
  ASSERT_TRUE(data.sums);
  EXPECT_DOUBLE_EQ(data.sums->share, 0.6);                  // sqrt(0.4 * 0.9)
  EXPECT_DOUBLE_EQ(data.sums->exposed, 0.25);               // sqrt(0.5 * 0.125)
  EXPECT_DOUBLE_EQ(pass(data).relative_efficiency, 0.849);  // sqrt(0.8 * 0.9)
}

TEST(WeightSumsFit, WhatOnlyWritesOrHasNoMemoryFiguresIsNoPair) {
  sim::ProfileData data = profile("tiny");
  FitReport report;
  fit_weight_sums(data, pairs("tiny", kTruth, WeightResult::kWriteBf16), {}, report);
  fit_weight_sums(data, pairs("unknown", kTruth), {}, report);
  fit_weight_sums(data, pairs("tiny", kTruth, WeightResult::kAddFp32, {64, 512, 1024, 8192}), {}, report);
  EXPECT_FALSE(data.sums);
  EXPECT_DOUBLE_EQ(pass(data).relative_efficiency, 0.5);
  EXPECT_EQ(report.kept,
            (std::vector<std::string>{"gemm weight_sums", "gemm weight_sums", "gemm weight_sums"}));
}

TEST(WeightSumsFit, WithoutPairsOfFewTokensTheShareStays) {
  sim::ProfileData data = profile("tiny");
  data.sums = sim::WeightSums{0.5, 0.1, sim::Evidence::kAssumed, "by hand"};
  FitReport report;
  fit_weight_sums(data, pairs("tiny", kTruth, WeightResult::kAddFp32, {512, 1024, 2048, 8192}), {}, report);
  EXPECT_DOUBLE_EQ(data.sums->share, 0.5);
  EXPECT_DOUBLE_EQ(data.sums->exposed, 0.25);
}

TEST(WeightSumsFit, SaysWhatASampleHoldsOfSums) {
  sim::ProfileData data = profile("tiny");
  data.sums = sim::WeightSums{0.5, 0.25, sim::Evidence::kAssumed, "by hand"};
  const double traffic = kWidth * 8.0 / 0.5e12;
  const auto seen = [&](GemmPass p, std::int64_t tokens, WeightResult result) {
    return seen_of_sums(data, {}, sample("tiny", p, tokens, 1.0, result));
  };
  EXPECT_DOUBLE_EQ(seen(GemmPass::kWeightGradient, 512, WeightResult::kAddFp32), 0.25 * traffic);
  EXPECT_DOUBLE_EQ(seen(GemmPass::kWeightGradient, 4096, WeightResult::kAddBf16), 0.0625 * traffic);
  EXPECT_DOUBLE_EQ(seen(GemmPass::kForward, 512, WeightResult::kAddFp32), 0.0);
  EXPECT_DOUBLE_EQ(seen(GemmPass::kWeightGradient, 512, WeightResult::kWriteBf16), 0.0);
}

TEST(WeightSumsFit, SamplesKeepWhatBecomesOfTheResult) {
  std::vector<Sample> samples{sample("tiny", GemmPass::kWeightGradient, 512, 1.0, WeightResult::kAddFp32),
                              sample("tiny", GemmPass::kWeightGradient, 512, 1.0, WeightResult::kAddBf16),
                              sample("tiny", GemmPass::kWeightGradient, 512, 1.0, WeightResult::kWriteBf16)};
  GroupedProductSample grouped{sim::NumberFormat::kBf16, GemmPass::kWeightGradient, 4, 512, 256, 128,
                               WeightResult::kAddBf16};
  samples.push_back(samples[0]);
  samples.back().shape = grouped;
  const std::string text = write_samples(samples);
  EXPECT_EQ(text.find("result"), text.find("result\": \"add_bf16\""));  // fp32 sums are not spelt out
  const std::vector<Sample> read = parse_samples(text, "samples.jsonl");
  ASSERT_EQ(read.size(), 4u);
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_EQ(std::get<GemmSample>(read[i].shape).shape.result,
              std::get<GemmSample>(samples[i].shape).shape.result);
  EXPECT_EQ(std::get<GroupedProductSample>(read[3].shape).result, WeightResult::kAddBf16);
}

}  // namespace
}  // namespace moeplan::calibrate
