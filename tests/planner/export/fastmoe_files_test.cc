#include "planner/export/fastmoe_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "planner/export/placement_import.h"
#include "tests/planner/export/jobs.h"
#include "tests/support/corpus.h"
#include "tests/support/input_error.h"

namespace moeplan::planner {
namespace {

using test::plan_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// As FastMoE runs it: no sharding, nothing overlapped, Megatron without sequence parallelism.
sim::PlanSpec fast(sim::PlanSpec plan) {
  plan.distributed_optimizer = plan.overlap_grad_reduce = plan.overlap_param_gather = false;
  plan.layout.sequence_parallel = plan.layout.tp == 1;
  return plan;
}

std::string write(const sim::PlanSpec& plan, const sim::RunSpec& run = test::small_run()) {
  std::vector<ExportRemark> remarks;
  return write_fastmoe_script({test::small_model(), run, plan.layout.world()}, plan, 8, remarks);
}

std::vector<std::string> keys_of(const sim::PlanSpec& plan, const sim::RunSpec& run = test::small_run()) {
  return test::rules_of(find_fastmoe_faults({test::small_model(), run, plan.layout.world()}, plan));
}

PlanImport read(const std::string& text, int gpus = 16) {
  return test::import_small("fastmoe.sh", text, gpus);
}

std::string refusal(const std::string& text, int gpus = 16) {
  return test::input_error_of([&] { read(text, gpus); });
}

TEST(FastMoe, WhatIsWrittenIsReadBack) {
  std::vector<sim::PlanSpec> plans = {fast(plan_of(16, 1, 1, 8)), fast(plan_of(16, 2, 1, 4, 1, 2)),
                                      fast(plan_of(16, 1, 4, 4)), fast(plan_of(16, 1, 1, 8))};
  plans.back().chunk_degree = 2;
  for (sim::PlanSpec plan : plans) {
    SCOPED_TRACE(sim::short_name(plan));
    ASSERT_THAT(keys_of(plan), IsEmpty());
    const PlanImport back = read(write(plan));
    plan.name = plan.framework = "fastmoe";
    EXPECT_EQ(sim::write_plan(back.plan), sim::write_plan(plan));
    EXPECT_EQ(back.global_batch, test::small_run().global_batch);
    EXPECT_EQ(back.seq_len, test::small_run().seq_len);
    EXPECT_THAT(back.not_modelled, IsEmpty());
  }
}

TEST(FastMoe, TheScriptHoldsVariablesAndFlags) {
  sim::PlanSpec plan = fast(plan_of(16, 1, 1, 8));
  plan.chunk_degree = 4;
  sim::RunSpec run = test::small_run();
  run.gate = sim::GatePolicy::kCapacity;
  run.capacity_factor = 1.5;
  // 8 experts on 8 ranks; four pieces are groups of two neighbours.
  EXPECT_THAT(write(plan, run),
              HasSubstr("export FMOE_FASTER_SCHEDULE_ENABLE=1\nexport FMOE_FASTER_GROUP_SIZE=2\n"
                        "export FMOE_FASTER_SHADOW_ENABLE=0\nexport FMOE_TOPO_GPUS_PER_NODE=8\n"
                        "FASTMOE_ARGS=(\n  --fmoefy\n  --num-experts 1\n  --top-k 2\n"
                        "  --hidden-hidden-size 512\n  --expert-ep-size 8\n  --expert-dp-size 2\n"
                        "  --balance-strategy gshard\n  --gshard-cap 1.5\n"));
}

TEST(FastMoe, EachBrokenRuleIsNamed) {
  EXPECT_THAT(keys_of(fast(plan_of(16, 1, 1, 16))), ElementsAre("ep-divides-experts"));
  sim::PlanSpec plan = fast(plan_of(16, 1, 1, 8));
  plan.layout.etp = 2;
  EXPECT_THAT(keys_of(plan), ElementsAre("expert-tensor-parallel"));
  plan = fast(plan_of(16, 1, 1, 8));
  plan.layout.cp = 2;
  plan.layout.dp = 8;
  EXPECT_THAT(keys_of(plan), ElementsAre("context-parallel"));
  EXPECT_THAT(keys_of(fast(plan_of(16, 1, 2, 8, 2))), ElementsAre("schedule"));
  plan = fast(plan_of(16, 1, 1, 8));
  plan.stated_data_parallel = sim::DataParallel::kZero2;
  EXPECT_THAT(keys_of(plan), ElementsAre("sharding"));
  plan = fast(plan_of(16, 1, 2, 8));
  plan.split.layers_per_chunk = {3, 5};
  EXPECT_THAT(keys_of(plan), ElementsAre("even-stages"));
  plan = fast(plan_of(16, 1, 1, 4));
  plan.chunk_degree = 2;
  EXPECT_THAT(keys_of(plan), ElementsAre("one-expert-a-rank"));
  plan = fast(plan_of(16, 1, 1, 8));
  plan.chunk_degree = 3;
  EXPECT_THAT(keys_of(plan), ElementsAre("chunks-divide"));
  EXPECT_THAT(keys_of(fast(plan_of(16, 1, 1, 8, 1, 3))), ElementsAre("batch-divides"));
  sim::RunSpec run = test::small_run();
  run.precision.gemm = sim::NumberFormat::kMxfp8;
  run.gate = sim::GatePolicy::kForceBalanced;
  run.router_loss = sim::RouterLoss::kGlobal;
  EXPECT_THAT(keys_of(fast(plan_of(16, 1, 1, 8)), run), ElementsAre("precision", "gate", "router-loss"));
}

TEST(FastMoe, AMappingIsThePlacementTheOtherWayRound) {
  sim::PlanSpec plan = fast(plan_of(4, 1, 1, 4));
  // Slot 0 holds expert 0, slot 1 expert 4, ...: expert 4 is in slot 1.
  plan.placement = {"smartmoe", std::vector<std::vector<std::int32_t>>(8, {0, 4, 1, 5, 2, 6, 3, 7})};
  const sim::ModelSpec model = test::small_model();
  const std::string text = write_smartmoe_mapping(plan, model);
  EXPECT_THAT(text, HasSubstr("\"num_expert\": 2,\n  \"world_size\": 4,"));
  EXPECT_THAT(text, HasSubstr("[0, 2, 4, 6, 1, 3, 5, 7]"));
  const PlacementImport back = import_placement(text, {"smartmoe-mapping.json", &model, 4});
  EXPECT_EQ(back.kind, "smartmoe");
  EXPECT_EQ(back.placement.slots, plan.placement.slots);
}

TEST(FastMoe, AMappingThatIsNoneIsRefused) {
  const auto fault = [](const char* text) {
    return test::input_error_of([&] { import_placement(text, {"m.json", nullptr, 0}); });
  };
  EXPECT_THAT(fault("{\"num_expert\":1,\"world_size\":2,\"expert_mapping\":[[0,0]]}"),
              HasSubstr("expert 1 is in slot 0, expected each of 2 slots once"));
  EXPECT_THAT(fault("{\"num_expert\":1,\"world_size\":2,\"expert_mapping\":[[0,1,2]]}"),
              HasSubstr("found 3 experts, expected num_expert 1 x world_size 2"));
  EXPECT_THAT(fault("{\"world_size\":2,\"expert_mapping\":[[0,1]]}"), HasSubstr("\"num_expert\" is missing"));
}

TEST(FastMoe, GateTablesAreALoadThatOurReaderTakes) {
  sim::ModelSpec model = test::small_model(2);
  sim::RunSpec run = test::small_run();
  run.global_batch = 16;
  run.seq_len = 256;
  const sim::PlanSpec plan = fast(plan_of(4, 1, 1, 4, 1, 2));  // 2 micro-batches of 512 tokens on 4 ranks
  sim::LoadOptions options;
  options.moe_layers = 2;
  options.experts = 8;
  options.top_k = 2;
  const auto loads = sim::load_expert_loads("zipf:1.0", options);
  const std::vector<ExportFile> files = write_gate_tables({model, run, 4}, plan, *loads, 0);
  ASSERT_EQ(files.size(), 4U);
  EXPECT_EQ(files[3].name, "gate-tables/table_iter0_rank3.log");
  test::TemporaryFolder folder;
  for (const ExportFile& file : files)
    base::write_file_atomically((folder.path() / file.name).string(), file.content);
  const auto back = sim::load_expert_loads((folder.path() / "gate-tables").string(), options);
  sim::RoutingShape shape;
  shape.sources = 4;
  shape.tokens = 512;
  shape.micro_batches = 2;
  EXPECT_EQ(back->origin(shape), sim::LoadOrigin::kMeasured);
  for (int layer = 0; layer < 2; ++layer)
    for (int m = 0; m < 2; ++m)
      EXPECT_EQ(back->routing(0, layer, m, shape).tokens, loads->routing(0, layer, m, shape).tokens);
  run.global_batch = 1 << 30;
  EXPECT_THAT(test::input_error_of([&] {
                write_gate_tables({model, run, 4}, plan, *loads, 0);
              }),
              HasSubstr("expected at most 50000000"));
}

TEST(FastMoeImport, FaultsAreTold) {
  const std::string flags = "pretrain --fmoefy --micro-batch-size 1 ";
  EXPECT_THAT(refusal(flags, 0), HasSubstr("hint: give it with --gpus N"));
  EXPECT_THAT(refusal(flags + "--expert-ep-size 3"),
              HasSubstr("16 GPUs of a stage are not a multiple of EP 3"));
  EXPECT_THAT(refusal(flags + "--expert-ep-size 8 --expert-dp-size 4"),
              HasSubstr("found 4, expected 16 GPUs of a stage / EP 8 = 2"));
  EXPECT_THAT(refusal(flags + "--expert-ep-size 8 --num-experts 8"),
              HasSubstr("8 experts a rank on EP 8, but small has 8"));
  EXPECT_THAT(
      refusal("FMOE_FASTER_SCHEDULE_ENABLE=1\nFMOE_FASTER_GROUP_SIZE=3\n" + flags + "--expert-ep-size 8"),
      HasSubstr("groups of 3 do not divide EP 8"));
  const PlanImport out = read("export FMOE_FASTER_SHADOW_ENABLE=ON FMOE_FASTER_SCHEDULE_ENABLE=ON\n" + flags +
                              "--expert-ep-size 8 --dynamic-placement");
  EXPECT_EQ(out.plan.chunk_degree, 2);  // groups of 4, FasterMoE's default
  EXPECT_THAT(out.not_modelled,
              ElementsAre(HasSubstr("FMOE_FASTER_SHADOW_ENABLE"), HasSubstr("--dynamic-placement")));
}

}  // namespace
}  // namespace moeplan::planner
