#include "planner/export/tutel_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/config_files.h"
#include "tests/planner/export/jobs.h"
#include "tests/support/input_error.h"

namespace moeplan::planner {
namespace {

using test::plan_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string write(const sim::PlanSpec& plan, const sim::RunSpec& run = test::small_run()) {
  return write_tutel_config({test::small_model(), run, plan.layout.world()}, plan,
                            {{0.0, plan.chunk_degree, std::nullopt}});
}

std::vector<std::string> keys_of(const sim::PlanSpec& plan, const sim::RunSpec& run = test::small_run()) {
  return test::rules_of(find_tutel_faults({test::small_model(), run, plan.layout.world()}, plan));
}

PlanImport read(const std::string& text, int gpus = 16) {
  return test::import_small("tutel.json", text, gpus);
}

std::string refusal(const std::string& text, int gpus = 16) {
  return test::input_error_of([&] { read(text, gpus); });
}

TEST(Tutel, WhatALayerHoldsIsReadBack) {
  std::vector<sim::PlanSpec> plans = {plan_of(16, 1, 1, 8), plan_of(16, 1, 1, 4), plan_of(16, 1, 1, 8)};
  plans[1].chunk_degree = 4;
  plans[1].dispatcher = sim::Dispatcher::kTwoLevel;
  plans[2].layout.etp = 2;
  plans[2].layout.edp = 1;
  for (sim::PlanSpec plan : plans) {
    ASSERT_THAT(keys_of(plan), IsEmpty());
    const PlanImport back = read(write(plan));
    plan.name = "tutel";
    plan.framework = "tutel";
    EXPECT_EQ(sim::write_plan(back.plan), sim::write_plan(plan));
  }
  EXPECT_EQ(read(write(plans[1]), 0).gpus, 4);
}

TEST(Tutel, KeywordsAreThoseOfMoeLayer) {
  sim::PlanSpec plan = plan_of(16, 1, 1, 8);
  plan.layout.etp = 2;
  plan.layout.edp = 1;
  sim::RunSpec run = test::small_run();
  run.gate = sim::GatePolicy::kCapacity;
  run.capacity_factor = 1.25;
  EXPECT_EQ(write(plan, run),
            "{\n  \"moe_layer\": {\n    \"gate_type\": {\n      \"type\": \"top\",\n      \"k\": 2,\n      "
            "\"capacity_factor\": 1.25\n    },\n"
            "    \"model_dim\": 1024,\n    \"experts\": {\n      \"type\": \"ffn\",\n      "
            "\"num_experts_per_device\": -2,\n"
            "      \"hidden_size_per_expert\": 512\n    },\n    \"parallel_type\": \"adaptive:2\",\n    "
            "\"a2a_ffn_overlap_degree\": 1,\n"
            "    \"use_2dh\": false\n  },\n  \"capacity_table\": [\n    {\n      \"from\": 0,\n      "
            "\"adaptive_r\": 2,\n"
            "      \"a2a_ffn_overlap_degree\": 1\n    }\n  ]\n}\n");
}

TEST(Tutel, EachBrokenRuleIsNamed) {
  EXPECT_THAT(keys_of(plan_of(16, 1, 1, 16)), ElementsAre("ep-divides-experts"));
  sim::PlanSpec plan = plan_of(16, 1, 1, 4);
  plan.layout.etp = 2;
  EXPECT_THAT(keys_of(plan), ElementsAre("sharded-experts"));
  plan = plan_of(16, 1, 1, 8);
  plan.chunk_degree = 64;
  EXPECT_THAT(keys_of(plan), ElementsAre("chunk-degree"));
  plan.chunk_degree = 2;
  plan.chunk_degree_backward = 4;
  EXPECT_THAT(keys_of(plan), ElementsAre("chunk-degree"));
  plan = plan_of(16, 1, 1, 8);
  plan.dispatcher = sim::Dispatcher::kDeepEp;
  EXPECT_THAT(keys_of(plan), ElementsAre("dispatcher"));
  sim::RunSpec run = test::small_run();
  run.gate = sim::GatePolicy::kForceBalanced;
  EXPECT_THAT(keys_of(plan_of(16, 1, 1, 8), run), ElementsAre("gate"));
}

TEST(Tutel, TheCapacityTableIsSimulated) {
  const topology::Cluster cluster = topology::load_cluster(base::resolve_config("clusters", "hgx-h100-4n"));
  const sim::Profile profile = sim::load_profile(base::resolve_config("profiles", "h100-sxm"));
  const sim::ModelSpec model = test::small_model(2);
  const sim::RunSpec run = test::small_run();
  const auto loads = sim::make_uniform_loads(2, 8, 2);
  const std::vector<CapacityRow> table =
      compute_capacity_table({cluster, profile, model, run, *loads}, plan_of(16, 1, 1, 8));
  ASSERT_FALSE(table.empty());
  EXPECT_EQ(table.front().from, 1.0);
  for (std::size_t i = 0; i < table.size(); ++i) {
    ASSERT_TRUE(table[i].step.has_value());
    if (i == 0) continue;
    EXPECT_GT(table[i].from, table[i - 1].from);
    EXPECT_NE(table[i].overlap_degree, table[i - 1].overlap_degree)
        << "neighbours with the same choice are one row";
    EXPECT_GE(*table[i].step, *table[i - 1].step) << "more capacity is more work";
  }
  // The choice at a row's start is the best of those asked for.
  sim::RunSpec at = run;
  at.gate = sim::GatePolicy::kCapacity;
  at.capacity_factor = 1.0;
  sim::SimulateOptions options;
  options.what_if = false;
  options.max_iterations = 1;
  options.network = sim::NetworkMode::kBound;
  for (const int degree : {1, 2, 4, 8}) {
    sim::PlanSpec plan = plan_of(16, 1, 1, 8);
    plan.chunk_degree = degree;
    EXPECT_LE(*table.front().step,
              sim::simulate_step({cluster, profile, model, at, *loads}, plan, options).result.step_time);
  }
}

TEST(TutelImport, FaultsAreToldWithTheirPlace) {
  const auto layer = [](const std::string& keys) {
    return "{\"moe_layer\": {\"experts\": {\"num_experts_per_device\": " + keys + "}}";
  };
  EXPECT_THAT(refusal(layer("0}")), HasSubstr("tutel.json:1:54: error: found 0, expected experts of a GPU"));
  EXPECT_THAT(refusal(layer("3}")), HasSubstr("3 does not divide the 8 experts of small"));
  EXPECT_THAT(refusal(layer("1}"), 12), HasSubstr("12 GPUs are not a multiple of EP 8 x ETP 1"));
  EXPECT_THAT(refusal(layer("1}, \"parallel_type\": \"data\"")),
              HasSubstr("gathering all experts' weights is not simulated"));
  EXPECT_THAT(refusal(layer("-2}, \"parallel_type\": \"adaptive:1\"")),
              HasSubstr("but 2 GPUs share an expert"));
  EXPECT_THAT(refusal(layer("1}, \"parallel_type\": \"fast\"")),
              HasSubstr("expected adaptive:N, data, model or auto"));
  EXPECT_THAT(refusal(layer("1}, \"a2a_ffn_overlap_degree\": 64")), HasSubstr("found 64, expected 1 to 32"));
  EXPECT_THAT(refusal(layer("1}, \"gate_type\": {\"k\": 4}")), HasSubstr("found 4, but small has top-2"));
  EXPECT_THAT(refusal(layer("1, \"hidden_size_per_expert\": 7}")),
              HasSubstr("found 7, but the experts of small are 512 wide"));
  EXPECT_THAT(test::input_error_of([&] {
                import_plan(layer("1}"), {"tutel.json", 16, nullptr, {}});
              }),
              HasSubstr("hint: name it with --model"));
}

}  // namespace
}  // namespace moeplan::planner
