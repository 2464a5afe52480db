#include "planner/export/export_target.h"

#include <algorithm>
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/config_files.h"
#include "planner/export/export_report.h"
#include "sim/workload/documents.h"
#include "tests/planner/export/jobs.h"
#include "tests/support/corpus.h"

namespace moeplan::planner {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// States every part of a plan. No framework runs it.
sim::PlanSpec loud_plan() {
  sim::PlanSpec plan = test::plan_of(64, 2, 2, 4, 2);
  plan.name = "loud";
  plan.layout.cp = 2;
  plan.layout.dp = 8;
  plan.layout.etp = 2;
  plan.layout.edp = 4;
  plan.micro_batch = 2;
  plan.split.layers_per_chunk = {1, 3, 3, 1};
  plan.recompute = {sim::RecomputeMode::kSelective, {sim::RecomputeModule::kCoreAttn}};
  plan.offload.layers = 2;
  plan.dispatcher = sim::Dispatcher::kDeepEp;
  plan.dispatcher_sms = 24;
  plan.chunk_degree = 2;
  plan.chunk_degree_backward = 4;
  plan.overlap = {true, true, true, true};
  plan.stated_data_parallel = sim::DataParallel::kHsdp;
  plan.shard_group = 4;
  plan.placement.algorithm = "eplb";
  plan.placement.slots.assign(8, {0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3});
  return plan;
}

sim::RunSpec loud_run() {
  sim::RunSpec run = test::small_run();
  run.precision.dispatch = sim::NumberFormat::kFp8Block;
  run.precision.parameter_gather = sim::NumberFormat::kFp8Block;
  run.gate = sim::GatePolicy::kCapacity;
  run.capacity_factor = 1.25;
  run.router_loss = sim::RouterLoss::kSequence;
  run.router_bias_update = true;
  run.graph.attention = true;
  run.gradients.check = false;
  run.fusion.accumulation = false;
  run.fusion.experts = true;
  run.documents = sim::DocumentSpec{};
  return run;
}

std::vector<std::string> parts_of(const std::vector<StatedPart>& stated) {
  std::vector<std::string> names;
  for (const StatedPart& part : stated) names.emplace_back(name(part.part));
  return names;
}

TEST(PlanParts, EveryPartHasANameOfItsOwn) {
  std::set<std::string_view> names;
  for (const PlanPart part : all_plan_parts()) names.insert(name(part));
  EXPECT_EQ(names.size(), all_plan_parts().size());
  EXPECT_EQ(all_plan_parts().back(), PlanPart::kDocuments);
  EXPECT_EQ(all_plan_parts().size(), static_cast<std::size_t>(PlanPart::kDocuments) + 1);
}

TEST(PlanParts, APlanThatUsesEverythingStatesEveryPart) {
  const sim::RunSpec run = loud_run();
  const std::vector<StatedPart> stated = stated_parts(loud_plan(), &run);
  std::vector<std::string> all;
  for (const PlanPart part : all_plan_parts()) all.emplace_back(name(part));
  EXPECT_EQ(parts_of(stated), all);
  for (const StatedPart& part : stated) EXPECT_NE(part.value, "") << name(part.part);
}

TEST(PlanParts, APlanOfOneGpuStatesItsMicroBatchAlone) {
  EXPECT_EQ(parts_of(stated_parts(test::plan_of(1, 1, 1, 1), nullptr)),
            std::vector<std::string>{"micro_batch"});
}

TEST(PlanParts, ValuesReadAsAPersonWouldWriteThem) {
  const sim::RunSpec run = loud_run();
  std::string text;
  for (const StatedPart& part : stated_parts(loud_plan(), &run)) text += part.value + "\n";
  for (const char* value :
       {"\nhsdp, groups of 4\n", "\nselective [core_attn]\n", "\nforward 2, backward 4\n", "\n[1, 3, 3, 1]\n",
        "\n12 slots a layer\n", "\ncapacity 1.25\n", "\nexperts: true\n"})
    EXPECT_THAT(text, HasSubstr(value));
}

TEST(ExportTargets, NamesDifferAndEachSaysWhatItWritesAndWhyItLeavesOut) {
  std::set<std::string_view> names;
  for (const ExportTarget& target : export_targets()) {
    EXPECT_TRUE(names.insert(target.name).second) << target.name;
    EXPECT_EQ(find_export_target(target.name)->name, target.name);
    EXPECT_FALSE(target.what.empty()) << target.name;
    EXPECT_EQ(target.left_out.empty(), target.expresses.size() == all_plan_parts().size()) << target.name;
    EXPECT_TRUE(target.needs_model || !target.needs_run) << target.name;
    EXPECT_TRUE(target.needs_run || !target.takes_loads) << target.name;
  }
  EXPECT_EQ(find_export_target("tensorflow"), nullptr);
}

TEST(ExportTargets, WhatATargetDoesNotExpressIsInTheReport) {
  sim::ModelSpec model = test::small_model();
  model.architecture = "MixtralForCausalLM";
  const sim::RunSpec run = test::small_run();
  const sim::PlanSpec plan = test::plan_of(16, 1, 1, 4);
  const topology::Cluster cluster = topology::load_cluster(base::resolve_config("clusters", "hgx-h100-4n"));
  const sim::Profile profile = sim::load_profile(base::resolve_config("profiles", "h100-sxm"));
  for (ExportTarget target : export_targets()) {
    if (target.needs_run) target.expresses = {PlanPart::kExpertParallel};  // the others have to appear
    const Exported exported =
        export_plan(target, {plan, &model, &run, 8, &cluster, &profile, nullptr, {"a", "b"}});
    std::multiset<std::string> found;
    for (const ExportRemark& remark : exported.not_expressed) found.insert(remark.part);
    for (const StatedPart& stated : stated_parts(plan, target.needs_run ? &run : nullptr)) {
      const bool holds =
          std::find(target.expresses.begin(), target.expresses.end(), stated.part) != target.expresses.end();
      EXPECT_GE(found.count(std::string(name(stated.part))) + (holds ? 1U : 0U), 1U)
          << target.name << ": " << name(stated.part);
    }
  }
}

TEST(ExportTargets, MegatronLeavesOutFusionAndDocumentsAlone) {
  const sim::ModelSpec model = test::small_model();
  sim::RunSpec run = test::small_run();
  const sim::PlanSpec plan = test::plan_of(16, 2, 2, 4);
  const ExportTarget& megatron = *find_export_target("megatron");
  EXPECT_THAT(export_plan(megatron, {plan, &model, &run, 8, nullptr, nullptr, nullptr, {}}).not_expressed,
              IsEmpty());
  run.documents = sim::DocumentSpec{};
  run.fusion.experts = true;
  const Exported exported = export_plan(megatron, {plan, &model, &run, 8, nullptr, nullptr, nullptr, {}});
  ASSERT_EQ(exported.not_expressed.size(), 2U);
  EXPECT_EQ(exported.not_expressed[0].part, "run.fusion");
  EXPECT_EQ(exported.not_expressed[1].part, "run.documents");
}

TEST(ExportTargets, JsonGivesTheSamePlanBack) {
  test::TemporaryFolder folder;
  const sim::PlanSpec plan = loud_plan();
  const Exported exported =
      export_plan(*find_export_target("json"), {plan, nullptr, nullptr, 8, nullptr, nullptr, nullptr, {}});
  ASSERT_EQ(exported.files.size(), 1U);
  EXPECT_EQ(sim::parse_plan(exported.files[0].content, "plan.json"), plan);
  EXPECT_THAT(exported.not_expressed, IsEmpty());
}

TEST(ExportReport, ManyFilesAreCounted) {
  Exported exported;
  for (int i = 0; i < 20; ++i) exported.files.push_back({"trace." + std::to_string(i), "x", "a rank's"});
  EXPECT_EQ(shown_files(exported), 20U);
  exported.files.push_back({"trace.20", "x", "a rank's"});
  const std::string text = describe_export(*find_export_target("json"), test::plan_of(1, 1, 1, 1), exported);
  EXPECT_THAT(text, HasSubstr("  trace.4: a rank's\n  and 16 more of the kind, up to trace.20\n"));
}

TEST(ExportReport, SaysWhatIsWrittenWhatIsLeftOutAndWhatIsLeftToDo) {
  ExportTarget target = *find_export_target("json");
  target.left_out = "nobody asked";
  sim::PlanSpec plan = test::plan_of(2, 1, 1, 1);
  plan.name = "mine";
  Exported exported;
  exported.files = {{"a.txt", "abc", "three letters"}};
  exported.not_expressed = {{"layout.tp", "4", "left out: nobody asked"},
                            {"placement", "eplb", "guessed"},
                            {"layout.cp", "2", "left out: nobody asked"}};
  exported.next = {"start it"};
  EXPECT_EQ(describe_export(target, plan, exported),
            "mine (" + sim::short_name(plan) +
                ") as the plan itself as JSON, for scripts\n"
                "  a.txt: three letters\n"
                "what json cannot express:\n"
                "  layout.tp (4), layout.cp (2): left out: nobody asked\n"
                "  placement (eplb): guessed\n"
                "next:\n"
                "  start it\n");
  exported.not_expressed.clear();
  EXPECT_THAT(describe_export(target, plan, exported),
              HasSubstr("everything that the plan says is in these files\n"));
}

}  // namespace
}  // namespace moeplan::planner
