#include "planner/export/megatron_deepspeed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "planner/export/export_target.h"
#include "planner/export/launch_files.h"
#include "tests/planner/export/jobs.h"
#include "tests/support/input_error.h"

namespace moeplan::planner {
namespace {

using test::plan_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::vector<std::string> keys_of(const sim::PlanSpec& plan, const sim::ModelSpec& model = test::small_model(),
                                 const sim::RunSpec& run = test::small_run()) {
  return test::rules_of(find_megatron_deepspeed_faults({model, run, plan.layout.world()}, plan));
}

PlanImport read(const std::string& text, int gpus = 16) { return test::import_small("a.args", text, gpus); }

std::string refusal(const std::string& text, int gpus = 16) {
  return test::input_error_of([&] { read(text, gpus); });
}

TEST(MegatronDeepSpeed, WhatIsWrittenIsReadBack) {
  std::vector<sim::PlanSpec> plans = {plan_of(16, 1, 1, 8), plan_of(16, 2, 1, 4, 1, 2), plan_of(16, 1, 1, 4),
                                      plan_of(16, 1, 1, 1)};
  plans[2].stated_data_parallel = sim::DataParallel::kZero2;
  plans[2].recompute.mode = sim::RecomputeMode::kFull;
  plans[3].distributed_optimizer = false;
  const sim::ModelSpec model = test::small_model();
  for (sim::PlanSpec plan : plans) {
    SCOPED_TRACE(sim::short_name(plan));
    ASSERT_THAT(keys_of(plan), IsEmpty());
    plan.overlap_grad_reduce = plan.overlap_param_gather = false;
    const PlanImport back = read(write_megatron_deepspeed_arguments({model, test::small_run(), 16}, plan));
    plan.name = "a";
    plan.framework = "megatron-deepspeed";
    EXPECT_EQ(sim::write_plan(back.plan), sim::write_plan(plan));
    EXPECT_EQ(back.global_batch, 64);
    EXPECT_EQ(back.seq_len, 4096);
    EXPECT_THAT(back.not_modelled, IsEmpty());
  }
}

TEST(MegatronDeepSpeed, ArgumentsHoldTheExpertsAndTheGate) {
  sim::RunSpec run = test::small_run();
  run.gate = sim::GatePolicy::kCapacity;
  run.capacity_factor = 1.5;
  run.router_loss = sim::RouterLoss::kMicroBatch;
  sim::ModelSpec model = test::small_model();
  for (std::size_t l = 0; l < model.layers.size(); l += 2) model.layers[l].ffn = sim::FfnKind::kDense;
  model.dense_ffn = model.expert_ffn;
  const sim::PlanSpec plan = plan_of(16, 1, 1, 8);
  ASSERT_THAT(keys_of(plan, model, run), IsEmpty());
  const std::string text = write_megatron_deepspeed_arguments({model, run, 16}, plan);
  for (const char* line : {"--num-experts 8\n", "--expert-interval 2\n", "--topk 2\n",
                           "--moe-train-capacity-factor 1.5\n", "--moe-expert-parallel-size 8\n",
                           "--no-pipeline-parallel\n", "--num-key-value-heads 4\n", "--zero-stage 1\n"})
    EXPECT_THAT(text, HasSubstr(line));
  EXPECT_THAT(text, Not(HasSubstr("--disable-moe-token-dropping")));
  EXPECT_THAT(text, Not(HasSubstr("--moe-loss-coeff")));
  const std::string json = write_megatron_deepspeed_config({model, run, 16}, plan);
  EXPECT_THAT(json, HasSubstr("\"train_micro_batch_size_per_gpu\": 1"));
  EXPECT_THAT(json, Not(HasSubstr("expert_parallel")));
}

TEST(MegatronDeepSpeed, EachBrokenRuleIsNamed) {
  EXPECT_THAT(keys_of(plan_of(16, 1, 2, 8)), ElementsAre("pipeline"));
  EXPECT_THAT(keys_of(plan_of(16, 4, 1, 8)), ElementsAre("ep-divides-dp"));
  sim::PlanSpec plan = plan_of(16, 1, 1, 4);
  plan.stated_data_parallel = sim::DataParallel::kZero3;
  EXPECT_THAT(keys_of(plan), ElementsAre("sharding"));
  plan = plan_of(16, 1, 1, 4);
  plan.recompute.mode = sim::RecomputeMode::kSelective;
  EXPECT_THAT(keys_of(plan), ElementsAre("recompute"));
  sim::ModelSpec model = test::small_model();
  model.layers[0].ffn = sim::FfnKind::kDense;
  model.dense_ffn = 4096;
  EXPECT_THAT(keys_of(plan_of(16, 1, 1, 4), model), ElementsAre("expert-interval", "one-width"));
  model = test::small_model();
  model.shared_ffn = 64;
  model.mtp_layers = 1;
  model.groups = 2;
  model.head_dim = 128;
  EXPECT_THAT(keys_of(plan_of(16, 1, 1, 4), model),
              ElementsAre("shared-experts", "mtp", "routing-groups", "head-width"));
}

TEST(MegatronDeepSpeed, TheTargetWritesThemOrSaysWhyNot) {
  sim::ModelSpec model = test::small_model();
  model.architecture = "MixtralForCausalLM";
  const sim::RunSpec run = test::small_run();
  const auto write = [&](const sim::PlanSpec& plan) {
    return export_plan(*find_export_target("deepspeed"),
                       {plan, &model, &run, 8, nullptr, nullptr, nullptr, {}});
  };
  const Exported both = write(plan_of(16, 1, 1, 8));
  ASSERT_EQ(both.files.size(), 3U);
  EXPECT_EQ(both.files[1].name, "megatron-deepspeed.args");
  const Exported one = write(plan_of(16, 4, 1, 8));
  ASSERT_EQ(one.files.size(), 1U);
  EXPECT_THAT(one.next, ::testing::Contains(
                            HasSubstr("no arguments of Megatron-DeepSpeed: EP 8 does not divide DP 4")));
}

TEST(MegatronDeepSpeedImport, FaultsAreTold) {
  EXPECT_THAT(refusal("--zero-stage 1", 0), HasSubstr("hint: give it with --gpus N"));
  EXPECT_THAT(refusal("--zero-stage 3"), HasSubstr("found 3, expected 0 to 2"));
  EXPECT_THAT(refusal("--moe-expert-parallel-size 3"),
              HasSubstr("16 GPUs on TP 1 are not a multiple of EP 3"));
  EXPECT_THAT(refusal("--moe-expert-parallel-size 16"),
              HasSubstr("16 does not divide the 8 experts of small"));
  EXPECT_THAT(refusal("--zero-stage 1 --pipeline-model-parallel-size 2"),
              HasSubstr("expected 1: DeepSpeed's pipelines"));
  EXPECT_THAT(refusal("--zero-stage 1 --global-batch-size 30"),
              HasSubstr("30 sequences are not a multiple of DP 16"));
  EXPECT_THAT(read("--zero-stage 1 --use-tutel").not_modelled, ElementsAre(HasSubstr("--use-tutel")));
}

TEST(RankTableImport, TheLayoutComesBackAsAPlan) {
  const sim::PlanSpec plan = plan_of(16, 2, 2, 4);
  const RankOrder order = make_rank_order(plan, {"a", "b"}, 8);
  const std::string table = write_rank_table(order, plan.layout);
  EXPECT_EQ(read(table, 0).plan.layout, plan.layout);
  EXPECT_EQ(refusal(table, 8), "error: --gpus 8: a.args has 16 ranks");
}

}  // namespace
}  // namespace moeplan::planner
