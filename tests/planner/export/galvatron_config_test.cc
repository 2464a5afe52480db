#include "planner/export/galvatron_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/planner/export/jobs.h"
#include "tests/support/input_error.h"

namespace moeplan::planner {
namespace {

using test::plan_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string write(const sim::PlanSpec& plan) {
  std::vector<ExportRemark> remarks;
  return write_galvatron_config({test::small_model(), test::small_run(), plan.layout.world()}, plan, remarks);
}

std::vector<std::string> keys_of(const sim::PlanSpec& plan,
                                 const sim::ModelSpec& model = test::small_model()) {
  return test::rules_of(find_galvatron_faults({model, test::small_run(), plan.layout.world()}, plan));
}

PlanImport read(const std::string& text, int gpus = 16) {
  return test::import_small("galvatron.json", text, gpus);
}

std::string refusal(const std::string& text, int gpus = 16) {
  return test::input_error_of([&] { read(text, gpus); });
}

std::vector<sim::PlanSpec> plans() {
  std::vector<sim::PlanSpec> plans = {plan_of(16, 1, 1, 8), plan_of(16, 2, 2, 4), plan_of(16, 1, 4, 4, 1, 2)};
  plans.push_back(plan_of(16, 1, 4, 4));
  plans.back().split.layers_per_chunk = {1, 3, 3, 1};
  plans.push_back(plan_of(16, 1, 2, 4));
  plans.back().stated_schedule = sim::PipelineSchedule::kGpipe;
  plans.back().recompute.mode = sim::RecomputeMode::kFull;
  plans.push_back(plan_of(16, 2, 1, 4));
  plans.back().layout.cp = 2;
  plans.back().layout.dp = 4;
  plans.back().layout.etp = plans.back().layout.edp = 2;
  plans.back().stated_cp_comm = sim::ContextExchange::kP2p;
  for (sim::PlanSpec& plan : plans) {
    plan.distributed_optimizer = plan.overlap_param_gather = false;
  }
  for (const auto sharding : {sim::DataParallel::kZero2, sim::DataParallel::kZero3}) {
    plans.push_back(plan_of(16, 1, 1, 8));
    plans.back().stated_data_parallel = sharding;
    plans.back().overlap_param_gather = sharding == sim::DataParallel::kZero3;
  }
  return plans;
}

TEST(GalvatronConfig, WhatIsWrittenIsReadBack) {
  for (sim::PlanSpec plan : plans()) {
    SCOPED_TRACE(sim::short_name(plan));
    ASSERT_THAT(keys_of(plan), IsEmpty());
    const PlanImport back = read(write(plan));
    plan.name = plan.framework = "galvatron";
    EXPECT_EQ(sim::write_plan(back.plan), sim::write_plan(plan));
    EXPECT_EQ(back.global_batch, test::small_run().global_batch);
    EXPECT_THAT(back.not_modelled, IsEmpty());
  }
}

TEST(GalvatronConfig, LayersAreTextsWithCommas) {
  const std::string text = write(plan_of(16, 2, 2, 4));
  // 8 layers in two stages; 64 sequences on DP 4: 16 micro-batches.
  for (const char* line :
       {"\"pp_deg\": 2,", "\"tp_sizes_enc\": \"2,2,2,2,2,2,2,2\",", "\"ep_sizes_enc\": \"4,4,4,4,4,4,4,4\",",
        "\"tp_of_ep_sizes_enc\": \"1,1,1,1,1,1,1,1\"", "\"global_bsz\": 64,", "\"chunks\": 16,",
        "\"pp_division\": \"4,4\",", "\"pipeline_type\": \"pipedream_flush\",",
        "\"default_dp_type\": \"zero2\","})
    EXPECT_THAT(text, HasSubstr(line));
}

TEST(GalvatronRules, EachBrokenRuleIsNamed) {
  EXPECT_THAT(keys_of(plan_of(16, 1, 2, 4, 2)), ElementsAre("virtual-stages", "schedule"));
  sim::PlanSpec plan = plan_of(16, 1, 2, 4);
  plan.stated_schedule = sim::PipelineSchedule::kZeroBubbleH1;
  EXPECT_THAT(keys_of(plan), ElementsAre("schedule"));
  EXPECT_THAT(keys_of(plan_of(16, 1, 1, 16)), ElementsAre("ep-divides-experts"));
  plan = plan_of(16, 1, 1, 8);
  plan.stated_data_parallel = sim::DataParallel::kHsdp;
  EXPECT_THAT(keys_of(plan), ElementsAre("sharding"));
  plan = plan_of(16, 1, 1, 8);
  plan.layout.cp = 2;
  plan.layout.dp = 8;
  EXPECT_THAT(keys_of(plan), ElementsAre("context-exchange"));
  plan = plan_of(16, 1, 1, 8);
  plan.recompute.mode = sim::RecomputeMode::kSelective;
  EXPECT_THAT(keys_of(plan), ElementsAre("recompute"));
  EXPECT_THAT(keys_of(plan_of(16, 1, 1, 8, 1, 3)), ElementsAre("batch-divides"));
  plan = plan_of(16, 1, 2, 4);
  plan.split.layers_per_chunk = {4, 5};
  EXPECT_THAT(keys_of(plan), ElementsAre("layout-adds-up"));
  sim::ModelSpec model = test::small_model();
  model.mtp_layers = 1;
  EXPECT_THAT(keys_of(plan_of(16, 1, 1, 8), model), ElementsAre("mtp"));
}

TEST(GalvatronConfig, Zero1IsSaidToRunAsZero2) {
  std::vector<ExportRemark> remarks;
  write_galvatron_config({test::small_model(), test::small_run(), 16}, plan_of(16, 1, 1, 8), remarks);
  ASSERT_EQ(remarks.size(), 1U);
  EXPECT_THAT(remarks[0].done, HasSubstr("other form: zero2"));
}

TEST(GalvatronImport, FaultsAreToldWithTheirPlace) {
  const std::string ones = "\"1,1,1,1,1,1,1,1\"";
  const auto with = [&ones](const std::string& more) {
    return "{\"pp_deg\": 1, \"tp_sizes_enc\": " + ones + ", \"global_bsz\": 64, \"chunks\": 4" + more + "}";
  };
  EXPECT_EQ(read(with("")).plan.layout.dp, 16);
  EXPECT_THAT(refusal(with(""), 0), HasSubstr("hint: give them with --gpus N"));
  EXPECT_THAT(refusal(with(""), 24), HasSubstr("64 sequences are no multiple of DP 24 x 4 micro-batches"));
  EXPECT_THAT(refusal(with(", \"ep_sizes_enc\": \"1,2,1,1,1,1,1,1\"")),
              HasSubstr("layers differ, and a plan has one value for all"));
  EXPECT_THAT(refusal(with(", \"ep_sizes_enc\": \"1,1\"")),
              HasSubstr("found 2 layers, but tp_sizes_enc has 8"));
  EXPECT_THAT(refusal(with(", \"ep_sizes_enc\": \"1,x\"")),
              HasSubstr("expected whole numbers from 1 with commas between"));
  EXPECT_THAT(refusal(with(", \"ep_sizes_enc\": \"5,5,5,5,5,5,5,5\"")),
              HasSubstr("16 GPUs are not a multiple of EP 5"));
  EXPECT_THAT(refusal(with(", \"pp_division\": \"4,4\"")),
              HasSubstr("2 stages with 8 layers in all, expected 1 with 8"));
  EXPECT_THAT(refusal(with(", \"use_sp\": " + ones)), HasSubstr("Ulysses in place of tensor parallelism"));
  EXPECT_THAT(refusal(with(", \"tp_consecutive_flags\": \"0,0,0,0,0,0,0,0\"")), HasSubstr("not neighbours"));
  EXPECT_THAT(refusal("{\"pp_deg\": 1, \"tp_sizes_enc\": \"1,1\", \"global_bsz\": 64, \"chunks\": 4}"),
              HasSubstr("galvatron.json:1:31: error: found 2 layers, but small has 8"));
  EXPECT_THAT(refusal("{\"pp_deg\": 0}"), HasSubstr("found 0, expected 1 to"));
  EXPECT_THAT(read(with(", \"vtp\": 2, \"other\": 1")).not_modelled,
              ElementsAre(HasSubstr("vtp 2"), HasSubstr("other")));
}

}  // namespace
}  // namespace moeplan::planner
