#include "sim/workload/plan.h"

#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/diagnostics.h"
#include "base/random.h"
#include "tests/support/corpus.h"

namespace moeplan::sim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string errors_of(const std::string& yaml) {
  try {
    parse_plan(yaml, "plan.yaml");
  } catch (const base::InputError& error) {
    return error.what();
  }
  return "";
}

PlanSpec full_plan() {
  PlanSpec plan;
  plan.name = "plan-1: \"quoted\" # and hashed";
  plan.layout = ParallelLayout{2, 4, 2, 1, 8, 1, 16, 4, true};
  plan.micro_batch = 2;
  plan.split.layers_per_chunk = {2, 3, 3, 3, 3, 3, 3, 3};
  plan.recompute = {RecomputeMode::kSelective, {RecomputeModule::kCoreAttn, RecomputeModule::kMoeAct}};
  plan.dispatcher = Dispatcher::kPairwise;
  plan.chunk_degree = 4;
  plan.overlap_param_gather = false;
  plan.placement.algorithm = "eplb";
  plan.placement.slots = {{0, 1, 2, 3, 7, 7, 5, 4}, {0, 1, 2, 3, 7, 7, 5, 4}, {1, 0, 2, 4, 5, 6, 3, 3}};
  plan.why = "hot experts get a second slot\non rank 3";
  return plan;
}

TEST(PlanFile, WhatIsWrittenReadsBackTheSame) {
  EXPECT_EQ(parse_plan(write_plan(full_plan()), "plan.yaml"), full_plan());
  PlanSpec least;
  least.name = "least";
  EXPECT_EQ(parse_plan(write_plan(least), "plan.yaml"), least);
}

TEST(PlanFile, EveryAllToAllAlgorithmHasAWord) {
  PlanSpec plan;
  plan.name = "words";
  for (const auto& [dispatcher, word] : {std::pair(Dispatcher::kTwoLevel, "two_level"),
                                         {Dispatcher::kLeader, "leader"},
                                         {Dispatcher::kSplitPipe, "split_pipe"},
                                         {Dispatcher::kRailRelay, "rail_relay"}}) {
    plan.dispatcher = dispatcher;
    EXPECT_EQ(name(dispatcher), word);
    EXPECT_EQ(parse_plan(write_plan(plan), "plan.yaml"), plan);
  }
}

TEST(PlanFile, ADispatcherOfALibraryHasItsSms) {
  PlanSpec plan;
  plan.name = "relay";
  for (const Dispatcher dispatcher : {Dispatcher::kDeepEp, Dispatcher::kHybridEp}) {
    plan.dispatcher = dispatcher;
    for (const int sms : {0, 24}) {
      plan.dispatcher_sms = sms;
      EXPECT_EQ(parse_plan(write_plan(plan), "plan.yaml"), plan);
    }
  }
  EXPECT_EQ(short_name(plan), "TP1 PP1 EP1 DP1 mb1 hybridep@24SM");
  EXPECT_EQ(errors_of("name: a\nlayout: {dp: 1}\ndispatcher: flat\ndispatcher_sms: 8\n"),
            "plan.yaml:4:17: error: dispatcher flat takes no number of SMs\n"
            "    in plan > dispatcher_sms\n    hint: it is for deepep and hybridep");
}

TEST(PlanFile, OverlapsAndChunksOfEitherPassReadBackTheSame) {
  PlanSpec plan;
  plan.name = "overlap";
  EXPECT_THAT(write_plan(plan), ::testing::Not(HasSubstr("overlap:")));
  for (const LayerOverlap overlap :
       {LayerOverlap{true, false, false}, LayerOverlap{false, true, false}, LayerOverlap{false, true, true},
        LayerOverlap{true, false, false, true}}) {
    plan.overlap = overlap;
    EXPECT_EQ(parse_plan(write_plan(plan), "plan.yaml"), plan);
  }
  EXPECT_THAT(write_plan(plan), HasSubstr("\noverlap: {shared_experts: true, all_to_all: none, "
                                          "delay_weight_gradients: false, tile_fused: true}\n"));
  EXPECT_EQ(short_name(plan), "TP1 PP1 EP1 DP1 mb1 shared-overlap tile-fused");
  plan.overlap = {false, true, true};
  EXPECT_EQ(short_name(plan), "TP1 PP1 EP1 DP1 mb1 a2a-1f1b+dw");
  plan.overlap = {};
  plan.chunk_degree = 2;
  plan.chunk_degree_backward = 4;
  EXPECT_THAT(write_plan(plan), HasSubstr("\nchunk_degree: {forward: 2, backward: 4}\n"));
  EXPECT_EQ(parse_plan(write_plan(plan), "plan.yaml"), plan);
  EXPECT_EQ(short_name(plan), "TP1 PP1 EP1 DP1 mb1 chunks2/4");
  // Twice the same is the one number.
  EXPECT_EQ(parse_plan("name: a\nlayout: {dp: 1}\nchunk_degree: {forward: 3, backward: 3}\n", "p")
                .chunk_degree_backward,
            0);
}

TEST(PlanFile, FaultsOfOverlapsSayWhereAndWhy) {
  EXPECT_EQ(errors_of("name: a\nlayout: {dp: 1}\noverlap: {all_to_all: dualpipe}\n"),
            "plan.yaml:3:23: error: found \"dualpipe\", expected one of none, 1f1b\n    in plan > overlap > "
            "all_to_all");
  EXPECT_EQ(errors_of("name: a\nlayout: {dp: 1}\noverlap: {delay_weight_gradients: true}\n"),
            "plan.yaml:3:35: error: weight gradients are delayed in pairs of micro-batches only\n"
            "    in plan > overlap > delay_weight_gradients\n    hint: write \"all_to_all: 1f1b\" beside it");
  EXPECT_THAT(errors_of("name: a\nlayout: {dp: 1}\noverlap: {shared_expert: true}\n"),
              HasSubstr("unknown key \"shared_expert\"\n    in plan > overlap\n    hint: did you mean "
                        "\"shared_experts\"?"));
  EXPECT_THAT(errors_of("name: a\nlayout: {dp: 1}\nchunk_degree: {forward: 2}\n"),
              HasSubstr("key \"backward\" is missing"));
  EXPECT_THAT(errors_of("name: a\nlayout: {dp: 1}\nchunk_degree: {forward: 0, backward: 2}\n"),
              HasSubstr("plan.yaml:3:25: error: found 0, expected 1 to 1048576"));
}

TEST(PlanFile, OffloadReadsBackTheSameAndIsLeftOutWhereThereIsNone) {
  PlanSpec plan;
  plan.name = "offload";
  EXPECT_THAT(write_plan(plan), ::testing::Not(HasSubstr("offload:")));
  plan.offload.layers = 40;
  EXPECT_THAT(write_plan(plan), HasSubstr("\noffload: {layers: 40}\n"));
  EXPECT_EQ(parse_plan(write_plan(plan), "plan.yaml"), plan);
  EXPECT_EQ(short_name(plan), "TP1 PP1 EP1 DP1 mb1 offload40");
  EXPECT_THAT(describe(plan), HasSubstr("offload                activations of the first 40 layers\n"));
}

TEST(PlanFile, FaultsOfOffloadSayWhereAndWhy) {
  EXPECT_EQ(errors_of("name: a\nlayout: {dp: 1}\noffload: {layers: -1}\n"),
            "plan.yaml:3:19: error: found -1, expected 0 to 100000\n    in plan > offload > layers\n"
            "    hint: the first so many decoder layers, fewer than the model has");
  EXPECT_EQ(
      errors_of("name: a\nlayout: {dp: 1}\noffload: {modules: [core_attn]}\n"),
      "plan.yaml:3:20: error: found modules, expected layers: offload of single modules is not simulated\n"
      "    in plan > offload > modules\n"
      "    hint: Megatron's --fine-grained-activation-offloading; write \"layers: N\" for whole layers");
  EXPECT_THAT(errors_of("name: a\nlayout: {dp: 1}\noffload: {}\n"), HasSubstr("key \"layers\" is missing"));
  EXPECT_THAT(errors_of("name: a\nlayout: {dp: 1}\noffload: {layer: 2}\n"),
              HasSubstr("did you mean \"layers\"?"));
  EXPECT_THAT(errors_of("name: a\nlayout: {dp: 1}\noffload: 3\n"), HasSubstr("plan.yaml:3:10: error:"));
}

TEST(PlanFile, EveryScheduleHasAWord) {
  for (const std::string& word : schedule_words()) {
    PlanSpec plan = full_plan();
    plan.stated_schedule = find_schedule(word);
    ASSERT_TRUE(plan.stated_schedule) << word;
    EXPECT_EQ(name(*plan.stated_schedule), word);
    EXPECT_THAT(write_plan(plan), HasSubstr("\nschedule: " + word + "\n"));
    EXPECT_EQ(parse_plan(write_plan(plan), "plan.yaml"), plan);
    EXPECT_THAT(short_name(plan), HasSubstr(" " + word));
  }
  EXPECT_EQ(schedule_words().size(), 7U);
  EXPECT_EQ(find_schedule("zb-v"), std::nullopt);
  EXPECT_EQ(
      errors_of("name: a\nlayout: {dp: 1}\nschedule: dual_pipe\n"),
      "plan.yaml:3:11: error: found \"dual_pipe\", expected one of gpipe, 1f1b, interleaved, zb_h1, zb_v, "
      "dualpipe, dualpipe_v\n    in plan > schedule\n    hint: did you mean \"dualpipe\"?");
}

TEST(PlanFile, EverySharingOfWeightsHasAWord) {
  for (const std::string& word : data_parallel_words()) {
    PlanSpec plan = full_plan();
    const DataParallel sharding = find_data_parallel(word).value();
    EXPECT_EQ(name(sharding), word);
    plan.distributed_optimizer = sharding != DataParallel::kNone;
    if (shards_gradients(sharding)) plan.stated_data_parallel = sharding;
    if (sharding == DataParallel::kHsdp) plan.shard_group = 8;
    EXPECT_EQ(plan.data_parallel(), sharding);
    EXPECT_EQ(parse_plan(write_plan(plan), "plan.yaml"), plan) << word;
  }
  const PlanSpec stated = parse_plan("name: a\nlayout: {dp: 1}\ndata_parallel: none\n", "plan.yaml");
  EXPECT_FALSE(stated.distributed_optimizer);
  EXPECT_EQ(errors_of("name: a\nlayout: {dp: 1}\ndata_parallel: zero2\ndistributed_optimizer: false\n"),
            "plan.yaml:4:24: error: found false, but data_parallel zero2 means true\n"
            "    in plan > distributed_optimizer\n    hint: leave distributed_optimizer out");
  EXPECT_EQ(errors_of("name: a\nlayout: {dp: 1}\ndata_parallel: fsdp\nshard_group: 8\n"),
            "plan.yaml:4:14: error: data_parallel fsdp takes no shard_group\n"
            "    in plan > shard_group\n    hint: it is for hsdp");
  EXPECT_THAT(errors_of("name: a\nlayout: {dp: 1}\ndata_parallel: hsdp\n"),
              HasSubstr("plan.yaml:3:16: error: hsdp needs a shard_group"));
}

TEST(PlanFile, EveryContextExchangeHasAWord) {
  for (const std::string& word : context_exchange_words()) {
    PlanSpec plan = full_plan();
    plan.stated_cp_comm = find_context_exchange(word);
    if (word == "a2a+p2p") plan.cp_a2a_size = 2;
    EXPECT_EQ(name(plan.stated_cp_comm.value()), word);
    EXPECT_EQ(parse_plan(write_plan(plan), "plan.yaml"), plan) << word;
  }
  EXPECT_EQ(errors_of("name: a\nlayout: {dp: 1}\ncp_comm_type: p2p\ncp_a2a_size: 2\n"),
            "plan.yaml:4:14: error: cp_comm_type p2p takes no cp_a2a_size\n"
            "    in plan > cp_a2a_size\n    hint: it is for a2a+p2p");
  EXPECT_THAT(errors_of("name: a\nlayout: {dp: 1}\ncp_comm_type: a2a+p2p\n"),
              HasSubstr("plan.yaml:3:15: error: a2a+p2p needs a cp_a2a_size"));
}

TEST(PlanFile, WithoutAScheduleVirtualStagesInterleave) {
  PlanSpec plan = full_plan();
  EXPECT_EQ(plan.schedule(), PipelineSchedule::kInterleaved);
  plan.layout.vp = 1;
  EXPECT_EQ(plan.schedule(), PipelineSchedule::kOneForwardOneBackward);
  plan.stated_schedule = PipelineSchedule::kGpipe;
  EXPECT_EQ(plan.schedule(), PipelineSchedule::kGpipe);
  EXPECT_THAT(write_plan(full_plan()), ::testing::Not(HasSubstr("schedule:")));
}

TEST(PlanFile, RandomPlansReadBackTheSame) {
  base::RandomStream random(test::test_seed(), "plans");
  for (int i = 0; i < 200; ++i) {
    PlanSpec plan;
    plan.name = "p" + std::to_string(i);
    ParallelLayout& l = plan.layout;
    const auto power = [&] { return 1 << random.below(4); };
    l.tp = power();
    l.cp = power();
    l.pp = power();
    l.vp = power();
    l.ep = power();
    l.edp = power();
    l.dp = l.ep * l.edp;
    l.etp = l.tp * l.cp;
    plan.placement.algorithm = "random";
    for (std::uint64_t row = 0; row <= random.below(4); ++row) {
      std::vector<std::int32_t> slots(16);
      for (auto& slot : slots) slot = static_cast<std::int32_t>(random.below(16));
      plan.placement.slots.push_back(slots);
    }
    EXPECT_EQ(parse_plan(write_plan(plan), "plan.yaml"), plan);
  }
}

TEST(PlanFile, RunsOfExpertsAndOfEqualLayersAreShort) {
  PlanSpec plan = full_plan();
  std::vector<std::int32_t> row(128);
  std::iota(row.begin(), row.end(), 0);
  plan.placement.slots.assign(58, row);
  EXPECT_THAT(write_plan(plan), HasSubstr("- {layers: \"0-57\", experts: \"0-127\"}"));
}

TEST(PlanFile, FaultsSayWhatWasFoundAndWhatWasExpected) {
  EXPECT_THAT(errors_of("name: a\nlayout: {dp: 8, ep: 3}\n"),
              HasSubstr("plan.yaml:2:21: error: etp * ep = 3 does not divide the 8 GPUs of a stage"));
  EXPECT_THAT(errors_of("name: a\nlayout: {ep: 1}\n"), HasSubstr("key \"dp\" is missing"));
  EXPECT_THAT(errors_of("name: a\nlayout: {dp: 8, ep: 4, edp: 3}\n"),
              HasSubstr("found 3, expected tp * cp * dp / (etp * ep) = 2"));
  EXPECT_THAT(errors_of("name: a\nlayout: {dp: 1}\nmicrobatch: 2\n"),
              HasSubstr("unknown key \"microbatch\"\n    in plan\n    hint: did you mean \"micro_batch\"?"));
  EXPECT_THAT(errors_of("name: a\nlayout: {dp: 1, pp: 2}\nlayers_per_chunk: [3]\n"),
              HasSubstr("found 1 entries, expected pp * vp = 2"));
  EXPECT_THAT(errors_of("name: a\nlayout: {dp: 1}\nrecompute: {mode: selective, modules: [core_atn]}\n"),
              HasSubstr("did you mean \"core_attn\"?"));
  EXPECT_THAT(errors_of("name: a\nlayout: {dp: 1}\nrecompute: {mode: full, modules: [mlp]}\n"),
              HasSubstr("modules have no effect with mode full"));
  EXPECT_THAT(errors_of("name: a\nlayout: {dp: 1}\nplacement: {algorithm: eplb}\n"),
              HasSubstr("placement \"eplb\" has no slots"));
  EXPECT_THAT(errors_of("name: a\nlayout: {dp: 1}\nplacement: {slots: [{layers: \"1\", experts: \"0\"}]}\n"),
              HasSubstr("starts at 0"));
  EXPECT_THAT(
      errors_of(
          "name: a\nlayout: {dp: 1}\nplacement: {slots: [{layers: \"0\", experts: \"0-99999999999\"}]}\n"),
      HasSubstr("expected expert numbers"));
}

TEST(EvenSplit, WholeDivisionsAreEqualAndRemaindersStartAtTheSecondChunk) {
  EXPECT_THAT(even_split(8, 2, 2).layers_per_chunk, ElementsAre(2, 2, 2, 2));
  // 61 layers in 8 chunks: 7 each and 5 left, which go to chunks 1 to 5.
  EXPECT_THAT(even_split(61, 8, 1).layers_per_chunk, ElementsAre(7, 8, 8, 8, 8, 8, 7, 7));
  EXPECT_THAT(even_split(1, 2, 1).layers_per_chunk, ElementsAre(0, 1));
}

TEST(Plan, ShortNameHoldsWhatTablesNeed) {
  EXPECT_EQ(short_name(full_plan()), "TP2 PP4 VP2 EP8 DP16 mb2 core_attn+moe_act pairwise chunks4 eplb");
  EXPECT_EQ(short_name(PlanSpec{}), "TP1 PP1 EP1 DP1 mb1");
}

// Rank order tp-cp-ep-dp-pp: with TP2 CP1 DP16 a stage has 32 ranks, so rank 37 is stage 1, place 5 in it:
// tp 1, dp 2; on the expert grid (ETP1 EP8 EDP4) ep 5, edp 0.
TEST(ParallelLayout, IndicesFollowMegatronsRankOrder) {
  const ParallelLayout l = full_plan().layout;
  const base::RankId rank(37);
  EXPECT_EQ(l.world(), 128);
  EXPECT_EQ(l.stage_of(rank), 1);
  EXPECT_EQ(l.tp_index(rank), 1);
  EXPECT_EQ(l.dp_index(rank), 2);
  EXPECT_EQ(l.ep_index(rank), 5);
  EXPECT_EQ(l.edp_index(rank), 0);
}

TEST(Plan, MicroBatchesShareTheGlobalBatch) { EXPECT_EQ(micro_batches(full_plan(), 2048), 2048 / (16 * 2)); }

TEST(Plan, DescribeNamesBothGrids) {
  EXPECT_THAT(describe(full_plan()), HasSubstr("128 GPUs = TP 2 x CP 1 x DP 16 x PP 4"));
  EXPECT_THAT(describe(full_plan()), HasSubstr("ETP 1 x EP 8 x EDP 4 x PP 4"));
}

}  // namespace
}  // namespace moeplan::sim
