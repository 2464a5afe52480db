#include "planner/export/deepspeed_config.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/document.h"
#include "planner/export/export_target.h"
#include "tests/planner/export/jobs.h"
#include "tests/support/input_error.h"

namespace moeplan::planner {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

sim::ModelSpec mixtral() {
  sim::ModelSpec model = test::small_model();
  model.architecture = "MixtralForCausalLM";
  return model;
}

std::vector<std::string> keys_of(const sim::PlanSpec& plan, const sim::ModelSpec& model = mixtral(),
                                 const sim::RunSpec& run = test::small_run()) {
  return test::rules_of(find_deepspeed_faults({model, run, plan.layout.world()}, plan));
}

PlanImport read(const std::string& text, int gpus = 0) {
  static const sim::ModelSpec model = mixtral();
  PlanImportOptions options;
  options.file = "ds.json";
  options.gpus = gpus;
  options.model = &model;
  return import_plan(text, options);
}

std::string refusal(const std::string& text, int gpus = 0) {
  return test::input_error_of([&] { read(text, gpus); });
}

std::vector<sim::PlanSpec> plans() {
  std::vector<sim::PlanSpec> plans = {test::plan_of(16, 1, 1, 1), test::plan_of(16, 1, 1, 8, 1, 2),
                                      test::plan_of(16, 2, 1, 4)};
  for (const auto sharding : {sim::DataParallel::kZero2, sim::DataParallel::kZero3}) {
    plans.push_back(test::plan_of(16, 1, 1, 4));
    plans.back().stated_data_parallel = sharding;
  }
  plans.push_back(test::plan_of(16, 1, 1, 4));
  plans.back().distributed_optimizer = plans.back().overlap_grad_reduce = false;
  plans.push_back(test::plan_of(16, 1, 1, 8));
  plans.back().dispatcher = sim::Dispatcher::kDeepEp;
  plans.back().dispatcher_sms = 24;
  return plans;
}

TEST(DeepSpeedConfig, WhatIsWrittenIsReadBack) {
  const sim::ModelSpec model = mixtral();
  const sim::RunSpec run = test::small_run();
  for (const sim::PlanSpec& plan : plans()) {
    ASSERT_THAT(keys_of(plan), IsEmpty()) << sim::short_name(plan);
    const PlanImport back = read(write_deepspeed_config({model, run, 16}, plan));
    sim::ParallelLayout layout = plan.layout;
    layout.sequence_parallel = layout.tp == 1;  // AutoTP has none
    EXPECT_EQ(back.plan.layout, layout);
    EXPECT_EQ(back.plan.micro_batch, plan.micro_batch);
    EXPECT_EQ(back.plan.data_parallel(), plan.data_parallel());
    EXPECT_EQ(back.plan.distributed_optimizer, plan.distributed_optimizer);
    EXPECT_EQ(back.plan.overlap_grad_reduce, plan.overlap_grad_reduce);
    EXPECT_EQ(back.plan.dispatcher, plan.dispatcher);
    EXPECT_EQ(back.plan.dispatcher_sms, plan.dispatcher_sms);
    EXPECT_EQ(back.gpus, 16);
    EXPECT_EQ(back.global_batch, run.global_batch);
    EXPECT_THAT(back.not_modelled, IsEmpty());
  }
}

TEST(DeepSpeedConfig, TheTextIsWhatTheReferenceShows) {
  // 64 sequences on 16 ranks with 2 each: 2 accumulation steps.
  EXPECT_EQ(write_deepspeed_config({mixtral(), test::small_run(), 16}, test::plan_of(16, 1, 1, 4, 1, 2)),
            "{\n  \"train_batch_size\": 64,\n  \"train_micro_batch_size_per_gpu\": 2,\n"
            "  \"gradient_accumulation_steps\": 2,\n  \"bf16\": {\n    \"enabled\": true\n  },\n"
            "  \"communication_data_type\": \"fp32\",\n  \"data_types\": {\n    \"grad_accum_dtype\": "
            "\"fp32\"\n  },\n"
            "  \"zero_optimization\": {\n    \"stage\": 1,\n    \"overlap_comm\": true\n  },\n"
            "  \"expert_parallel\": {\n    \"enabled\": true,\n    \"autoep_size\": 4,\n    "
            "\"preset_model\": \"mixtral\"\n  }\n}\n");
}

TEST(DeepSpeedRules, EachBrokenRuleIsNamed) {
  EXPECT_THAT(keys_of(test::plan_of(16, 1, 2, 4)), ElementsAre("pipeline"));
  EXPECT_THAT(keys_of(test::plan_of(16, 2, 1, 1)), ElementsAre("folding-needs-ep"));
  sim::PlanSpec plan = test::plan_of(16, 2, 1, 4);
  plan.stated_data_parallel = sim::DataParallel::kZero3;
  EXPECT_THAT(keys_of(plan), ElementsAre("folding-zero"));
  plan = test::plan_of(16, 1, 1, 4);
  plan.layout.cp = 2;
  plan.layout.dp = 8;
  EXPECT_THAT(keys_of(plan), ElementsAre("context-parallel"));
  plan = test::plan_of(16, 1, 1, 4);
  plan.layout.etp = 2;
  EXPECT_THAT(keys_of(plan), ElementsAre("expert-tensor-parallel"));
  EXPECT_THAT(keys_of(test::plan_of(16, 1, 1, 16)), ElementsAre("ep-divides-experts"));
  plan = test::plan_of(16, 1, 1, 4);
  plan.stated_data_parallel = sim::DataParallel::kHsdp;
  EXPECT_THAT(keys_of(plan), ElementsAre("sharding"));
  EXPECT_THAT(keys_of(test::plan_of(16, 1, 1, 4, 1, 3)), ElementsAre("batch-divides"));
  plan = test::plan_of(16, 1, 1, 4);
  plan.placement = {"eplb", std::vector<std::vector<std::int32_t>>(8, {0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3})};
  EXPECT_THAT(keys_of(plan), ElementsAre("placement-permutes"));
}

TEST(DeepSpeedRules, AJobThatNoPlanHelpsIsNamed) {
  const sim::PlanSpec plan = test::plan_of(16, 1, 1, 4);
  EXPECT_THAT(keys_of(plan, test::small_model()), ElementsAre("preset"));
  sim::RunSpec run = test::small_run();
  run.precision.gemm = sim::NumberFormat::kMxfp8;
  EXPECT_THAT(keys_of(plan, mixtral(), run), ElementsAre("precision"));
  run = test::small_run();
  run.precision.gradient_reduce = sim::NumberFormat::kMxfp8;
  EXPECT_THAT(keys_of(plan, mixtral(), run), ElementsAre("gradient-format"));
  run = test::small_run();
  run.gate = sim::GatePolicy::kCapacity;
  EXPECT_THAT(keys_of(plan, mixtral(), run), ElementsAre("gate"));
}

TEST(DeepSpeedTarget, WhatRunsOtherwiseIsInTheReport) {
  const sim::ModelSpec model = mixtral();
  const sim::RunSpec run = test::small_run();
  sim::PlanSpec plan = test::plan_of(16, 2, 1, 4);
  plan.recompute.mode = sim::RecomputeMode::kFull;
  plan.dispatcher = sim::Dispatcher::kHybridEp;
  const Exported exported =
      export_plan(*find_export_target("deepspeed"), {plan, &model, &run, 8, nullptr, nullptr, nullptr, {}});
  std::vector<std::string> parts;
  for (const ExportRemark& remark : exported.not_expressed) parts.push_back(remark.part);
  EXPECT_THAT(parts,
              ElementsAre("layout.ep", "dispatcher", "overlap_param_gather", "layout.sequence_parallel",
                          "recompute", "run.seq_len", "run.optimizer", "run.fused_cross_entropy"));
  EXPECT_THAT(exported.next.back(), HasSubstr("gradient checkpointing"));
}

TEST(DeepSpeedTarget, APermutationGoesThroughTheCheckpoint) {
  const sim::ModelSpec model = mixtral();
  const sim::RunSpec run = test::small_run();
  sim::PlanSpec plan = test::plan_of(16, 1, 1, 4);
  plan.placement = {"lpt", std::vector<std::vector<std::int32_t>>(8, {7, 6, 5, 4, 3, 2, 1, 0})};
  const Exported exported =
      export_plan(*find_export_target("deepspeed"), {plan, &model, &run, 8, nullptr, nullptr, nullptr, {}});
  ASSERT_EQ(exported.files.size(), 4U);
  EXPECT_EQ(exported.files[1].name, "expert-permutation.json");
}

TEST(DeepSpeedImport, BatchSizesSayTheGpus) {
  const std::string text =
      "{\"train_batch_size\": 64, \"train_micro_batch_size_per_gpu\": 2, \"gradient_accumulation_steps\": 4,"
      " \"zero_optimization\": {\"stage\": 2}}";
  EXPECT_EQ(read(text).plan.layout.dp, 8);
  EXPECT_EQ(read(text).global_batch, 64);
  EXPECT_EQ(read("{\"train_micro_batch_size_per_gpu\": 2}", 16).global_batch, 32);
  EXPECT_EQ(read("{\"train_batch_size\": 64, \"gradient_accumulation_steps\": 2}", 16).plan.micro_batch, 2);
  EXPECT_EQ(read("{\"train_batch_size\": 64, \"train_micro_batch_size_per_gpu\": 2}", 16).gpus, 16);
  EXPECT_THAT(refusal(text, 16),
              HasSubstr("found 64, expected micro-batch 2 x accumulation 4 x data parallelism 16"));
  EXPECT_THAT(refusal("{\"train_micro_batch_size_per_gpu\": 2}"), HasSubstr("does not say how many GPUs"));
  EXPECT_THAT(refusal("{\"train_micro_batch_size_per_gpu\": \"auto\"}", 16),
              HasSubstr("ds.json:1:36: error: found \"auto\", expected a number"));
  EXPECT_THAT(refusal("{\"bf16\": {}}", 16), HasSubstr("is missing; DeepSpeed asks for it"));
}

TEST(DeepSpeedImport, WhatDeepSpeedRefusesIsRefused) {
  const auto expert = [](const char* keys) {
    return refusal(
        std::string("{\"train_micro_batch_size_per_gpu\": 1, \"expert_parallel\": {\"enabled\": true, ") +
            keys + "}}",
        16);
  };
  EXPECT_THAT(expert("\"autoep_size\": 3"), HasSubstr("3 does not divide the 8 experts"));
  EXPECT_THAT(expert("\"autoep_size\": 4, \"expert_tensor_parallel_size\": 2"), HasSubstr("expected 1"));
  EXPECT_THAT(expert("\"autoep_size\": 4, \"load_balance_coeff\": 0.1"),
              HasSubstr("DeepSpeed refuses this key"));
  EXPECT_THAT(expert("\"autoep_size\": 4, \"preset_model\": \"qwen3_moe\""),
              HasSubstr("which is not for small (MixtralForCausalLM)"));
  EXPECT_THAT(expert("\"autoep_size\": 4, \"comm_backend\": \"deepep\""),
              HasSubstr("without comm_max_tokens_per_rank"));
  EXPECT_THAT(expert("\"autoep_size\": 0"), HasSubstr("found 0, expected 1 to"));
  EXPECT_THAT(refusal("{\"train_micro_batch_size_per_gpu\": 1, \"zero_optimization\": {\"stage\": 4}}", 16),
              HasSubstr("found 4, expected 0 to 3"));
  EXPECT_THAT(
      refusal("{\"train_micro_batch_size_per_gpu\": 1, \"tensor_parallel\": {\"autotp_size\": 3}}", 16),
      HasSubstr("16 GPUs are not a multiple of TP 3"));
}

TEST(DeepSpeedImport, OtherJsonIsSentWhereItBelongs) {
  EXPECT_EQ(refusal("{\"layout\": {}}"),
            "ds.json:1:1: error: found no key of DeepSpeed, Galvatron or Tutel\n"
            "    hint: a moeplan plan needs no import: simulate reads it");
  EXPECT_THAT(refusal("{\"phy2log\": []}"), HasSubstr("moeplan import placement reads it"));
  EXPECT_THAT(refusal("{\"hidden_size\": 1}"), HasSubstr("moeplan import model reads it"));
  EXPECT_THAT(refusal("{}"), HasSubstr("such as train_micro_batch_size_per_gpu"));
}

TEST(DeepSpeedImport, KeysThatNoPlanHoldsAreNamed) {
  const PlanImport out = read(
      "{\"train_micro_batch_size_per_gpu\": 1, \"optimizer\": {}, \"gradient_clipping\": 1.0, "
      "\"compression_training\": {},"
      " \"zero_optimization\": {\"stage\": 3, \"offload_param\": {\"device\": \"cpu\"}}}",
      16);
  EXPECT_EQ(out.without_influence, 2);
  ASSERT_EQ(out.not_modelled.size(), 2U);
  EXPECT_THAT(out.not_modelled[0], HasSubstr("zero_optimization.offload_param"));
  EXPECT_THAT(out.not_modelled[1], HasSubstr("compression_training"));
}

}  // namespace
}  // namespace moeplan::planner
