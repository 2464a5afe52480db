#include "planner/export/torchtitan_recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "planner/export/python_literals.h"
#include "tests/planner/export/jobs.h"
#include "tests/support/input_error.h"

namespace moeplan::planner {
namespace {

using test::plan_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string write(const sim::PlanSpec& plan, const sim::RunSpec& run = test::small_run()) {
  std::vector<ExportRemark> remarks;
  return write_torchtitan_recipe({test::small_model(), run, plan.layout.world()}, plan, remarks);
}

std::vector<std::string> keys_of(const sim::PlanSpec& plan, const sim::RunSpec& run = test::small_run(),
                                 const sim::ModelSpec& model = test::small_model()) {
  return test::rules_of(find_torchtitan_faults({model, run, plan.layout.world()}, plan));
}

PlanImport read(const std::string& text, int gpus = 0) {
  return test::import_small("planned.py", text, gpus);
}

std::string refusal(const std::string& text, int gpus = 0) {
  return test::input_error_of([&] { read(text, gpus); });
}

std::vector<sim::PlanSpec> plans() {
  std::vector<sim::PlanSpec> plans = {plan_of(16, 1, 4, 4, 1, 2), plan_of(16, 2, 2, 8, 2)};
  plans.push_back(plan_of(16, 1, 4, 4));
  plans.back().split.layers_per_chunk = {1, 3, 3, 1};
  plans.push_back(plan_of(16, 1, 2, 4, 2));
  plans.back().stated_schedule = sim::PipelineSchedule::kZeroBubbleV;
  plans.push_back(plan_of(16, 1, 4, 4));
  plans.back().stated_schedule = sim::PipelineSchedule::kGpipe;
  for (sim::PlanSpec& plan : plans) plan.overlap_param_gather = false;
  for (const auto& [sharding, group] :
       {std::pair(sim::DataParallel::kZero2, 0), std::pair(sim::DataParallel::kFsdp, 0),
        std::pair(sim::DataParallel::kHsdp, 8)}) {
    plans.push_back(plan_of(16, 1, 1, 8, 1, 2));
    plans.back().stated_data_parallel = sharding;
    plans.back().shard_group = group;
    plans.back().overlap_param_gather = sim::shards_parameters(sharding);
  }
  for (const auto exchange : {sim::ContextExchange::kP2p, sim::ContextExchange::kAllGather}) {
    plans.push_back(plan_of(16, 2, 1, 8));
    plans.back().layout.cp = 2;
    plans.back().layout.dp = 4;
    plans.back().stated_cp_comm = exchange;
    plans.back().stated_data_parallel = sim::DataParallel::kFsdp;
  }
  plans.push_back(plan_of(16, 4, 1, 4));
  plans.back().layout.sequence_parallel = false;
  plans.back().distributed_optimizer = plans.back().overlap_param_gather = false;
  for (sim::PlanSpec& plan : plans) plan.recompute.mode = sim::RecomputeMode::kFull;
  plans.back().recompute.mode = sim::RecomputeMode::kNone;
  return plans;
}

TEST(TorchtitanRecipe, WhatIsWrittenIsReadBack) {
  for (sim::PlanSpec plan : plans()) {
    SCOPED_TRACE(sim::short_name(plan));
    ASSERT_THAT(keys_of(plan), IsEmpty());
    const PlanImport back = read(write(plan));
    plan.name = "planned";
    plan.framework = "torchtitan";
    EXPECT_EQ(sim::write_plan(back.plan), sim::write_plan(plan));
    EXPECT_EQ(back.gpus, 16);
    EXPECT_EQ(back.global_batch, test::small_run().global_batch);
    EXPECT_EQ(back.seq_len, test::small_run().seq_len);
    EXPECT_THAT(back.not_modelled, IsEmpty());
  }
}

TEST(TorchtitanRecipe, TheTextSetsEveryDegree) {
  // 16 GPUs as PP 2 x DP 8; 64 sequences: 8 a replica, one at a time through the pipeline.
  EXPECT_THAT(write(plan_of(16, 1, 2, 4)),
              HasSubstr("def apply(config):\n"
                        "    config.parallelism.data_parallel_replicate_degree = 1\n"
                        "    config.parallelism.data_parallel_shard_degree = 8\n"
                        "    config.parallelism.fsdp_reshard_after_forward = \"never\"\n"
                        "    config.parallelism.tensor_parallel_degree = 1\n"
                        "    config.parallelism.enable_sequence_parallel = True\n"
                        "    config.parallelism.context_parallel_degree = 1\n"
                        "    config.parallelism.expert_parallel_degree = 4\n"
                        "    config.parallelism.pipeline_parallel_degree = 2\n"
                        "    config.parallelism.pipeline_parallel_schedule = \"1F1B\"\n"
                        "    config.parallelism.pipeline_parallel_microbatch_size = 1\n"
                        "    config.parallelism.pipeline_parallel_first_stage_less_layers = 0\n"
                        "    config.parallelism.pipeline_parallel_last_stage_less_layers = 0\n"
                        "    config.parallelism.pipeline_parallel_layers_per_stage = 4\n"
                        "    config.training.local_batch_size = 8\n"
                        "    config.training.global_batch_size = 64\n"));
}

TEST(TorchtitanRules, EachBrokenRuleIsNamed) {
  sim::PlanSpec plan = plan_of(16, 1, 1, 8);
  plan.layout.etp = 2;
  EXPECT_THAT(keys_of(plan), ElementsAre("expert-tensor-parallel"));
  plan = plan_of(16, 1, 1, 8);
  plan.stated_data_parallel = sim::DataParallel::kHsdp;
  plan.shard_group = 4;
  EXPECT_THAT(keys_of(plan), ElementsAre("ep-divides-shards"));
  plan.shard_group = 6;
  EXPECT_THAT(keys_of(plan), ElementsAre("shard-group", "ep-divides-shards"));
  EXPECT_THAT(keys_of(plan_of(16, 1, 1, 16)), ElementsAre("ep-divides-experts"));
  plan = plan_of(16, 1, 1, 8);
  plan.layout.cp = 2;
  plan.layout.dp = 8;
  plan.stated_cp_comm = sim::ContextExchange::kAllToAll;
  EXPECT_THAT(keys_of(plan), ElementsAre("context-exchange"));
  plan = plan_of(16, 1, 2, 4);
  plan.stated_schedule = sim::PipelineSchedule::kZeroBubbleH1;
  EXPECT_THAT(keys_of(plan), ElementsAre("schedule"));
  EXPECT_THAT(keys_of(plan_of(16, 1, 1, 8, 1, 3)), ElementsAre("batch-divides"));
  plan = plan_of(16, 1, 1, 8);
  plan.placement = {
      "eplb", std::vector<std::vector<std::int32_t>>(8, {0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7})};
  EXPECT_THAT(keys_of(plan), ElementsAre("placement-permutes"));
}

TEST(TorchtitanRules, AJobThatNoPlanHelpsIsNamed) {
  const sim::PlanSpec plan = plan_of(16, 1, 1, 8);
  sim::RunSpec run = test::small_run();
  run.precision.gemm = sim::NumberFormat::kFp8Block;
  run.precision.gradient_reduce = sim::NumberFormat::kBf16;
  run.gate = sim::GatePolicy::kCapacity;
  run.seq_len = 4097;
  sim::ModelSpec model = test::small_model();
  model.mtp_layers = 1;
  EXPECT_THAT(keys_of(plan, run, model),
              ElementsAre("sequence-divides", "mtp", "precision", "gradient-format", "gate"));
}

TEST(TorchtitanRecipe, OtherFormsAreInTheRemarks) {
  sim::PlanSpec plan = plan_of(16, 1, 1, 8);
  plan.recompute = {sim::RecomputeMode::kSelective, {sim::RecomputeModule::kMoeAct}};
  std::vector<ExportRemark> remarks;
  write_torchtitan_recipe({test::small_model(), test::small_run(), 16}, plan, remarks);
  ASSERT_EQ(remarks.size(), 2U);
  EXPECT_EQ(remarks[0].part, "data_parallel");
  EXPECT_EQ(remarks[1].value, "selective [moe_act]");
}

TEST(TorchtitanImport, ARecipeOfSomeoneElseIsRead) {
  const PlanImport out = read(
      "\"\"\"tensor_parallel_degree of the module = 5\"\"\"\n"
      "def run():  # expert_parallel_degree = 3\n"
      "    c = deepseek_v3_16b()\n"
      "    c.parallelism = ParallelismConfig(data_parallel_shard_degree=-1, expert_parallel_degree=8,\n"
      "                                      tensor_parallel_degree=2)\n"
      "    c.training.local_batch_size = 4; c.training.seq_len = 4096\n"
      "    c.comm.mode = \"fake_backend\"\n"
      "    return c\n",
      16);
  EXPECT_EQ(sim::short_name(out.plan), sim::short_name([] {
              sim::PlanSpec plan = plan_of(16, 2, 1, 8, 1, 4);
              plan.recompute = {sim::RecomputeMode::kSelective, {sim::RecomputeModule::kCoreAttn}};
              plan.stated_data_parallel = sim::DataParallel::kFsdp;
              return plan;
            }()));
  EXPECT_EQ(out.global_batch, 32);
  ASSERT_EQ(out.not_modelled.size(), 1U);
  EXPECT_THAT(out.not_modelled[0], HasSubstr("activation_checkpoint.mode selective"));
}

TEST(TorchtitanImport, CheckpointingIsAWordOrAPolicy) {
  const auto mode = [](const std::string& line) {
    return read("p.data_parallel_shard_degree = 16\n" + line + "\n").plan.recompute.mode;
  };
  EXPECT_EQ(mode("c.activation_checkpoint = FullAC.Config(preserve_rng_state=False)"),
            sim::RecomputeMode::kFull);
  EXPECT_EQ(mode("c.activation_checkpoint = None"), sim::RecomputeMode::kNone);
  EXPECT_EQ(mode("c = Config(activation_checkpoint=SelectiveAC.Config())"), sim::RecomputeMode::kSelective);
  EXPECT_EQ(mode("c.activation_checkpoint.mode = \"none\""), sim::RecomputeMode::kNone);
  EXPECT_EQ(mode("print(c.activation_checkpoint)"), sim::RecomputeMode::kSelective);
}

TEST(TorchtitanImport, FaultsAreToldWithTheirPlace) {
  EXPECT_EQ(refusal("p.data_parallel_shard_degree, p.tensor_parallel_degree = 16, 2\n"),
            "planned.py:1:1: error: data_parallel_shard_degree is not set to a plain value\n    in "
            "data_parallel_shard_degree\n"
            "    hint: expressions are not computed; write the number or text itself\n"
            "planned.py:1:31: error: tensor_parallel_degree is not set to a plain value\n    in "
            "tensor_parallel_degree\n"
            "    hint: expressions are not computed; write the number or text itself");
  EXPECT_THAT(refusal("p.tensor_parallel_degree = 2 * n\n"), HasSubstr("is not set to a plain value"));
  EXPECT_THAT(refusal("p.tensor_parallel_degree = 2\n"), HasSubstr("hint: give them with --gpus N"));
  EXPECT_THAT(refusal("p.tensor_parallel_degree = 0\n", 16),
              HasSubstr("planned.py:1:28: error: found \"0\", expected a whole number from 1"));
  EXPECT_THAT(refusal("p.data_parallel_shard_degree = 4\n", 16), HasSubstr("= 4 GPUs, expected 16"));
  EXPECT_THAT(refusal("p.expert_parallel_degree = 3\np.data_parallel_shard_degree = 16\n"),
              HasSubstr("EP 3 does not divide dp_shard 16"));
  EXPECT_THAT(
      refusal("p.data_parallel_shard_degree = 8\np.pipeline_parallel_degree = "
              "2\np.pipeline_parallel_schedule = \"1f1b\"\n"),
      HasSubstr("found \"1f1b\", expected one of 1F1B, DualPipeV, GPipe, Interleaved1F1B, ZBVZeroBubble"));
  EXPECT_THAT(refusal("p.data_parallel_shard_degree = 8\np.pipeline_parallel_degree = "
                      "2\np.module_fqns_per_model_part = [[\"layers.0\"]]\n"),
              HasSubstr("found 1 parts, expected a multiple of PP 2"));
}

TEST(PythonLiterals, ListsTextsAndNoneAreRead) {
  base::DiagnosticSink sink;
  const auto found = read_python_assignments(
      "a.k = [[1, -2], ['x', \"y\\\"z\"],]\nf(k=None)\nif k == 3: pass\n", "a.py", {"k"}, {}, sink);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].path, "a.k");
  EXPECT_EQ(found[0].value.items[0].items[1].text, "-2");
  EXPECT_EQ(found[0].value.items[1].items[1].text, "y\"z");
  EXPECT_TRUE(found[0].value.items[1].items[0].quoted);
  EXPECT_EQ(found[1].value.kind, base::NodeKind::kNull);
  EXPECT_EQ(sink.size(), 1U);  // the comparison is no assignment
}

}  // namespace
}  // namespace moeplan::planner
