#include "planner/export/megatron_rules.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "tests/planner/export/jobs.h"

namespace moeplan::planner {
namespace {

using test::plan_of;
using Keys = std::vector<std::string>;

/// One job that a test may spoil.
struct Case {
  sim::ModelSpec model = test::small_model();
  sim::RunSpec run = test::small_run();
  int gpus = 16;
  sim::PlanSpec plan = plan_of(16, 2, 2, 4);

  Keys broken() const {
    Keys keys;
    for (const sim::PlanFault& fault : find_megatron_faults({model, run, gpus}, plan)) keys.push_back(fault.rule);
    return keys;
  }
};

TEST(MegatronRules, AGoodPlanBreaksNone) { EXPECT_EQ(Case{}.broken(), Keys{}); }

TEST(MegatronRules, TheWorldIsAMultipleOfTpPpCp) {
  Case c;
  c.gpus = 18;
  c.plan.layout.ep = 1;
  EXPECT_EQ(c.broken(), Keys{"world-divides"});
}

TEST(MegatronRules, TheWorldIsAMultipleOfEtpEpPp) {
  Case c;
  c.gpus = 24;  // TP 2 x PP 2 = 4 divides it, ETP 2 x EP 4 x PP 2 = 16 does not
  c.plan.layout.etp = 2;
  c.plan.layout.dp = 8;
  EXPECT_EQ(c.broken(), Keys{"expert-world-divides"});
}

TEST(MegatronRules, EpDividesTheExperts) {
  Case c;
  c.model.experts = 6;
  EXPECT_EQ(c.broken(), Keys{"ep-divides-experts"});
}

TEST(MegatronRules, EpNeedsExperts) {
  Case c;
  c.model.experts = 0;
  c.model.dense_ffn = 4096;
  for (sim::LayerSpec& layer : c.model.layers) layer.ffn = sim::FfnKind::kDense;
  EXPECT_EQ(c.broken(), Keys{"ep-needs-experts"});
}

TEST(MegatronRules, TpWithEpNeedsSequenceParallelism) {
  Case c;
  c.plan.layout.sequence_parallel = false;
  EXPECT_EQ(c.broken(), Keys{"sequence-parallel"});
  c.plan.layout.ep = 1;
  EXPECT_EQ(c.broken(), Keys{});
}

TEST(MegatronRules, SequenceParallelismCutsTheSequenceEvenly) {
  Case c;
  c.run.seq_len = 4095;
  EXPECT_EQ(c.broken(), Keys{"sequence-divides"});
}

TEST(MegatronRules, ContextParallelismNeedsTwoPiecesARank) {
  Case c;
  c.plan = plan_of(16, 1, 2, 4);
  c.plan.layout.cp = 2;
  c.plan.layout.dp = 4;
  c.run.seq_len = 4098;
  EXPECT_EQ(c.broken(), Keys{"context-divides"});
}

TEST(MegatronRules, TpDividesTheHeads) {
  Case c;
  c.model.heads = 15;
  EXPECT_EQ(c.broken(), Keys{"heads-divide"});
}

TEST(MegatronRules, TpDividesTheQueryGroupsUnlessMla) {
  Case c;
  c.model.kv_heads = 1;
  EXPECT_EQ(c.broken(), Keys{"kv-heads-divide"});
  c.model.kv_lora_rank = 512;
  EXPECT_EQ(c.broken(), Keys{});
}

TEST(MegatronRules, ContextParallelismWithMlaExchangesKeysRoundARing) {
  Case c;
  c.plan.layout.cp = 2;
  c.plan.layout.dp /= 2;
  EXPECT_EQ(c.broken(), Keys{});
  c.model.kv_lora_rank = 512;
  for (const auto& [exchange, broken] : {std::pair(sim::ContextExchange::kAllGather, true), std::pair(sim::ContextExchange::kAllToAll, true),
                                         std::pair(sim::ContextExchange::kP2p, false), std::pair(sim::ContextExchange::kAllToAllP2p, false)}) {
    c.plan.stated_cp_comm = exchange;
    EXPECT_EQ(c.broken(), broken ? Keys{"context-mla"} : Keys{}) << sim::name(exchange);
  }
}

TEST(MegatronRules, TpDividesTheFeedForwardWidths) {
  Case c;
  c.model.shared_ffn = 513;
  EXPECT_EQ(c.broken(), Keys{"ffn-divides"});
}

TEST(MegatronRules, EtpDividesTheExpertWidth) {
  Case c;
  c.plan.layout.etp = 2;
  c.model.expert_ffn = 511;
  EXPECT_EQ(c.broken(), Keys{"expert-ffn-divides"});
}

TEST(MegatronRules, InterleavingNeedsAPipeline) {
  Case c;
  c.plan = plan_of(16, 2, 1, 4, 2);
  EXPECT_EQ(c.broken(), Keys{"vp-needs-pp"});
}

// 64 sequences / (DP 4 x micro-batch 16) = 1 micro-batch, no multiple of PP 2.
TEST(MegatronRules, InterleavingNeedsMicroBatchesInMultiplesOfPp) {
  Case c;
  c.plan = plan_of(16, 2, 2, 4, 2, 16);
  EXPECT_EQ(c.broken(), Keys{"interleaving-micro-batches"});
  c.plan.micro_batch = 8;
  EXPECT_EQ(c.broken(), Keys{});
}

TEST(MegatronRules, TheScheduleIsOneThatMegatronCoreHas) {
  for (const auto schedule : {sim::PipelineSchedule::kGpipe, sim::PipelineSchedule::kZeroBubbleH1, sim::PipelineSchedule::kZeroBubbleV,
                              sim::PipelineSchedule::kDualPipe, sim::PipelineSchedule::kDualPipeV}) {
    Case c;
    c.plan.stated_schedule = schedule;
    EXPECT_EQ(c.broken(), Keys{"schedule"}) << sim::name(schedule);
  }
  Case c;
  c.plan.stated_schedule = sim::PipelineSchedule::kOneForwardOneBackward;
  EXPECT_EQ(c.broken(), Keys{});
  c.plan.stated_schedule = sim::PipelineSchedule::kInterleaved;  // without virtual stages
  EXPECT_EQ(c.broken(), Keys{"schedule"});
  c.plan.layout.vp = 2;
  EXPECT_EQ(c.broken(), Keys{});
}

TEST(MegatronRules, LayersFillTheStages) {
  Case c;
  c.plan = plan_of(16, 1, 2, 4, 8);
  EXPECT_EQ(c.broken(), Keys{"layers-fill-stages"});  // 8 layers, 16 virtual stages
}

TEST(MegatronRules, AGivenSplitAddsUp) {
  Case c;
  c.plan.split.layers_per_chunk = {4, 5};
  EXPECT_EQ(c.broken(), Keys{"layout-adds-up"});
  c.plan.split.layers_per_chunk = {3, 5};
  EXPECT_EQ(c.broken(), Keys{});
}

TEST(MegatronRules, TheGlobalBatchDivides) {
  Case c;
  c.run.global_batch = 63;
  EXPECT_EQ(c.broken(), Keys{"batch-divides"});
}

TEST(MegatronRules, RecomputeModulesMeetTheModel) {
  Case c;
  c.plan.recompute = {sim::RecomputeMode::kSelective, {sim::RecomputeModule::kMlaUpProj}};
  EXPECT_EQ(c.broken(), Keys{"recompute-words"});
  c.plan.recompute.modules = {sim::RecomputeModule::kCoreAttn, sim::RecomputeModule::kMoeAct};
  EXPECT_EQ(c.broken(), Keys{});
}

TEST(MegatronRules, OverlappedParameterGatherNeedsItsFriends) {
  Case c;
  c.plan.distributed_optimizer = false;
  EXPECT_EQ(c.broken(), Keys{"overlap-param-gather"});
  c.plan.overlap_param_gather = false;
  EXPECT_EQ(c.broken(), Keys{});
}

TEST(MegatronRules, TokenChunksAndPairwiseExchangeAreNotMegatrons) {
  Case c;
  c.plan.chunk_degree = 2;
  EXPECT_EQ(c.broken(), Keys{"chunk-degree"});
  c.plan.chunk_degree = 1;
  c.plan.dispatcher = sim::Dispatcher::kPairwise;
  EXPECT_EQ(c.broken(), Keys{"dispatcher"});
}

TEST(MegatronRules, SharedExpertsOverlapWithTheAlltoallDispatcher) {
  Case c;
  c.plan.overlap.shared_experts = true;
  EXPECT_EQ(c.broken(), Keys{"overlap-shared-experts"});  // none there
  c.model.shared_ffn = 1024;
  EXPECT_EQ(c.broken(), Keys{});
  c.plan.dispatcher = sim::Dispatcher::kDeepEp;
  EXPECT_EQ(c.broken(), Keys{"overlap-shared-experts"});
  c.plan.dispatcher = sim::Dispatcher::kFlat;
  c.plan.recompute = {sim::RecomputeMode::kSelective, {sim::RecomputeModule::kSharedExperts}};
  EXPECT_EQ(c.broken(), Keys{"overlap-shared-experts"});
}

TEST(MegatronRules, AllToAllsUnderAnotherMicroBatchNeedVirtualStages) {
  Case c;
  c.plan.overlap.all_to_all = true;
  EXPECT_EQ(c.broken(), Keys{"overlap-all-to-all"});  // PP 2 without virtual stages
  c.plan = plan_of(16, 2, 2, 4, 2);
  c.plan.overlap = {false, true, true};
  EXPECT_EQ(c.broken(), Keys{});
  c.plan.recompute.mode = sim::RecomputeMode::kFull;
  EXPECT_EQ(c.broken(), Keys{"overlap-all-to-all"});
  c.plan.recompute = {sim::RecomputeMode::kSelective, {sim::RecomputeModule::kMoe}};
  EXPECT_EQ(c.broken(), Keys{"overlap-all-to-all"});
  c.plan.recompute = {};
  c.model.mtp_layers = 2;
  EXPECT_EQ(c.broken(), Keys{"overlap-all-to-all"});
  c.model.mtp_layers = 1;
  c.plan.overlap.all_to_all = false;
  EXPECT_EQ(c.broken(), Keys{"overlap-weight-gradients"});
  c.plan.overlap = {false, false, false, true};
  EXPECT_EQ(c.broken(), Keys{"overlap-tile-fused"});
}

TEST(MegatronRules, APlacementIsAPermutationOfEveryLayer) {
  Case c;
  c.plan.placement.algorithm = "greedy";
  c.plan.placement.slots.assign(8, {7, 6, 5, 4, 3, 2, 1, 0});
  EXPECT_EQ(c.broken(), Keys{});
  c.plan.placement.slots[3] = {0, 0, 1, 2, 3, 4, 5, 6, 7, 7};  // replicas
  EXPECT_EQ(c.broken(), Keys{"placement-permutes"});
  c.plan.placement.slots.pop_back();
  EXPECT_EQ(c.broken(), Keys{"placement-permutes"});
}

// 8 experts in 2 groups: 0-3 and 4-7. Groups may trade places as a whole.
TEST(MegatronRules, GroupLimitedRoutingKeepsGroupsWhole) {
  Case c;
  c.model.groups = 2;
  c.model.topk_groups = 1;
  c.plan.placement.algorithm = "greedy";
  c.plan.placement.slots.assign(8, {6, 7, 4, 5, 3, 2, 1, 0});
  EXPECT_EQ(c.broken(), Keys{});
  c.plan.placement.slots[0] = {6, 7, 4, 0, 3, 2, 1, 5};
  EXPECT_EQ(c.broken(), Keys{"placement-keeps-groups"});
}

// What TransformerConfig asks of cpu_offloading; a graph of the whole step is none of parts of a layer.
TEST(MegatronRules, OffloadExcludesPipelinesRecomputeAndPartialGraphs) {
  Case c;
  c.plan = plan_of(16, 2, 1, 4);
  c.plan.offload.layers = 7;
  c.run.graph.whole_step = true;
  c.run.gradients.check = false;
  EXPECT_EQ(c.broken(), Keys{});
  c.plan.offload.layers = 8;
  EXPECT_EQ(c.broken(), Keys{"offload"});
  c.plan.offload.layers = 2;
  c.plan.recompute = {sim::RecomputeMode::kFull, {}};
  EXPECT_EQ(c.broken(), Keys{"offload"});
  c.plan.recompute = {};
  c.run.graph.router = true;
  EXPECT_EQ(c.broken(), Keys{"offload"});
  c.run.graph = {};
  c.plan = plan_of(16, 2, 2, 4);
  c.plan.offload.layers = 2;
  EXPECT_EQ(c.broken(), Keys{"offload"});
}

TEST(MegatronRules, RunsMegatronCannotStartAreNamed) {
  const auto broken_by = [](auto spoil) {
    Case c;
    spoil(c);
    return c.broken();
  };
  EXPECT_EQ(broken_by([](Case& c) { c.run.precision.gemm = sim::NumberFormat::kFp32; }), Keys{"precision"});
  EXPECT_EQ(broken_by([](Case& c) { c.run.precision.dispatch = sim::NumberFormat::kFp8Block; }), Keys{"dispatch-format"});
  EXPECT_EQ(broken_by([](Case& c) { c.run.precision.gradient_reduce = sim::NumberFormat::kFp8Block; }), Keys{"gradient-format"});
  EXPECT_EQ(broken_by([](Case& c) { c.run.precision.optimizer_bytes_per_parameter = 6; }), Keys{"optimizer-states"});
  EXPECT_EQ(broken_by([](Case& c) { c.run.optimizer = "muon"; }), Keys{"optimizer"});
  EXPECT_EQ(broken_by([](Case& c) { c.run.router_bias_update = true; }), Keys{"router-bias"});
  EXPECT_EQ(broken_by([](Case& c) { c.model.groups = 3; }), Keys{"groups-divide"});
  EXPECT_EQ(broken_by([](Case& c) { c.model.layers[0].mixer = sim::MixerKind::kMamba; }), Keys{"layer-kinds"});
  EXPECT_EQ(broken_by([](Case& c) {
              c.model.layers[0].window = 128;
              c.model.layers[1].window = 256;
            }),
            Keys{"one-window"});
}

// 32000 = 250 x 128 needs no padding at TP 2 (125 x 256), but at TP 4: 62.5 x 512 -> 63 x 512 = 32256.
TEST(MegatronRules, TheVocabularyIsPaddedToTheDivisorTimesTp) {
  EXPECT_EQ(padded_vocab(32000, 1), 32000);
  EXPECT_EQ(padded_vocab(32000, 2), 32000);
  EXPECT_EQ(padded_vocab(32000, 4), 32256);
}

TEST(MegatronRules, CudaGraphsExcludeWhatTheyCannotCapture) {
  const Keys broken{"cuda-graph"};
  Case c;
  c.run.graph.attention = c.run.graph.router = true;
  EXPECT_EQ(c.broken(), Keys{});
  c.plan.recompute = {sim::RecomputeMode::kFull, {}};
  EXPECT_EQ(c.broken(), broken);
  c.plan.recompute = {sim::RecomputeMode::kSelective, {sim::RecomputeModule::kMoe}};
  EXPECT_EQ(c.broken(), broken);
  c.plan.recompute = {sim::RecomputeMode::kSelective, {sim::RecomputeModule::kMoeAct}};
  EXPECT_EQ(c.broken(), Keys{});
  c.run.documents = sim::DocumentSpec{};
  EXPECT_EQ(c.broken(), broken);
  Case whole;
  whole.run.graph.whole_step = true;
  EXPECT_EQ(whole.broken(), broken);  // the check for NaNs is on by default
  whole.run.gradients.check = false;
  EXPECT_EQ(whole.broken(), Keys{});
  whole.plan.recompute = {sim::RecomputeMode::kFull, {}};
  EXPECT_EQ(whole.broken(), Keys{});
  whole.plan = plan_of(16, 1, 1, 8);
  whole.plan.overlap.all_to_all = true;
  EXPECT_EQ(whole.broken(), broken);
  Case dense;
  dense.model.experts = 0;
  dense.model.dense_ffn = 4096;
  for (sim::LayerSpec& layer : dense.model.layers) layer.ffn = sim::FfnKind::kDense;
  dense.plan = plan_of(16, 2, 2, 1);
  dense.run.graph.router = true;
  EXPECT_EQ(dense.broken(), broken);
}

}  // namespace
}  // namespace moeplan::planner
