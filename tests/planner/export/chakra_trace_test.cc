#include "planner/export/chakra_trace.h"

#include <algorithm>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/config_files.h"
#include "planner/export/chakra_step.h"
#include "planner/export/export_target.h"
#include "tests/planner/export/jobs.h"
#include "tests/support/input_error.h"

namespace moeplan::planner {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<ChakraNode> small_trace() {
  return {{0, "work", ChakraNodeType::kCompute, {}, 300, {}, 0, "", 0, 0, 0},
          {1,
           "exchange",
           ChakraNodeType::kCollective,
           {0},
           0,
           ChakraCollective::kAllToAll,
           1 << 20,
           "3",
           0,
           0,
           0},
          {2, "send", ChakraNodeType::kSend, {0, 1}, 0, {}, 77, "", 5, 9, 1234}};
}

TEST(ChakraTrace, BytesAreThoseOfTheSchema) {
  // Metadata: field 1 (0a) of 5 bytes. Node: length 35; id 0; name; type 4; duration 300 = ac 02; attribute
  // {1: "is_cpu_op", 27: 0}.
  const std::string bytes = write_chakra_trace({small_trace()[0]});
  EXPECT_EQ(bytes,
            std::string("\x07\x0a\x05"
                        "0.0.4"
                        "\x1d\x08\x00\x12\x04work\x18\x04\x38\xac\x02\x52\x0e\x0a\x09is_cpu_op\xd8\x01\x00",
                        8 + 30));
}

TEST(ChakraTrace, WhatIsWrittenIsReadBack) {
  EXPECT_EQ(read_chakra_trace(write_chakra_trace(small_trace()), "t.et"), small_trace());
  EXPECT_TRUE(read_chakra_trace(write_chakra_trace({}), "t.et").empty());
}

TEST(ChakraTrace, CutAndBrokenFilesAreRefused) {
  const std::string bytes = write_chakra_trace(small_trace());
  std::size_t refused = 0;
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const std::string message =
        test::input_error_of([&] { read_chakra_trace(bytes.substr(0, size), "t.et"); });
    refused += message == "no error" ? 0U : 1U;
  }
  EXPECT_EQ(refused, bytes.size() - 3);  // cut behind the metadata or a node it is a shorter trace
  std::string other = bytes;
  other[8 + 1 + 2 + 6 + 1] = 9;  // type of the first node
  EXPECT_THAT(test::input_error_of([&] { read_chakra_trace(other, "t.et"); }),
              HasSubstr("type 9, expected computation"));
  EXPECT_THAT(test::input_error_of([] { read_chakra_trace("", "t.et"); }),
              HasSubstr("t.et: error: the file is empty"));
}

TEST(ChakraTrace, AReplayThatWouldNotEndIsFound) {
  const ChakraGroups groups = {{"1", {0, 1}}};
  const ChakraNode call{
      0, "reduce", ChakraNodeType::kCollective, {}, 0, ChakraCollective::kAllReduce, 8, "1", 0, 0, 0};
  const ChakraNode send{1, "send", ChakraNodeType::kSend, {0}, 0, {}, 8, "", 0, 1, 7};
  ChakraNode receive = send;
  receive.type = ChakraNodeType::kReceive;
  EXPECT_EQ(find_chakra_fault({{call, send}, {call, receive}}, groups), "");
  EXPECT_EQ(find_chakra_fault({{call, send}, {call}}, groups), "1 sends and 0 receives do not match");
  EXPECT_EQ(find_chakra_fault({{call}, {}}, groups), "ranks 0 and 1 of group 1 call other collectives");
  ChakraNode larger = call;
  larger.bytes = 16;
  EXPECT_EQ(find_chakra_fault({{call}, {larger}}, groups), "ranks 0 and 1 of group 1 call other collectives");
  EXPECT_EQ(find_chakra_fault({{call}, {call}}, {}), "rank 0: there is no group 1");
  EXPECT_EQ(find_chakra_fault({{send}}, groups),
            "rank 0: node 1 waits for 0, which does not stand before it");
  EXPECT_EQ(find_chakra_fault({{call, call}, {call, call}}, groups), "rank 0: node 0 stands twice");
}

class ChakraStep : public ::testing::Test {
 protected:
  ChakraStep() { run_.global_batch = 32; }
  sim::Job job() const { return {cluster_, profile_, model_, run_, *loads_}; }
  static std::int64_t count(const std::vector<ChakraNode>& trace, const std::string& part) {
    return std::count_if(trace.begin(), trace.end(), [&part](const ChakraNode& node) {
      return node.name.find(part) != std::string::npos;
    });
  }
  std::vector<std::string> keys_of(const sim::PlanSpec& plan) const {
    std::vector<std::string> keys;
    for (const sim::PlanFault& fault : find_chakra_plan_faults(job(), plan)) keys.push_back(fault.rule);
    return keys;
  }
  topology::Cluster cluster_ = topology::load_cluster(base::resolve_config("clusters", "hgx-h100-4n"));
  sim::Profile profile_ = sim::load_profile(base::resolve_config("profiles", "h100-sxm"));
  sim::ModelSpec model_ = test::small_model();
  sim::RunSpec run_ = test::small_run();
  std::unique_ptr<sim::ExpertLoads> loads_ = sim::make_uniform_loads(8, 8, 2);
};

TEST_F(ChakraStep, ReplaysOfEveryLayoutEnd) {
  std::vector<sim::PlanSpec> plans = {test::plan_of(8, 1, 1, 8), test::plan_of(16, 2, 2, 4),
                                      test::plan_of(16, 1, 4, 4, 2), test::plan_of(16, 1, 2, 1),
                                      test::plan_of(8, 8, 1, 8)};
  plans[1].recompute.mode = sim::RecomputeMode::kFull;
  plans[1].layout.sequence_parallel = true;
  plans[3].distributed_optimizer = plans[3].overlap_param_gather = plans[3].overlap_grad_reduce = false;
  plans.push_back(test::plan_of(16, 1, 2, 8));
  plans.back().stated_schedule = sim::PipelineSchedule::kGpipe;
  for (const sim::PlanSpec& plan : plans) {
    SCOPED_TRACE(sim::short_name(plan));
    ASSERT_TRUE(keys_of(plan).empty());
    const auto traces = make_chakra_step(job(), plan);
    EXPECT_EQ(traces.size(), static_cast<std::size_t>(plan.layout.world()));
    EXPECT_EQ(find_chakra_fault(traces, make_chakra_groups(plan.layout)), "");
  }
}

TEST_F(ChakraStep, ALayerHasItsAllToAllsWithTheirBytes) {
  const sim::PlanSpec plan = test::plan_of(8, 1, 1, 8);
  const std::vector<ChakraNode> trace = make_chakra_step(job(), plan).front();
  // 8 MoE layers, 32 sequences on 8 ranks: 4 micro-batches.
  EXPECT_EQ(count(trace, "experts gradient"), 32);
  EXPECT_EQ(count(trace, " dispatch"), 64);  // tokens and their gradients
  EXPECT_EQ(count(trace, "send"), 0);
  const auto dispatch = std::find_if(trace.begin(), trace.end(),
                                     [](const ChakraNode& node) { return node.name == "L0 mb0 dispatch"; });
  ASSERT_NE(dispatch, trace.end());
  EXPECT_EQ(dispatch->collective, ChakraCollective::kAllToAll);
  // 4096 tokens x top-2 copies of 1024 bf16 values and what goes with them.
  EXPECT_GE(dispatch->bytes, std::int64_t{4096} * 2 * 1024 * 2);
  EXPECT_LE(dispatch->bytes, std::int64_t{4096} * 2 * (1024 * 2 + 16));
}

TEST_F(ChakraStep, RecomputeRunsTheForwardAgain) {
  sim::PlanSpec plan = test::plan_of(8, 1, 1, 8);
  const std::int64_t before = count(make_chakra_step(job(), plan).front(), " dispatch");
  plan.recompute.mode = sim::RecomputeMode::kFull;
  EXPECT_EQ(count(make_chakra_step(job(), plan).front(), " dispatch"), before + 32);
}

TEST_F(ChakraStep, GradientsAreReducedBehindTheirChunkAndTheUpdateWaitsForThem) {
  const std::vector<ChakraNode> trace = make_chakra_step(job(), test::plan_of(16, 1, 2, 4, 2)).front();
  std::vector<const ChakraNode*> reductions;
  for (const ChakraNode& node : trace)
    if (node.name.rfind("reduce", 0) == 0) reductions.push_back(&node);
  ASSERT_EQ(reductions.size(), 4U);  // dense and expert ones of two chunks
  EXPECT_LT(reductions[0]->data_deps.front(), reductions[2]->data_deps.front());
  const auto update = std::find_if(trace.begin(), trace.end(),
                                   [](const ChakraNode& node) { return node.name == "check gradients"; });
  ASSERT_NE(update, trace.end());
  EXPECT_THAT(update->data_deps, ::testing::Contains(reductions.back()->id));
}

TEST_F(ChakraStep, TimesAddUpToThoseOfTheKernels) {
  // Twice the micro-batches take twice the time, to a microsecond a step: remainders are carried on.
  const sim::PlanSpec plan = test::plan_of(8, 1, 1, 8);
  const auto busy = [&] {
    std::uint64_t sum = 0;
    const std::vector<ChakraNode> trace = make_chakra_step(job(), plan).front();
    for (const ChakraNode& node : trace)
      if (node.name.find("mb") != std::string::npos) sum += node.duration_us;
    return static_cast<double>(sum);
  };
  const double once = busy();
  run_.global_batch *= 2;
  EXPECT_NEAR(busy(), 2 * once, 3.0);
}

TEST_F(ChakraStep, EachBrokenRuleIsNamed) {
  sim::PlanSpec plan = test::plan_of(16, 1, 2, 4);
  plan.stated_schedule = sim::PipelineSchedule::kZeroBubbleH1;
  EXPECT_THAT(keys_of(plan), ElementsAre("schedule"));
  plan = test::plan_of(16, 1, 1, 8);
  plan.stated_data_parallel = sim::DataParallel::kZero2;
  EXPECT_THAT(keys_of(plan), ElementsAre("sharding"));
  plan = test::plan_of(16, 1, 1, 4);
  plan.layout.etp = 2;
  plan.layout.edp = 2;
  EXPECT_THAT(keys_of(plan), ElementsAre("expert-tensor-parallel"));
  plan = test::plan_of(16, 1, 1, 8);
  plan.layout.cp = 2;
  plan.layout.dp = 8;
  EXPECT_THAT(keys_of(plan), ElementsAre("context-parallel"));
  run_.global_batch = 1 << 16;
  EXPECT_THAT(keys_of(test::plan_of(16, 1, 1, 8)), ElementsAre("size"));
}

TEST_F(ChakraStep, TheTargetWritesATraceForEachRank) {
  sim::PlanSpec plan = test::plan_of(8, 1, 1, 8);
  plan.dispatcher = sim::Dispatcher::kDeepEp;
  const Exported exported = export_plan(*find_export_target("chakra"),
                                        {plan, &model_, &run_, 8, &cluster_, &profile_, nullptr, {}});
  ASSERT_EQ(exported.files.size(), 9U);
  EXPECT_EQ(exported.files[0].content,
            "{\n  \"1\": [0, 1, 2, 3, 4, 5, 6, 7],\n  \"2\": [0, 1, 2, 3, 4, 5, 6, 7]\n}\n");
  EXPECT_EQ(read_chakra_trace(exported.files[8].content, "t"), make_chakra_step(job(), plan)[7]);
  EXPECT_EQ(exported.not_expressed.front().part, "dispatcher");
}

}  // namespace
}  // namespace moeplan::planner
