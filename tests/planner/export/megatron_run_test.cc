#include "planner/export/megatron_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "planner/export/megatron_arguments.h"
#include "planner/export/megatron_import.h"
#include "tests/planner/export/jobs.h"

namespace moeplan::planner {
namespace {

using sim::NumberFormat;
using test::plan_of;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// Runs as Megatron arguments can say them; the name and stack are those that the import gives.
std::vector<sim::RunSpec> runs() {
  sim::RunSpec base = test::small_run();
  base.stack = "Megatron-Core";
  std::vector<sim::RunSpec> all{base};
  for (const NumberFormat format :
       {NumberFormat::kFp8Tensor, NumberFormat::kFp8Block, NumberFormat::kMxfp8, NumberFormat::kNvfp4}) {
    all.push_back(base);
    all.back().precision.gemm = format;
    if (format != NumberFormat::kNvfp4) all.back().precision.parameter_gather = format;
  }
  all.push_back(base);
  all.back().precision.gradient_reduce = NumberFormat::kBf16;
  all.back().precision.optimizer_bytes_per_parameter = 8;
  all.back().fused_cross_entropy = false;
  all.push_back(base);
  all.back().gate = sim::GatePolicy::kCapacity;
  all.back().capacity_factor = 1.25;
  all.back().router_loss = sim::RouterLoss::kSequence;
  all.push_back(base);
  all.back().gate = sim::GatePolicy::kForceBalanced;
  all.back().router_loss = sim::RouterLoss::kGlobal;
  all.back().gradients = {false, true};
  all.back().fusion.accumulation = false;
  for (const sim::GraphScope graph : {sim::GraphScope{true, false, false},
                                      {false, true, false},
                                      {true, true, false},
                                      {false, false, true}}) {
    all.push_back(base);
    all.back().graph = graph;
    all.back().gradients.check = !graph.whole_step;
  }
  return all;
}

TEST(MegatronRun, ExportedRunsReadBackTheSame) {
  for (const sim::RunSpec& run : runs()) {
    const sim::ModelSpec model = test::small_model();
    const std::string text =
        write_argument_lines(write_megatron_arguments({model, run, 16}, plan_of(16, 1, 2, 8)));
    SCOPED_TRACE(text);
    const MegatronRun back = import_megatron_run(text, "run.args", {});
    EXPECT_EQ(back.run, run);
    EXPECT_THAT(back.not_modelled, IsEmpty());
    EXPECT_THAT(back.notes, IsEmpty());
    EXPECT_EQ(sim::parse_run(sim::write_run(back.run), "run.yaml"), run);
    EXPECT_THAT(import_megatron_plan(text, {"run.args", 16, &model, {}}).not_modelled, IsEmpty());
  }
}

MegatronRun read(const std::string& more) {
  return import_megatron_run("--global-batch-size 64 --seq-length 4096 --bf16 " + more, "a.sh", {});
}

std::string fault_of(const std::string& text) {
  try {
    import_megatron_run(text, "a.sh", {});
  } catch (const base::InputError& error) {
    return error.what();
  }
  return "no fault";
}

TEST(MegatronRun, DefaultsAreMegatrons) {
  EXPECT_EQ(read("").run.precision.gradient_reduce, NumberFormat::kFp32);
  const sim::RunSpec fp16 =
      import_megatron_run("--global-batch-size 8 --seq-length 128 --fp16", "a.sh", {}).run;
  EXPECT_EQ(fp16.precision.gradient_reduce, NumberFormat::kFp16);
  // The loss has no weight unless a coefficient gives it one.
  EXPECT_EQ(read("").run.router_loss, sim::RouterLoss::kNone);
  EXPECT_EQ(read("--moe-aux-loss-coeff 1e-2").run.router_loss, sim::RouterLoss::kMicroBatch);
  EXPECT_EQ(read("--moe-aux-loss-coeff 0 --moe-router-load-balancing-type seq_aux_loss").run.router_loss,
            sim::RouterLoss::kNone);
  EXPECT_EQ(read("--use-precision-aware-optimizer --exp-avg-dtype fp8 --exp-avg-sq-dtype bf16")
                .run.precision.optimizer_bytes_per_parameter,
            7);
  EXPECT_EQ(read("--optimizer sgd").run.precision.optimizer_bytes_per_parameter, 8);
  EXPECT_FALSE(read("").run.fused_cross_entropy);
}

TEST(MegatronRun, GraphsOfAllReleasesAreRead) {
  const sim::GraphScope parts{true, true, false};
  EXPECT_EQ(read("--cuda-graph-impl transformer_engine --cuda-graph-scope attn,moe_router,moe_preprocess")
                .run.graph,
            parts);
  EXPECT_EQ(read("--cuda-graph-impl local --cuda-graph-modules attn moe_router").run.graph, parts);
  EXPECT_TRUE(read("--cuda-graph-impl full_iteration").run.graph.whole_step);
  EXPECT_FALSE(read("--cuda-graph-scope attn").run.graph.any());
  const MegatronRun mlp = read("--cuda-graph-impl transformer_engine --cuda-graph-scope attn mlp");
  EXPECT_TRUE(mlp.run.graph.attention);
  EXPECT_THAT(mlp.not_modelled, ElementsAre("--cuda-graph-scope mlp: its launches are counted"));
}

TEST(MegatronRun, WhatARunFileCannotSayIsNamed) {
  EXPECT_THAT(read("--moe-expert-capacity-factor 1.5").not_modelled,
              ElementsAre(HasSubstr("without --moe-pad-expert-input-to-capacity")));
  EXPECT_THAT(read("--fp8-format hybrid").not_modelled, ElementsAre(HasSubstr("--fp8-recipe delayed")));
  EXPECT_THAT(read("--moe-router-load-balancing-type sinkhorn").not_modelled,
              ElementsAre(HasSubstr("sinkhorn")));
  EXPECT_THAT(read("--reset-attention-mask").notes, ElementsAre(HasSubstr("`documents`")));
}

TEST(MegatronRun, FaultsHaveTheirPlaces) {
  EXPECT_THAT(fault_of("--bf16"), HasSubstr("--global-batch-size is missing"));
  EXPECT_THAT(fault_of("--bf16"), HasSubstr("--seq-length is missing"));
  const std::string head = "--global-batch-size 64 --seq-length 4096\n";
  EXPECT_THAT(fault_of(head + "--fp8-format e4m3 --fp8-recipe rowwise"), HasSubstr("a.sh:2:32"));
  EXPECT_THAT(fault_of(head + "--cuda-graph-impl te"), HasSubstr("found \"te\""));
  EXPECT_THAT(fault_of(head + "--cuda-graph-impl local --cuda-graph-scope attention"),
              HasSubstr("found \"attention\""));
  EXPECT_THAT(fault_of(head + "--cuda-graph-impl transformer_engine --cuda-graph-scope full_iteration"),
              HasSubstr("expected local"));
  EXPECT_THAT(fault_of(head + "--enable-cuda-graph"), HasSubstr("--cuda-graph-impl"));
  EXPECT_THAT(fault_of(head + "--moe-expert-capacity-factor nan"), HasSubstr("expected a number from 0"));
  EXPECT_THAT(fault_of(head + "--moe-expert-capacity-factor 0"), HasSubstr("expected a positive factor"));
  EXPECT_THAT(fault_of(head + "--optimizer lion"), HasSubstr("found \"lion\""));
  EXPECT_THAT(fault_of(head + "--use-precision-aware-optimizer --exp-avg-dtype int8"),
              HasSubstr("found \"int8\""));
  EXPECT_THAT(fault_of(head + "--moe-router-load-balancing-type even"), HasSubstr("found \"even\""));
}

}  // namespace
}  // namespace moeplan::planner
