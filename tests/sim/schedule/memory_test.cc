#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/csv.h"
#include "base/document.h"
#include "sim/schedule/activation_bytes.h"
#include "sim/schedule/memory.h"
#include "sim/schedule/simulate.h"
#include "tests/support/corpus.h"
#include "topology/cluster.h"

namespace moeplan::sim {
namespace {

std::string config(const std::string& path) { return (test::source_root() / "configs" / path).string(); }

/// What a Job refers to.
struct Case {
  topology::Cluster cluster = topology::load_cluster(config("clusters/hgx-h100-128n.yaml"));
  Profile profile = load_profile(config("profiles/h100-sxm.yaml"));
  ModelSpec model;
  RunSpec run;
  std::unique_ptr<ExpertLoads> loads;
  PlanSpec plan;

  Case(ModelSpec spec, const std::string& load) : model(std::move(spec)) {
    run.global_batch = 1024;
    run.seq_len = 4096;
    LoadOptions options;
    options.moe_layers = std::max(1, model.moe_layers());
    options.experts = std::max(1, model.experts);
    options.top_k = std::max(1, model.top_k);
    loads = load_expert_loads(load, options);
  }
  Job job() const { return {cluster, profile, model, run, *loads}; }
  MemoryResult memory() const { return compute_memory(job(), plan); }
};

Case tiny(const std::string& load = "uniform") {
  return Case(load_model(config("models/tiny-moe.json")), load);
}

std::string rules_of(const Case& c) {
  std::string text;
  for (const PlanFault& fault : find_faults(c.job(), c.plan)) text += fault.rule + ";";
  return text;
}

TEST(Faults, ExpertTensorParallelismDividesTheExperts) {
  Case c = tiny();
  c.plan.layout = ParallelLayout{1, 1, 1, 1, 1, 3, 3, 1, true};
  EXPECT_NE(rules_of(c).find("etp-divides-ffn;"), std::string::npos) << rules_of(c);
}

// One GPU. Parameters: everything the model has; 2 bytes of bf16, 4 of gradients, 12 of Adam, nothing shared
// out.
TEST(Memory, OneGpuHoldsEveryParameterWithItsGradientAndStates) {
  const Case c = tiny();
  const MemoryResult memory = c.memory();
  ASSERT_EQ(memory.per_stage.size(), 1U);
  const MemoryPart& part = memory.per_stage[0];
  // Norms of q and k and the final norm are counted within 0.1 % only.
  const auto parameters = static_cast<double>(total_parameters(c.model));
  EXPECT_NEAR(part.parameters.as_double(), 2 * parameters, 0.001 * 2 * parameters);
  EXPECT_NEAR(part.gradients.as_double() / part.parameters.as_double(), 2.0, 1e-9);
  EXPECT_NEAR(part.optimizer_states.as_double() / part.parameters.as_double(), 6.0, 1e-9);
  EXPECT_EQ(memory.peak, part.allocated());
  EXPECT_EQ(memory.reserved, part.reserved());
}

// By hand for tiny-moe (hidden 1024, 8 heads of 128, 2 key-value heads, dense 3072, 16 experts top-2 of width
// 512, qk norm), 4,096 tokens, in bytes per token:
//   attention  2x1024 (norm input) + 2x1024 (norm output) + 2x(1024 + 256 + 256) (q, k, v) + 2x(1024 + 256)
//   (norm inputs)
//              + 2x1024 (output) + 8x4 (log-sum-exp)                                                        =
//              11,808
//   dense      2x1024 + 2x1024 + 2x2x3072 + 2x3072                                                          =
//   22,528 moe        2x1024 + 2x1024 + 2x16x4 (router) + 2 rows x (2x1024 + 2x2x512 + 2x512) = 14,464
TEST(Memory, ActivationsAreTheTensorsThatBackwardNeeds) {
  const Case c = tiny();
  const ActivationBytes bytes(c.model, c.run, c.plan);
  const LayerBytes dense = bytes.layer(c.model.layers[0]);
  const LayerBytes moe = bytes.layer(c.model.layers[1]);
  EXPECT_DOUBLE_EQ(dense.kept, 4096.0 * (11808 + 22528));
  EXPECT_DOUBLE_EQ(moe.kept, 4096.0 * (11808 + 2 * 2048 + 128));
  EXPECT_DOUBLE_EQ(moe.kept_per_row, 2 * 1024 + 2 * 2 * 512 + 2 * 512);
}

TEST(Memory, RecomputeMovesBytesFromKeptToDropped) {
  Case c = tiny();
  const LayerBytes none = ActivationBytes(c.model, c.run, c.plan).layer(c.model.layers[1]);
  for (const RecomputeModule module : {RecomputeModule::kCoreAttn, RecomputeModule::kMoeAct,
                                       RecomputeModule::kLayernorm, RecomputeModule::kMoe}) {
    c.plan.recompute = {RecomputeMode::kSelective, {module}};
    const LayerBytes some = ActivationBytes(c.model, c.run, c.plan).layer(c.model.layers[1]);
    EXPECT_NEAR(some.kept + some.dropped, none.kept, 1.0) << name(module);
    EXPECT_NEAR(some.kept_per_row + some.dropped_per_row, none.kept_per_row, 1e-6) << name(module);
    EXPECT_LT(some.kept + 8192 * some.kept_per_row, none.kept + 8192 * none.kept_per_row) << name(module);
  }
  c.plan.recompute = {RecomputeMode::kFull, {}};
  const LayerBytes full = ActivationBytes(c.model, c.run, c.plan).layer(c.model.layers[1]);
  EXPECT_DOUBLE_EQ(full.kept, 4096.0 * 2 * 1024);  // the layer's input
  EXPECT_DOUBLE_EQ(full.kept_per_row, 0.0);
}

TEST(Memory, TheDistributedOptimizerSharesStatesOutOverDataParallelRanks) {
  Case c = tiny();
  c.plan.layout = ParallelLayout{1, 1, 1, 1, 4, 1, 8, 2, true};
  const MemoryResult shared = c.memory();
  c.plan.distributed_optimizer = false;
  const MemoryResult whole = c.memory();
  // Dense states over dp 8, expert states over edp 2.
  const double experts =
      3 * 4 * static_cast<double>(expert_parameters(c.model));  // 3 MoE layers, 16 / ep 4 experts
  const double dense = whole.per_stage[0].parameters.as_double() / 2 - experts;
  EXPECT_NEAR(shared.per_stage[0].optimizer_states.as_double(), 12 * (dense / 8 + experts / 2), 16);
  EXPECT_NEAR(whole.per_stage[0].optimizer_states.as_double(), 12 * (dense + experts), 16);
}

// 1F1B: stage i of pp keeps pp - i micro-batches. With every layer alike, stage 1 of 4 has 3/2 of stage 2's.
TEST(Memory, EarlyStagesKeepMoreMicroBatches) {
  Case c = tiny();
  for (LayerSpec& layer : c.model.layers) layer.ffn = FfnKind::kDense;
  c.model.experts = 0;
  c.plan.layout = ParallelLayout{1, 4, 1, 1, 1, 1, 1, 1, true};
  const LayerBytes layer = ActivationBytes(c.model, c.run, c.plan).layer(c.model.layers[0]);
  const MemoryResult memory = c.memory();
  const double one =
      memory.per_stage[1].activations.as_double() - memory.per_stage[2].activations.as_double();
  EXPECT_NEAR(one, layer.kept, 1.0);
  EXPECT_EQ(memory.per_stage[0].logits, base::Bytes());
  EXPECT_GT(memory.per_stage[3].logits, base::Bytes());
}

// Megatron's interleaved schedule: 2 (pp - i - 1) + (vp - 1) pp + 1 forwards in flight. pp 2, vp 2, one layer
// a chunk: stage 0: 5, stage 1: 3.
TEST(Memory, InterleavingKeepsMegatronsWarmUpForwards) {
  Case c = tiny();
  for (LayerSpec& layer : c.model.layers) layer.ffn = FfnKind::kDense;
  c.model.experts = 0;
  c.plan.layout = ParallelLayout{1, 2, 2, 1, 1, 1, 1, 1, true};
  const LayerBytes layer = ActivationBytes(c.model, c.run, c.plan).layer(c.model.layers[0]);
  const MemoryResult memory = c.memory();
  const double backward = memory.per_stage[0].activations.as_double() - 5 * layer.kept;
  EXPECT_GT(backward, 0.0);
  const double others =
      memory.per_stage[1].activations.as_double() + memory.per_stage[1].logits.as_double() - 3 * layer.kept;
  EXPECT_GE(others, backward - 1.0);  // the last stage's loss, or the same layer
}

// A hot rank's rows are its share of all; with one expert a rank and hot:8 over 16 experts, 8 ranks have 2 x
// 1/2 x 16/8.
TEST(Memory, TheRankWithTheHottestExpertsCounts) {
  Case even = tiny("uniform");
  Case hot = tiny("hot:1");
  for (Case* c : {&even, &hot}) c->plan.layout = ParallelLayout{1, 1, 1, 1, 16, 1, 16, 1, true};
  EXPECT_GT(hot.memory().peak, even.memory().peak);
  // hot:1 sends half of all assignments to one expert: 16 / 2 = 8 times the mean, in one layer of three at a
  // time unless the same rank is hot in several: the hottest keeps at least (8 + 2 * 0.53) and at most 24
  // mean rows.
  const LayerBytes moe = ActivationBytes(hot.model, hot.run, hot.plan).layer(hot.model.layers[1]);
  const double rows =
      (hot.memory().per_stage[0].activations - even.memory().per_stage[0].activations).as_double() /
      moe.kept_per_row / (4096 * 2);
  EXPECT_GT(rows, 5.0);
  EXPECT_LT(rows, 25.0);
}

TEST(Memory, SpreadingReplicasLowersTheHottestRank) {
  Case c = tiny("hot:1");
  c.plan.layout = ParallelLayout{1, 1, 1, 1, 4, 1, 4, 1, true};
  const base::Bytes contiguous = c.memory().per_stage[0].activations;
  c.plan.placement.algorithm = "replicated";
  for (int layer = 0; layer < 3; ++layer) {
    const auto share = c.loads->mean_share(0, layer);
    const auto hottest =
        static_cast<std::int32_t>(std::max_element(share.begin(), share.end()) - share.begin());
    std::vector<std::int32_t> slots;
    for (std::int32_t e = 0; e < 16; ++e) {
      slots.push_back(e);
      if (e % 4 == 3) slots.push_back(hottest);  // one more on each rank
    }
    c.plan.placement.slots.push_back(slots);
  }
  EXPECT_LT(c.memory().per_stage[0].activations, contiguous);
}

TEST(Memory, CapacityPadsBuffersToItsFactor) {
  Case c = tiny();
  c.run.gate = GatePolicy::kForceBalanced;
  const base::Bytes even = c.memory().per_stage[0].activations;
  c.run.gate = GatePolicy::kCapacity;
  c.run.capacity_factor = 2.0;
  EXPECT_GT(c.memory().per_stage[0].activations, even);
}

/// Eight equal dense layers, PP 4, 16 micro-batches; head and embedding next to nothing.
Case pipeline(PipelineSchedule schedule, int vp = 1) {
  Case c = tiny();
  c.model.layers.assign(8, LayerSpec{MixerKind::kAttention, FfnKind::kDense, 0});
  c.model.experts = 0;
  c.model.vocab = 128;
  c.model.mtp_layers = 0;
  c.plan.stated_schedule = schedule;
  c.plan.layout = ParallelLayout{1, 4, vp, 1, 1, 1, 8, 8, true};
  c.run.global_batch = 8 * 16;
  return c;
}

// What is kept grows with the micro-batches in flight: of n at the peak n A, and the same working memory.
// Rank 0 under 1F1B keeps 4 A, the last rank 1 A: A is a third of the difference. GPipe keeps 16 A on every
// rank. ZB-V and ZB-H1 keep as much as rank 0 of 1F1B, less where weight gradients wait, whose stash is
// smaller than A.
TEST(Memory, EverySchedulesActivationsAreThoseInFlight) {
  const MemoryResult plain = pipeline(PipelineSchedule::kOneForwardOneBackward).memory();
  const double four = plain.per_stage[0].activations.as_double();
  const double three = plain.per_stage[1].activations.as_double();
  const double two = plain.per_stage[2].activations.as_double();
  const double a = four - three;
  EXPECT_NEAR(three - two, a, 1e-6 * a);
  const double working = four - 4 * a;
  for (const MemoryPart& part : pipeline(PipelineSchedule::kGpipe).memory().per_stage)
    EXPECT_NEAR(part.activations.as_double(), 16 * a + working, 1e-3 * a);
  const auto h1 = pipeline(PipelineSchedule::kZeroBubbleH1).memory().per_stage;
  EXPECT_NEAR(h1[0].activations.as_double(), four, 1e-3 * a);
  EXPECT_LT(h1[3].activations.as_double(), four);
  EXPECT_GT(h1[3].activations.as_double(), two);
  const auto v = pipeline(PipelineSchedule::kZeroBubbleV, 2).memory().per_stage;
  EXPECT_NEAR(v[0].activations.as_double(), four, 1e-3 * a);
  for (const MemoryPart& part : v) EXPECT_LT(part.activations.as_double(), four + 1e-3 * a);
}

// DualPipe holds two chunks a rank: twice the parameters and gradients of 1F1B, PP + 1 activations, and the
// optimizer states of both shared out over the ranks of both: as much as without.
TEST(Memory, DualPipeHoldsTheParametersTwice) {
  const MemoryResult plain = pipeline(PipelineSchedule::kOneForwardOneBackward).memory();
  const MemoryResult dual = pipeline(PipelineSchedule::kDualPipe).memory();
  const double a = plain.per_stage[0].activations.as_double() - plain.per_stage[1].activations.as_double();
  EXPECT_NEAR(dual.per_stage[1].parameters / plain.per_stage[1].parameters, 2.0, 1e-9);
  EXPECT_NEAR(dual.per_stage[1].gradients / plain.per_stage[1].gradients, 2.0, 1e-9);
  EXPECT_NEAR(dual.per_stage[1].optimizer_states / plain.per_stage[1].optimizer_states, 1.0, 1e-6);
  for (const MemoryPart& part : dual.per_stage) {
    EXPECT_GT(part.activations.as_double(), plain.per_stage[0].activations.as_double());
    EXPECT_LT(part.activations.as_double(), plain.per_stage[0].activations.as_double() + 1.01 * a);
  }
}

// A rank of a folded pipeline may hold both ends: tied tables stand there once.
TEST(Memory, TiedTablesOfAFoldedPipelineStandOnOneRank) {
  Case c = pipeline(PipelineSchedule::kZeroBubbleV, 2);
  c.model.vocab = 100'000;
  const auto free = c.memory().per_stage[0].parameters;
  c.model.tied_embeddings = true;
  const auto tied = c.memory().per_stage[0].parameters;
  EXPECT_NEAR((free - tied).as_double(), 2.0 * static_cast<double>(embedding_parameters(c.model)), 1.0);
  EXPECT_EQ(c.memory().per_stage[3].parameters, c.memory().per_stage[2].parameters);
}

/// Seconds of one estimate, the fastest of many batches of calls: machines are shared.
double seconds_of_an_estimate(const Case& c) {
  double fastest = 1e30;
  double sum = 0.0;
  for (int batch = 0; batch < 20; ++batch) {
    constexpr int kCalls = 10;
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kCalls; ++i) sum += c.memory().peak.as_double();
    fastest = std::min(fastest, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / kCalls);
  }
  EXPECT_GT(sum, 0.0);
  return fastest;
}

TEST(Memory, CostGrowsNoFasterThanMicroBatches) {
  Case c(load_model(config("models/deepseek-v3.json")), "lognormal:1.35");
  c.plan.layout = ParallelLayout{1, 16, 1, 1, 64, 1, 64, 1, true};
  const double few = seconds_of_an_estimate(c);
  c.run.global_batch *= 16;
  const double many = seconds_of_an_estimate(c);
  RecordProperty("ratio", fmt::format("{:.2f}", many / few));
  EXPECT_LT(many, 64.0 * few);  // quadratic: 256 times
}

TEST(Faults, AGoodPlanHasNone) {
  Case c = tiny();
  c.plan.layout = ParallelLayout{2, 2, 2, 1, 8, 1, 8, 2, true};
  EXPECT_EQ(rules_of(c), "");
}

TEST(Faults, EveryRuleHasItsKeyAndNumbers) {
  const auto with = [](auto change) {
    Case c = tiny();
    c.plan.layout = ParallelLayout{2, 2, 2, 1, 8, 1, 8, 2, true};
    change(c);
    return rules_of(c);
  };
  using ::testing::HasSubstr;
  EXPECT_THAT(with([](Case& c) { c.plan.layout.dp = 1024, c.plan.layout.edp = 256; }), HasSubstr("gpus;"));
  EXPECT_THAT(with([](Case& c) { c.plan.layout.ep = 32; }), HasSubstr("ep-divides-stage;"));
  EXPECT_THAT(with([](Case& c) { c.plan.layout.edp = 4; }), HasSubstr("edp;"));
  EXPECT_THAT(with([](Case& c) { c.model.experts = 12; }), HasSubstr("ep-divides-experts;"));
  EXPECT_THAT(with([](Case& c) { c.run.global_batch = 100; }), HasSubstr("batch;"));
  EXPECT_THAT(with([](Case& c) { c.run.global_batch = 24; }), HasSubstr("interleaved-micro-batches;"));
  const auto scheduled = [&](PipelineSchedule schedule, int pp, int vp, int micro_batches) {
    return with([&](Case& c) {
      c.plan.stated_schedule = schedule;
      c.plan.layout = ParallelLayout{1, pp, vp, 1, 8, 1, 8, 1, true};
      c.run.global_batch = 8 * micro_batches;
    });
  };
  using S = PipelineSchedule;
  EXPECT_EQ(scheduled(S::kGpipe, 4, 1, 1), "");
  EXPECT_EQ(scheduled(S::kOneForwardOneBackward, 2, 2, 8), "schedule-chunks;");
  EXPECT_EQ(scheduled(S::kInterleaved, 2, 1, 8), "schedule-chunks;");
  EXPECT_EQ(scheduled(S::kZeroBubbleH1, 4, 1, 3), "");
  EXPECT_EQ(scheduled(S::kZeroBubbleH1, 1, 1, 8), "schedule-needs-pipeline;");
  EXPECT_EQ(scheduled(S::kZeroBubbleV, 2, 1, 8), "schedule-chunks;");
  EXPECT_EQ(scheduled(S::kZeroBubbleV, 2, 2, 3), "");
  EXPECT_EQ(scheduled(S::kZeroBubbleV, 1, 2, 8), "interleaved-needs-pipeline;");
  EXPECT_EQ(scheduled(S::kDualPipe, 2, 2, 8), "schedule-chunks;");
  EXPECT_EQ(scheduled(S::kDualPipe, 3, 1, 8), "dualpipe-stages;");
  EXPECT_EQ(scheduled(S::kDualPipe, 4, 1, 9), "dualpipe-micro-batches;");
  EXPECT_EQ(scheduled(S::kDualPipe, 4, 1, 6), "dualpipe-micro-batches;");
  EXPECT_EQ(scheduled(S::kDualPipe, 4, 1, 8), "");
  EXPECT_EQ(scheduled(S::kDualPipeV, 2, 2, 3), "dualpipe-micro-batches;");
  EXPECT_EQ(scheduled(S::kDualPipeV, 2, 2, 5), "");
  EXPECT_THAT(with([](Case& c) { c.plan.stated_schedule = S::kDualPipeV, c.plan.chunk_degree = 2; }),
              HasSubstr("dualpipe-chunks;"));
  EXPECT_THAT(with([](Case& c) { c.model.heads = 9; }), HasSubstr("tp-divides-heads;"));
  EXPECT_THAT(with([](Case& c) { c.plan.layout.sequence_parallel = false; }),
              HasSubstr("moe-needs-sequence-parallel;"));
  EXPECT_THAT(with([](Case& c) { c.model.layers.resize(3); }), HasSubstr("layers;"));
  EXPECT_THAT(with([](Case& c) {
                c.plan.split.layers_per_chunk = {1, 1, 1, 2};
              }),
              HasSubstr("split-layers;"));
  EXPECT_THAT(with([](Case& c) { c.plan.split.layers_per_chunk = {2, 0, 1, 1}; }), HasSubstr("split-empty;"));
  EXPECT_EQ(with([](Case& c) { c.plan.split.layers_per_chunk = {0, 2, 2, 0}; }), "");
  EXPECT_THAT(with([](Case& c) { c.plan.placement.slots = {{0, 1}}; }), HasSubstr("placement-layers;"));
  EXPECT_THAT(with([](Case& c) {
                c.plan.placement.slots.assign(3, {0, 1, 2, 3, 4, 5, 6, 7});
              }),
              HasSubstr("placement-complete;"));
  EXPECT_THAT(with([](Case& c) {
                c.plan.placement.slots.assign(3, {0, 1, 2});
              }),
              HasSubstr("ep-divides-slots;"));
  EXPECT_THAT(with([](Case& c) {
                c.plan.recompute = {RecomputeMode::kSelective, {RecomputeModule::kMlaUpProj}};
              }),
              HasSubstr("recompute-module;"));
  EXPECT_THAT(with([](Case& c) { c.plan.micro_batch = 0; }), HasSubstr("degrees;"));
  EXPECT_THAT(with([](Case& c) { c.run.seq_len = 4095; }), HasSubstr("tp-divides-sequence;"));
}

/// One published peak (e2e/steps.csv), with what its source's recipe says that the row does not: SimuMax
/// accumulates in fp32; Megatron-Bridge's Moonlight recipe has bf16 gradients and bf16 Adam moments beside
/// fp32 weights.
struct Published {
  std::string id;
  double error = 0.0;
};

std::vector<Published> judge_published_peaks(const std::filesystem::path& corpus) {
  const base::CsvTable table = base::load_csv((corpus / "e2e/steps.csv").string());
  const auto cell = [&](std::size_t row, const char* column) {
    return table.cell(row, table.require_column(column));
  };
  const auto number = [&](std::size_t row, const char* column) { return std::stoi(cell(row, column)); };
  std::vector<Published> all;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const std::string release = cell(row, "release");
    const std::string model_id = cell(row, "model_id");
    const bool moonlight = model_id == "moonlight-16b-a3b";
    if (cell(row, "peak_alloc_bytes").empty() || cell(row, "usable") != "yes" ||
        (release.rfind("simumax", 0) != 0 && !moonlight))
      continue;
    Case c(load_model((corpus / "models" / (model_id + ".json")).string()), "uniform");
    c.run.seq_len = number(row, "seq_len");
    c.run.global_batch = number(row, "gbs");
    c.run.gate = GatePolicy::kForceBalanced;
    if (moonlight) {
      c.run.precision.gradient_reduce = NumberFormat::kBf16;
      c.run.precision.optimizer_bytes_per_parameter = 8;
      const std::string recompute = cell(row, "recompute");
      std::vector<RecomputeModule> modules;
      if (recompute.find("core_attn") != std::string::npos) modules.push_back(RecomputeModule::kCoreAttn);
      if (recompute.find("moe_act") != std::string::npos) modules.push_back(RecomputeModule::kMoeAct);
      if (recompute.find("layernorm") != std::string::npos) modules.push_back(RecomputeModule::kLayernorm);
      if (recompute.find("mla_up_proj") != std::string::npos) modules.push_back(RecomputeModule::kMlaUpProj);
      if (recompute.find("+mlp") != std::string::npos) modules.push_back(RecomputeModule::kMlp);
      if (!modules.empty()) c.plan.recompute = {RecomputeMode::kSelective, modules};
    }
    ParallelLayout& l = c.plan.layout;
    l = {number(row, "tp"),
         number(row, "pp"),
         number(row, "vp"),
         number(row, "cp"),
         number(row, "ep"),
         number(row, "etp"),
         number(row, "dp"),
         1,
         true};
    l.edp = l.tp * l.cp * l.dp / (l.ep * l.etp);
    c.plan.micro_batch = number(row, "mbs");
    const double measured = std::stod(cell(row, "peak_alloc_bytes"));
    all.push_back({fmt::format("{} {} {} {}", cell(row, "id"), model_id, short_name(c.plan), c.run.seq_len),
                   c.memory().peak.as_double() / measured - 1.0});
  }
  return all;
}

// SimuMax's llama3-405b-l4 rows come out 2 to 3 % low, all by what 16 more key-value heads would weigh.
TEST(MemoryCorpus, PublishedPeaksAreMetWithinAFewPercent) {
  const auto corpus = test::corpus();
  if (!corpus) GTEST_SKIP() << "the corpus of measured data is absent";
  const std::vector<Published> rows = judge_published_peaks(*corpus);
  ASSERT_GT(rows.size(), 30U);
  double sum = 0.0;
  for (const Published& row : rows) {
    EXPECT_LT(std::abs(row.error), 0.08) << row.id;
    RecordProperty(row.id.substr(0, 3), fmt::format("{:+.2f} %", 100.0 * row.error));
    sum += std::abs(row.error);
  }
  EXPECT_LT(sum / static_cast<double>(rows.size()), 0.02);
}

}  // namespace
}  // namespace moeplan::sim
