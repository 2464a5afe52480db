#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "planner/export/expert_map.h"
#include "planner/export/export_target.h"
#include "planner/export/placement_import.h"
#include "planner/export/serving_rules.h"
#include "sim/workload/npy_array.h"
#include "tests/planner/export/jobs.h"
#include "tests/support/input_error.h"

namespace moeplan::planner {
namespace {

using ::testing::HasSubstr;

/// Three layers of 4 experts, the first dense.
sim::ModelSpec tiny() {
  sim::ModelSpec model = test::small_model(3);
  model.layers[0].ffn = sim::FfnKind::kDense;
  model.experts = 4;
  model.architecture = "MixtralForCausalLM";
  return model;
}

/// Two GPUs, three slots each; experts 0 and 1 twice.
sim::PlanSpec replicated() {
  sim::PlanSpec plan = test::plan_of(2, 1, 1, 2);
  plan.placement = {"eplb", {{0, 1, 2, 3, 0, 1}, {3, 2, 1, 0, 1, 0}}};
  return plan;
}

Exported write(const char* target, const sim::PlanSpec& plan, const sim::ModelSpec& model) {
  return export_plan(*find_export_target(target), {plan, &model, nullptr, 8, nullptr, nullptr, nullptr, {}});
}

TEST(ExpertMap, ReferenceExamplesAreWhatIsWritten) {
  const ExpertMap map = make_expert_map(replicated(), tiny());
  EXPECT_EQ(write_sglang_map(map),
            "{\n  \"physical_to_logical_map\": [\n    [0, 1, 2, 3, 0, 1],\n    [0, 1, 2, 3, 0, 1],\n"
            "    [3, 2, 1, 0, 1, 0]\n  ]\n}\n");
  EXPECT_EQ(write_trtllm_map(map),
            "num_slots: 6\ninitial_global_assignments:\n  1: [0, 1, 2, 3, 0, 1]\n  2: [3, 2, 1, 0, 1, 0]\n"
            "layer_updates_per_iter: 0\n");
  EXPECT_EQ(write_vllm_map(map), "[\n  [0, 1, 2, 3, 0, 1],\n  [3, 2, 1, 0, 1, 0]\n]\n");
  const std::string ascend = write_ascend_map(map);
  EXPECT_THAT(ascend, HasSubstr("\"moe_layer_count\": 2"));
  EXPECT_THAT(ascend, HasSubstr("\"device_id\": 1,\n          \"device_expert\": [3, 0, 1]"));
}

TEST(ExpertMap, RefusesAPlacementThatDoesNotFitTheModel) {
  sim::PlanSpec plan = replicated();
  sim::ModelSpec model = tiny();
  model.experts = 5;
  EXPECT_THAT(test::input_error_of([&] { make_expert_map(plan, model); }),
              HasSubstr("layer 0: expert 4 has no slot"));
  plan.layout.ep = 4;
  EXPECT_THAT(test::input_error_of([&] { make_expert_map(plan, tiny()); }), HasSubstr("6 slots on 4 ranks"));
  model = tiny();
  model.experts = 0;
  EXPECT_THAT(test::input_error_of([&] { make_expert_map(plan, model); }), HasSubstr("small has no experts"));
}

TEST(ExpertMap, NpyHasAnAlignedHeaderThatOurReaderReads) {
  const std::string npy = write_npy({2, 3}, {1, -1, 300, 4, 5, 6});
  // Data begins at a multiple of 64 bytes; 6 values of 8 bytes.
  EXPECT_EQ((npy.size() - 48) % 64, 0U);
  const sim::NpyArray array = sim::parse_npy(npy, "a.npy");
  EXPECT_EQ(array.shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(array.kind, 'i');
  EXPECT_EQ(array.at(1), -1.0);
  EXPECT_EQ(array.at(2), 300.0);
  EXPECT_THAT(write_npy({2}, {7, 8}), HasSubstr("'shape': (2,), }"));
}

TEST(ServingTargets, SayHowTheEngineIsStarted) {
  EXPECT_THAT(write("sglang", replicated(), tiny()).next.front(),
              HasSubstr("--ep-size 2 --ep-num-redundant-experts 2 --init-expert-location"));
  EXPECT_THAT(write("trtllm", replicated(), tiny()).next.front(), HasSubstr("moe_expert_parallel_size 2"));
  sim::ModelSpec model = tiny();
  model.mtp_layers = 1;
  EXPECT_THAT(write("sglang", replicated(), model).next.back(), HasSubstr("1 multi-token-prediction blocks"));
}

TEST(ServingTargets, TheTrainingRunIsListedAsLeftOut) {
  sim::PlanSpec plan = replicated();
  plan.recompute.mode = sim::RecomputeMode::kFull;
  std::string parts;
  for (const ExportRemark& remark : write("sglang", plan, tiny()).not_expressed) parts += remark.part + " ";
  EXPECT_EQ(parts, "layout.dp micro_batch data_parallel overlap_grad_reduce overlap_param_gather recompute ");
}

TEST(ServingTargets, VllmSaysThatItHasNoLoaderOfMaps) {
  const Exported exported = write("vllm", replicated(), tiny());
  EXPECT_EQ(exported.files[0].content,
            "--enable-expert-parallel\n--enable-eplb\n--eplb-config '{\"num_redundant_experts\":2}'\n");
  EXPECT_EQ(exported.not_expressed.front().part, "placement");
  EXPECT_THAT(exported.not_expressed.front().done, HasSubstr("no released vLLM reads an expert map"));
}

TEST(ServingTargets, VllmsOwnStrategiesAreFoundInAPlacement) {
  sim::PlanSpec plan = test::plan_of(2, 1, 1, 2);
  EXPECT_THAT(write("vllm", plan, tiny()).files[0].content, HasSubstr("--expert-placement-strategy linear"));
  // Rank 0 holds the even experts, rank 1 the odd ones.
  plan.placement = {"round_robin", {{0, 2, 1, 3}, {0, 2, 1, 3}}};
  sim::ModelSpec model = tiny();
  EXPECT_THAT(write("vllm", plan, model).files[0].content, HasSubstr("--enable-eplb")) << "one routing group";
  model.groups = 2;
  EXPECT_THAT(write("vllm", plan, model).files[0].content,
              HasSubstr("--expert-placement-strategy round_robin"));
}

TEST(ServingRules, WhatWouldFailLateIsRefused) {
  sim::PlanSpec plan = replicated();
  plan.placement.slots[1] = {3, 2, 3, 0, 1, 0};
  EXPECT_THAT(test::input_error_of([&] { write("vllm-ascend", plan, tiny()); }),
              HasSubstr("layer 2 holds an expert twice on device 0"));
  sim::ModelSpec model = tiny();
  model.architecture = "GptOssForCausalLM";
  EXPECT_THAT(test::input_error_of([&] { write("trtllm", replicated(), model); }),
              HasSubstr("architecture \"GptOssForCausalLM\""));
  plan = test::plan_of(2, 1, 1, 1);
  EXPECT_THAT(test::input_error_of([&] { write("trtllm", plan, tiny()); }),
              HasSubstr("[balancer-needs-ranks]"));
  plan.placement = {"eplb", {{0, 1, 2, 3, 0}, {3, 2, 1, 0, 1}}};
  EXPECT_THAT(test::input_error_of([&] { write("vllm", plan, tiny()); }), HasSubstr("[eplb-needs-ranks]"));
}

PlacementImport read(const std::string& text, const std::string& file = "map.json", int ranks = 0) {
  static const sim::ModelSpec model = tiny();
  return import_placement(text, {file, &model, ranks});
}

std::string refusal(const std::string& text, const std::string& file = "map.json", int ranks = 0) {
  return test::input_error_of([&] { read(text, file, ranks); });
}

TEST(PlacementImport, KindsAreFoundByContent) {
  EXPECT_EQ(read("[[0,1,2,3],[3,2,1,0]]").kind, "vllm");
  EXPECT_EQ(read("{\"physical_to_logical_map\": [[0,1,2,3],[0,1,2,3],[3,2,1,0]]}").kind, "sglang");
  EXPECT_EQ(read("num_slots: 4\ninitial_global_assignments: {1: [3,2,1,0], 2: [0,1,2,3]}\n", "x").kind,
            "trtllm");
  EXPECT_EQ(read("{\"ep\": 2, \"layers\": {\"1\": [3,2,1,0]}}").kind, "permutation");
  EXPECT_EQ(read("{\"phy2log\": [[0,1,2,3],[3,2,1,0]]}").kind, "eplb");
}

TEST(PlacementImport, OneRowStandsForEveryMoeLayer) {
  EXPECT_EQ(read("[3, 2, 1, 0]").placement.slots, (std::vector<std::vector<std::int32_t>>(2, {3, 2, 1, 0})));
}

TEST(PlacementImport, LayersOfTensorRtComeInModelOrder) {
  const PlacementImport map =
      read("num_slots: 4\ninitial_global_assignments: {2: [0,1,2,3], 1: [3,2,1,0]}\n", "x");
  EXPECT_EQ(map.placement.slots, (std::vector<std::vector<std::int32_t>>{{3, 2, 1, 0}, {0, 1, 2, 3}}));
}

TEST(PlacementImport, WithoutAModelItSaysWhatItTakesForGranted) {
  const PlacementImport map =
      import_placement("{\"physical_to_logical_map\": [[1,0]]}", {"map.json", nullptr, 0});
  EXPECT_EQ(map.experts, 2);
  ASSERT_EQ(map.notes.size(), 3U);
  EXPECT_THAT(map.notes[0], HasSubstr("rows of dense layers"));
  EXPECT_THAT(map.notes[2], HasSubstr("--ep or --plan"));
}

TEST(PlacementImport, FaultsAreToldWithTheirPlace) {
  EXPECT_EQ(refusal("{\"physical_to_logical_map\": [[0]],\n \"extra\": 1}"),
            "map.json:2:2: error: found a key beside physical_to_logical_map: \"extra\"\n    in extra\n"
            "    hint: SGLang passes every key on as an argument and does not start with another one");
  EXPECT_THAT(refusal("[[0,1,2,3],[0,1,2,-3]]"), HasSubstr("map.json:1:"));
  EXPECT_THAT(refusal("[[0,1,2,3],[0,1,2,\"a\"]]"), HasSubstr("found \"a\", expected a whole number from 0"));
  EXPECT_THAT(refusal("[[0,1,2,3],[0,1,2,2]]"), HasSubstr("expert 3 stands in no slot of this row"));
  EXPECT_THAT(refusal("[[0,1,2,3],[0,1,2,4]]"), HasSubstr("found expert 4, but the model has 4"));
  EXPECT_THAT(refusal("[[0,1,2,3],[0,1,2,3,0]]"), HasSubstr("found 5 slots, but the first row has 4"));
  EXPECT_THAT(refusal("[[0,1,2,3]]"), HasSubstr("found 1 rows, expected one for each of the 2 MoE layers"));
  EXPECT_THAT(refusal("[[0,1,2,3,0],[0,1,2,3,0]]", "map.json", 2),
              HasSubstr("5 slots do not divide over EP 2"));
  EXPECT_THAT(refusal("{\"physical_to_logical_map\": [[0,1,2,3]]}"),
              HasSubstr("expected one for each of the 3 layers of small"));
  EXPECT_THAT(refusal("{\"logical_count\": [[1]]}"),
              HasSubstr("hint: moeplan place turns loads into a placement"));
  EXPECT_THAT(refusal("{\"a\": 1}"), HasSubstr("no expert map that we know"));
  EXPECT_THAT(refusal("{"), HasSubstr("map.json:1:"));
}

TEST(PlacementImport, LoadersOwnRulesAreKept) {
  EXPECT_THAT(refusal("num_slots: 4\nep_size: 2\ninitial_global_assignments: {1: [0,1,2,3]}\n", "x.yaml"),
              HasSubstr("unknown key \"ep_size\""));
  EXPECT_THAT(refusal("num_slots: 5\ninitial_global_assignments: {1: [0,1,2,3]}\n", "x.yaml"),
              HasSubstr("found 4 slots, but num_slots says 5"));
  EXPECT_THAT(refusal("num_slots: 4\ninitial_global_assignments: {1: [0,1,2,3]}\n", "x.yaml"),
              HasSubstr("MoE layer 2 of small has no row"));
  EXPECT_THAT(refusal("num_slots: 4\ninitial_global_assignments: {0: [0,1,2,3]}\n", "x.yaml"),
              HasSubstr("layer 0 is no MoE layer of small"));
  const auto ascend = [](const char* devices) {
    return refusal(std::string("{\"moe_layer_count\":1,\"layer_list\":[{\"layer_id\":0,\"device_count\":2,"
                               "\"device_list\":[") +
                   devices + "]}]}");
  };
  EXPECT_THAT(ascend("{\"device_id\":1,\"device_expert\":[0]},{\"device_id\":0,\"device_expert\":[1]}"),
              HasSubstr("found device_id \"1\", expected 0"));
  EXPECT_THAT(ascend("{\"device_id\":0,\"device_expert\":[0]},{\"device_id\":1,\"device_expert\":[1,2]}"),
              HasSubstr("found 2 experts, but device 0 has 1"));
  EXPECT_THAT(ascend("{\"device_id\":0,\"device_expert\":[0]}"),
              HasSubstr("device_list has 1 devices, device_count says 2"));
}

TEST(PlacementImport, EplbsMapsHaveToAgree) {
  EXPECT_THAT(refusal("{\"phy2log\": [[0,1,2,3],[3,2,1,0]], \"logcnt\": [[1,1,1,1],[1,1,2,1]]}"),
              HasSubstr("does not agree with phy2log\n    in logcnt[1]"));
  EXPECT_THAT(
      refusal("{\"phy2log\": [[0,1,2,3],[3,2,1,0]], \"log2phy\": [[[0],[1],[2],[3]],[[0],[2],[1],[0]]]}"),
      HasSubstr("in log2phy[1][0]"));
  EXPECT_THAT(refusal(write_npy({2, 4}, {1, 1, 1, 1, 1, 1, 1, 1}), "logcnt.npy"),
              HasSubstr("expert 0 stands in no slot"));
  EXPECT_THAT(refusal(write_npy({2}, {1, 0}), "a.npy"), HasSubstr("found an array of 1 dimensions"));
}

TEST(PlacementImport, APermutationNeedsItsModel) {
  EXPECT_THAT(test::input_error_of([] {
                import_placement("{\"ep\": 2, \"layers\": {}}", {"p.json", nullptr, 0});
              }),
              HasSubstr("hint: name it with --model"));
}

}  // namespace
}  // namespace moeplan::planner
