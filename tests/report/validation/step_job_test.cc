#include "report/validation/step_job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "report/validation/profile_shelf.h"
#include "report/validation/stack_rates.h"
#include "report/validation/step_prediction.h"

namespace moeplan::report {
namespace {

using sim::RecomputeModule;
using testing::ElementsAre;

TEST(Precision, WordsOfTheTablesAreRecipes) {
  EXPECT_EQ(parse_precision("bf16")->gemm, sim::NumberFormat::kBf16);
  EXPECT_EQ(parse_precision("fp8_cs")->gemm, sim::NumberFormat::kFp8Tensor);
  EXPECT_EQ(parse_precision("mxfp8")->gemm, sim::NumberFormat::kMxfp8);
  EXPECT_EQ(parse_precision("nvfp4")->gemm, sim::NumberFormat::kNvfp4);
  EXPECT_FALSE(parse_precision("fp6"));
}

TEST(Recompute, ModulesAreSortedAndUnknownOnesRefused) {
  std::vector<std::string> notes;
  EXPECT_EQ(parse_recompute("none", notes)->mode, sim::RecomputeMode::kNone);
  EXPECT_EQ(parse_recompute("full", notes)->mode, sim::RecomputeMode::kFull);
  const auto selective = parse_recompute("selective:layernorm+moe_act+shared_expert", notes);
  ASSERT_TRUE(selective);
  EXPECT_THAT(selective->modules, ElementsAre(RecomputeModule::kMoeAct, RecomputeModule::kLayernorm,
                                              RecomputeModule::kSharedExperts));
  EXPECT_TRUE(notes.empty());
  EXPECT_FALSE(parse_recompute("selective:mamba", notes));
  EXPECT_FALSE(parse_recompute("unknown", notes));
}

TEST(Recompute, AStandInIsSaid) {
  std::vector<std::string> notes;
  EXPECT_TRUE(parse_recompute("selective:torchtitan_selective_op", notes));
  EXPECT_EQ(notes.size(), 1U);
}

/// Qwen3-30B-A3B on 16 H100, as Megatron-Bridge publishes it with and without pairs of micro-batches.
StepRow row_with(const std::string& release, const std::string& overlap, const std::string& assumed = "") {
  StepRow row;
  row.name = "e2e/steps.csv#1";
  row.release = release;
  row.model = "qwen3-30b-a3b";
  row.gpu = "H100";
  row.cluster = "dgx-h100";
  row.moe = true;
  row.gpus = 16;
  row.seq_len = 4096;
  row.global_batch = 128;
  row.ep = 16;
  row.precision = "bf16";
  row.recompute = "none";
  row.dispatcher = "hybridep";
  row.a2a_overlap = overlap;
  row.cuda_graph = "none";
  row.routing = "forced_balance";
  row.assumed = assumed;
  return row;
}

// NVIDIA's performance recipes delay weight gradients where they overlap all-to-alls; its experiments do not.
TEST(StepJob, OverlapOfARowIsSimulated) {
  const Corpus corpus({own_corpus()});
  const Selection selection;
  ProfileShelf profiles;
  const Context context{corpus, selection, profiles, 1};
  StepJobs jobs(context);
  const auto overlap_of = [&](const StepRow& row) { return jobs.build(row).job->plan.overlap; };
  EXPECT_EQ(overlap_of(row_with("nemo-26.04", "1")), (sim::LayerOverlap{false, true, true}));
  EXPECT_EQ(overlap_of(row_with("megatron-bridge-skills", "1")), (sim::LayerOverlap{false, true, false}));
  EXPECT_EQ(overlap_of(row_with("nemo-26.04", "0")), sim::LayerOverlap{});
  EXPECT_FALSE(jobs.build(row_with("nemo-26.04", "0", "cluster")).job->overlap_open);
  EXPECT_TRUE(jobs.build(row_with("nemo-26.04", "0", "cluster;a2a_overlap")).job->overlap_open);
}

// Llama 3 70B on 64 GB200, as NeMo publishes it; more layers than the model has are a reason, as Megatron's
// would be.
TEST(StepJob, OffloadOfARowIsSimulated) {
  const Corpus corpus({own_corpus()});
  const Selection selection;
  ProfileShelf profiles;
  const Context context{corpus, selection, profiles, 1};
  StepJobs jobs(context);
  StepRow row = row_with("nemo-26.04", "0");
  row.model = "llama3-70b";
  row.gpu = "GB200";
  row.cluster = "gb200-nvl72";
  row.moe = false;
  row.gpus = 64;
  row.seq_len = 8192;
  row.global_batch = 256;
  row.micro_batch = 2;
  row.ep = 1;
  row.precision = "fp8_cs";
  row.dispatcher = row.routing = "";
  row.fsdp = true;
  row.offloaded_layers = 40;
  const StepJobOrReason built = jobs.build(row);
  ASSERT_TRUE(built.job) << built.why;
  EXPECT_EQ(built.job->plan.offload.layers, 40);
  EXPECT_THAT(built.job->notes, testing::Contains("activations of 40 layers wait in host memory"));
  EXPECT_GT(predict_step(*built.job).time, base::Seconds());
  row.offloaded_layers = 80;
  EXPECT_THAT(jobs.build(row).why, testing::HasSubstr("cpu_offloading_num_layers 80 with num_layers 80"));
}

// With pairs the band goes up to what it would be without them, and down where a row leaves it open.
TEST(StepJob, WhatAnOverlapHidesOpensTheBand) {
  const Corpus corpus({own_corpus()});
  const Selection selection;
  ProfileShelf profiles;
  const Context context{corpus, selection, profiles, 1};
  StepJobs jobs(context);
  const auto predict = [&](StepRow row) {
    row.cuda_graph = "full_iteration";  // else the host decides
    return predict_step(*jobs.build(row).job);
  };
  const StepPrediction plain = predict(row_with("r", "0"));
  const StepPrediction pairs = predict(row_with("r", "1"));
  const StepPrediction open = predict(row_with("r", "0", "a2a_overlap"));
  EXPECT_LT(pairs.time, plain.time);
  EXPECT_EQ(open.time, plain.time);
  EXPECT_GT(pairs.band.high, plain.time.s());
  EXPECT_LT(open.band.low, plain.band.low);
  EXPECT_LE(open.band.low, pairs.time.s());
}

TEST(StackRates, BelongToAStackOnAGpu) {
  const std::vector<StackRate> rates{{"B200", "stack-v1", 0.9, 16}};
  EXPECT_EQ(compute_rate_of(rates, "B200", "stack-v1.2"), 0.9);
  EXPECT_EQ(compute_rate_of(rates, "H100", "stack-v1.2"), 1.0);
  EXPECT_EQ(compute_rate_of(rates, "B200", "stack-v10"), 1.0);
  for (const StackRate& shipped : load_stack_rates()) EXPECT_GE(shipped.rows, 8) << shipped.stack;
}

TEST(ProfileShelf, AStackComputesAtItsOwnRate) {
  ProfileShelf shelf;
  const sim::Profile* own = shelf.find_sustained("b200-sxm");
  const sim::Profile* slow = shelf.find_sustained("b200-sxm", 0.5);
  EXPECT_EQ(shelf.find_sustained("b200-sxm", 0.5), slow);
  const sim::GemmShape shape{8192, 8192, 8192, sim::NumberFormat::kBf16, sim::GemmPass::kForward};
  EXPECT_NEAR(slow->gemm(shape).time / own->gemm(shape).time, 2.0, 0.1);
}

TEST(Evidence, OfAStepIsTheWorstLevelThatHoldsATenth) {
  using sim::Evidence;
  EXPECT_EQ(summarise({0.95, 0.0, 0.0, 0.05}, Evidence::kMeasured), Evidence::kMeasured);
  EXPECT_EQ(summarise({0.5, 0.1, 0.3, 0.1}, Evidence::kMeasured), Evidence::kAssumed);
  EXPECT_EQ(summarise({0.6, 0.4, 0.0, 0.0}, Evidence::kMeasured), Evidence::kInterpolated);
  EXPECT_EQ(summarise({1.0, 0.0, 0.0, 0.0}, Evidence::kExtrapolated), Evidence::kExtrapolated);
}

}  // namespace
}  // namespace moeplan::report
