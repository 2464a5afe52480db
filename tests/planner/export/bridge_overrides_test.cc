#include "planner/export/bridge_overrides.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "planner/export/bridge_keys.h"
#include "planner/export/megatron_arguments.h"
#include "tests/planner/export/jobs.h"
#include "tests/support/input_error.h"

namespace moeplan::planner {
namespace {

using test::plan_of;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::vector<sim::PlanSpec> plans() {
  std::vector<sim::PlanSpec> plans = {plan_of(16, 1, 1, 1), plan_of(16, 2, 2, 4, 2),
                                      plan_of(16, 1, 4, 4, 1, 2)};
  plans.push_back(plan_of(16, 1, 2, 8));
  plans.back().recompute.mode = sim::RecomputeMode::kFull;
  plans.push_back(plan_of(16, 4, 2, 2));
  plans.back().recompute = {sim::RecomputeMode::kSelective,
                            {sim::RecomputeModule::kMoeAct, sim::RecomputeModule::kLayernorm}};
  plans.push_back(plan_of(16, 1, 4, 4));
  plans.back().split.layers_per_chunk = {1, 3, 3, 1};
  plans.push_back(plan_of(16, 1, 2, 2, 2));
  plans.back().split.layers_per_chunk = {1, 3, 3, 1};
  plans.push_back(plan_of(16, 1, 2, 2));
  plans.back().distributed_optimizer = plans.back().overlap_param_gather = plans.back().overlap_grad_reduce =
      false;
  plans.push_back(plan_of(16, 1, 2, 8));
  plans.back().dispatcher = sim::Dispatcher::kDeepEp;
  plans.back().dispatcher_sms = 24;
  plans.push_back(plan_of(16, 1, 2, 8));
  plans.back().dispatcher = sim::Dispatcher::kHybridEp;
  for (const auto& [sharding, group] :
       {std::pair(sim::DataParallel::kZero2, 0), std::pair(sim::DataParallel::kFsdp, 0),
        std::pair(sim::DataParallel::kHsdp, 8)}) {
    plans.push_back(plan_of(16, 1, 1, 8));
    plans.back().stated_data_parallel = sharding;
    plans.back().shard_group = group;
  }
  for (const auto exchange : {sim::ContextExchange::kP2p, sim::ContextExchange::kAllToAllP2p}) {
    plans.push_back(plan_of(16, 1, 1, 8));
    plans.back().layout.cp = plans.back().layout.dp = 4;
    plans.back().stated_cp_comm = exchange;
    if (exchange == sim::ContextExchange::kAllToAllP2p) plans.back().cp_a2a_size = 2;
  }
  plans.push_back(plan_of(16, 2, 1, 4));
  plans.back().layout.etp = plans.back().layout.edp = 2;
  plans.push_back(plan_of(16, 1, 2, 8, 2));
  plans.back().overlap = {false, true, true, false};
  plans.push_back(plan_of(16, 2, 1, 8));
  plans.back().offload.layers = 7;
  return plans;
}

std::string write(const sim::PlanSpec& plan, const sim::RunSpec& run = test::small_run()) {
  std::vector<ExportRemark> remarks;
  return write_bridge_overrides({test::small_model(), run, 16}, plan, remarks);
}

PlanImport read(const std::string& text, int gpus = 16) {
  return test::import_small("overrides.yaml", text, gpus);
}

std::string refusal(const std::string& text) {
  return test::input_error_of([&] { read(text); });
}

TEST(BridgeOverrides, WhatIsWrittenIsReadBack) {
  for (const sim::PlanSpec& plan : plans()) {
    SCOPED_TRACE(sim::short_name(plan));
    const PlanImport back = read(write(plan));
    EXPECT_THAT(back.not_modelled, IsEmpty());
    EXPECT_EQ(back.global_batch, test::small_run().global_batch);
    EXPECT_EQ(back.seq_len, test::small_run().seq_len);
    sim::PlanSpec want = plan;
    want.name = "overrides";
    if (want.data_parallel() == sim::DataParallel::kNone) want.stated_data_parallel.reset();
    EXPECT_EQ(sim::write_plan(back.plan), sim::write_plan(want));
  }
}

TEST(BridgeOverrides, EveryMegatronArgumentHasItsKey) {
  sim::RunSpec run = test::small_run();
  run.gate = sim::GatePolicy::kCapacity;
  run.capacity_factor = 1.5;
  run.router_loss = sim::RouterLoss::kSequence;
  run.graph.attention = run.graph.router = true;
  run.gradients = {false, true};
  run.fusion.accumulation = false;
  const std::string text = write(plan_of(16, 1, 1, 4), run);
  for (const char* line :
       {"  moe_expert_capacity_factor: 1.5\n", "  moe_pad_expert_input_to_capacity: true\n",
        "  moe_router_load_balancing_type: \"seq_aux_loss\"\n", "  cuda_graph_impl: \"transformer_engine\"\n",
        "  cuda_graph_scope: [\"attn\", \"moe_router\", \"moe_preprocess\"]\n",
        "  check_for_nan_in_grad: false\n", "  check_for_nan_in_loss: false\n",
        "  average_in_collective: true\n", "  gradient_accumulation_fusion: false\n",
        "  te_rng_tracker: true\n", "mixed_precision: bf16_mixed\n"})
    EXPECT_THAT(text, HasSubstr(line));
}

TEST(BridgeOverrides, WhatAPlanDoesNotUseIsSwitchedOff) {
  const std::string text = write(plan_of(16, 1, 1, 4));
  for (const char* line :
       {"  virtual_pipeline_model_parallel_size: null\n", "  pipeline_model_parallel_layout: null\n",
        "  sequence_parallel: false\n", "  recompute_granularity: null\n",
        "  moe_shared_expert_overlap: false\n", "  cuda_graph_impl: \"none\"\n", "  cpu_offloading: false\n",
        "  moe_router_load_balancing_type: \"none\"\n"})
    EXPECT_THAT(text, HasSubstr(line));
  EXPECT_THAT(text, Not(HasSubstr("cpu_offloading_num_layers")));
}

TEST(BridgeOverrides, AFlagStandsInOneListAlone) {
  for (const BridgeKey& key : bridge_keys()) {
    EXPECT_FALSE(is_of_recipe(key.flag)) << key.flag;
    EXPECT_FALSE(is_of_precision(key.flag)) << key.flag;
  }
}

TEST(BridgeOverrides, PrecisionThatYamlCannotSayIsInTheRemarks) {
  sim::RunSpec run = test::small_run();
  run.precision.gemm = sim::NumberFormat::kFp8Tensor;
  run.precision.gradient_reduce = sim::NumberFormat::kBf16;
  run.precision.optimizer_bytes_per_parameter = 8;
  std::vector<ExportRemark> remarks;
  const std::string text =
      write_bridge_overrides({test::small_model(), run, 16}, plan_of(16, 1, 1, 4), remarks);
  EXPECT_THAT(text, HasSubstr("mixed_precision: bf16_with_fp8_current_scaling_mixed\n"));
  EXPECT_THAT(text, HasSubstr("  use_precision_aware_optimizer: true\n  exp_avg_dtype: torch.bfloat16\n  "
                              "exp_avg_sq_dtype: torch.bfloat16\n"));
  ASSERT_EQ(remarks.size(), 3U);
  EXPECT_EQ(remarks[0].part, "run.precision.gradient_reduce");
  EXPECT_THAT(remarks[1].done, HasSubstr("gathers in fp8"));
  EXPECT_THAT(remarks[2].done, HasSubstr("first and the last layer in bf16"));
}

TEST(BridgeOverrides, MegatronsRulesHold) {
  EXPECT_THAT(test::input_error_of([] { write(plan_of(16, 1, 1, 16)); }), HasSubstr("[ep-divides-experts]"));
}

TEST(BridgeImport, AReferenceExampleIsRead) {
  sim::ModelSpec model = test::small_model(61);
  model.mtp_layers = 1;
  const PlanImport out = import_plan(
      "model: {tensor_model_parallel_size: 2, sequence_parallel: true, pipeline_model_parallel_size: 8,\n"
      "        virtual_pipeline_model_parallel_size: 4, pipeline_model_parallel_layout: \"Et|(tt|)*30mL\",\n"
      "        expert_model_parallel_size: 8, expert_tensor_parallel_size: 1, moe_token_dispatcher_type: "
      "flex}\n"
      "train: {global_batch_size: 8192, micro_batch_size: 1}\n",
      {"ds.yaml", 1024, &model, {}});
  EXPECT_EQ(sim::short_name(out.plan), "TP2 PP8 VP4 EP8 DP64 mb1 deepep");
  EXPECT_EQ(out.plan.split.layers_per_chunk.size(), 32U);
  EXPECT_EQ(out.global_batch, 8192);
}

TEST(BridgeImport, CommOverlapHoldsOverTheOthers) {
  EXPECT_FALSE(read("train: {micro_batch_size: 1}\nddp: {overlap_grad_reduce: true}\ncomm_overlap: "
                    "{overlap_grad_reduce: false}\n")
                   .plan.overlap_grad_reduce);
}

TEST(BridgeImport, FaultsAreToldWithTheirPlace) {
  EXPECT_EQ(
      refusal("model:\n  sequence_parallel: maybe\n"),
      "overrides.yaml:2:22: error: found \"maybe\", expected true or false\n    in model.sequence_parallel");
  EXPECT_THAT(refusal("model:\n  tensor_model_parallel_size: 3\ntrain: {micro_batch_size: 1}\n"),
              HasSubstr("overrides.yaml:2:31: error: 16 GPUs are not a multiple of TP 3"));
  EXPECT_THAT(refusal("train: {micro_batch_size: 1}\noptimizer:\n  exp_avg_dtype: int4\n"),
              HasSubstr("found \"int4\", expected torch.float32"));
  EXPECT_THAT(refusal("model:\n  tensor_model_parallel_size: [1]\n"),
              HasSubstr("found a list, expected one value"));
  EXPECT_THAT(refusal("model:\n  tensor_model_parallel_size: 1\nmixed_precision: fp3\n"),
              HasSubstr("found \"fp3\", expected one of bf16_mixed"));
  EXPECT_THAT(refusal("model:\n  pipeline_model_parallel_size: 2\n  virtual_pipeline_model_parallel_size: 3\n"
                      "  pipeline_model_parallel_layout: Ett|tt|tt|ttL\ntrain: {micro_batch_size: 1}\n"),
              HasSubstr("overrides.yaml:3:41: error: found 3, but the pipeline layout has 2 stages a rank"));
}

TEST(BridgeImport, KeysThatNoPlanHoldsAreNamed) {
  const PlanImport out = read(
      "model: {tensor_model_parallel_size: 1, num_layers: 8}\ntrain: {micro_batch_size: 1, train_iters: 5}\n"
      "logger: {log_interval: 1}\n");
  ASSERT_EQ(out.not_modelled.size(), 1U);
  EXPECT_THAT(out.not_modelled[0], HasSubstr("model.num_layers"));
  EXPECT_EQ(out.without_influence, 2);
}

}  // namespace
}  // namespace moeplan::planner
