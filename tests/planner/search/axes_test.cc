#include "planner/search/axes.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <numeric>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "base/config_files.h"
#include "base/diagnostics.h"
#include "planner/export/megatron_rules.h"
#include "planner/search/explain.h"
#include "planner/search/search.h"

namespace moeplan::planner {
namespace {

/// tiny-moe (4 layers, the first dense, 8 heads, 2 query groups, 16 experts) on nodes of 8 H100.
struct TinyJob {
  explicit TinyJob(const char* nodes = "hgx-h100-1n", std::int64_t global_batch = 32,
                   std::int64_t seq_len = 1024)
      : cluster(topology::load_cluster(base::resolve_config("clusters", nodes))) {
    sim::LoadOptions options;
    options.moe_layers = model.moe_layers();
    options.experts = model.experts;
    options.top_k = model.top_k;
    loads = sim::load_expert_loads("zipf:1.0", options);
    run.name = "tiny";
    run.global_batch = global_batch;
    run.seq_len = seq_len;
  }
  sim::Job job() const { return {cluster, profile, model, run, *loads}; }
  void cut_memory(double gib) {
    topology::ClusterSpec spec = cluster.spec();
    spec.node.memory = base::Bytes::from_mib(static_cast<std::int64_t>(gib * 1024));
    cluster = topology::compile(spec);
  }

  topology::Cluster cluster;
  sim::Profile profile = sim::load_profile(base::resolve_config("profiles", "h100-sxm"));
  sim::ModelSpec model = sim::load_model(base::resolve_config("models", "tiny-moe"));
  sim::RunSpec run;
  std::unique_ptr<sim::ExpertLoads> loads;
};

SearchOptions with(const char* open, const char* pins = "placement=contiguous,vp=1") {
  SearchOptions options;
  if (*open != '\0') options.open = parse_open_axes(open);
  options.pins = parse_pins(pins);
  options.iterations = 1;
  return options;
}

std::int64_t pruned_in_all(const SearchResult& result) {
  return std::accumulate(result.pruned.begin(), result.pruned.end(), std::int64_t{0},
                         [](std::int64_t sum, const auto& rule) { return sum + rule.second; });
}

/// The plans of the space that keep Megatron's rules and the simulator's.
std::vector<sim::PlanSpec> legal_plans(const TinyJob& tiny, const SearchOptions& options) {
  const sim::Job job = tiny.job();
  const int gpus = tiny.cluster.ranks();
  const Space space =
      build_space(job.model, {gpus, tiny.cluster.nvlink_domain(), false}, options.pins, options.open);
  std::vector<sim::PlanSpec> plans;
  for (const Candidate& candidate : space.enumerate(job.model)) {
    sim::PlanSpec plan = plan_of(space, candidate, "megatron");
    if (find_megatron_faults({job.model, job.run, gpus}, plan).empty() && sim::find_faults(job, plan).empty())
      plans.push_back(std::move(plan));
  }
  return plans;
}

std::string refusal(const std::function<void()>& work) {
  try {
    work();
  } catch (const base::InputError& error) {
    return error.what();
  }
  return "";
}

TEST(OpenAxes, AreReadWordByWord) {
  EXPECT_EQ(parse_open_axes("cp"), (OpenAxes{true, false, false, false, false, false}));
  EXPECT_EQ(parse_open_axes("overlap,etp"), (OpenAxes{false, true, false, true, false, false}));
  EXPECT_EQ(parse_open_axes("all"), (OpenAxes{true, true, true, true, true, true, true, true}));
  EXPECT_EQ(parse_open_axes("cp,cp").count(), 1);
}

TEST(OpenAxes, UnknownWordsAreRefusedWithWhatIsExpectedAndAHint) {
  const auto refused = [](const char* text) { return refusal([text] { parse_open_axes(text); }); };
  EXPECT_EQ(
      refused("shardin"),
      "error: --open: found \"shardin\", expected cp, etp, sharding, overlap, dispatcher, chunks, schedule, stages or all\n"
      "    hint: did you mean \"sharding\"?");
  EXPECT_EQ(refused("tp"),
            "error: --open: found \"tp\", expected cp, etp, sharding, overlap, dispatcher, chunks, schedule, stages or all\n"
            "    hint: tp is searched without being opened; --pin tp=VALUE holds it still");
  for (const char* text : {"", "cp,", ",cp", "cp,,etp"}) {
    EXPECT_EQ(refused(text),
              "error: --open: found \"\", expected cp, etp, sharding, overlap, dispatcher, chunks, schedule, stages or all\n"
              "    hint: the other axes are searched without being opened; --pin AXIS=VALUE holds one still")
        << text;
  }
}

TEST(OpenAxes, ValuesOfTheirPinsAreReadAndRefused) {
  const Pins pins =
      parse_pins("cp=4,cp_comm=a2a+p2p:2,etp=2,sharding=hsdp:8,overlap=all_to_all+delay_weight_gradients");
  EXPECT_EQ(pins.cp, 4);
  EXPECT_EQ(pins.cp_comm, (ContextValue{sim::ContextExchange::kAllToAllP2p, 2}));
  EXPECT_EQ(pins.etp, 2);
  EXPECT_EQ(pins.sharding, (ShardingValue{sim::DataParallel::kHsdp, 8}));
  EXPECT_TRUE(pins.overlap->all_to_all && pins.overlap->delay_weight_gradients &&
              !pins.overlap->shared_experts);
  for (const sim::LayerOverlap& overlap : all_overlap_values())
    EXPECT_EQ(parse_overlap_value(overlap_value_words(overlap)), overlap);
  EXPECT_EQ(refusal([] { parse_pins("sharding=hsdp:1"); }),
            "error: --pin sharding: found \"hsdp:1\", expected a whole number from 2 behind the colon\n"
            "    hint: for example hsdp:4; without a number the search takes one that fits the layout");
  for (const char* bad : {"cp=0", "cp_comm=ring", "cp_comm=p2p:2", "cp_comm=a2a+p2p:x", "sharding=zero9",
                          "sharding=fsdp:8", "sharding=", "overlap=both", "overlap=all_to_all+", "etp=-1"}) {
    const std::string text = refusal([bad] { parse_pins(bad); });
    EXPECT_NE(text.find("found \""), std::string::npos) << bad;
    EXPECT_NE(text.find("expected "), std::string::npos) << bad;
  }
  EXPECT_NE(
      refusal([] { search_plans(TinyJob().job(), with("", "cp_comm=p2p")); }).find("nothing to exchange"),
      std::string::npos);
}

TEST(OpenAxes, HoldOneValueUnlessOpened) {
  for (const sim::PlanSpec& plan : legal_plans(TinyJob(), with(""))) {
    EXPECT_EQ(plan.layout.cp, 1);
    EXPECT_EQ(plan.layout.etp, 1);
    EXPECT_FALSE(plan.stated_cp_comm || plan.stated_data_parallel || plan.overlap.any());
    EXPECT_TRUE(plan.distributed_optimizer);
    EXPECT_EQ(plan.dispatcher, sim::Dispatcher::kFlat);
  }
}

TEST(OpenAxes, OpenedHaveSeveralValuesThatKeepTheRules) {
  const TinyJob tiny("hgx-h100-4n");
  std::set<std::string> cp, etp, exchange, sharding, overlap, dispatcher;
  for (const sim::PlanSpec& plan : legal_plans(tiny, with("cp"))) {
    cp.insert(std::to_string(plan.layout.cp));
    if (plan.layout.cp > 1) exchange.insert(std::string(sim::name(plan.cp_comm())));
  }
  for (const sim::PlanSpec& plan : legal_plans(tiny, with("etp")))
    etp.insert(std::to_string(plan.layout.etp));
  for (const sim::PlanSpec& plan : legal_plans(tiny, with("sharding")))
    sharding.insert(std::string(sim::name(plan.data_parallel())));
  for (const sim::PlanSpec& plan : legal_plans(tiny, with("overlap")))
    overlap.insert(overlap_value_words(plan.overlap));
  for (const sim::PlanSpec& plan : legal_plans(tiny, with("dispatcher")))
    dispatcher.insert(std::string(sim::name(plan.dispatcher)));
  EXPECT_EQ(cp, (std::set<std::string>{"1", "2", "4", "8", "16"}));
  EXPECT_EQ(exchange, (std::set<std::string>{"all_gather", "p2p", "a2a", "a2a+p2p"}));
  EXPECT_EQ(etp, (std::set<std::string>{"1", "2", "4", "8"}));
  EXPECT_EQ(sharding, (std::set<std::string>{"none", "zero1", "zero2", "fsdp", "hsdp"}));
  EXPECT_EQ(overlap, (std::set<std::string>{"none", "all_to_all", "all_to_all+delay_weight_gradients"}));
  EXPECT_EQ(dispatcher, (std::set<std::string>{"flat", "deepep", "hybridep"}));
}

TEST(OpenAxes, AreNotOfferedWhereTheySayNothing) {
  TinyJob tiny;
  sim::ModelSpec dense = tiny.model;
  dense.experts = 0;
  for (sim::LayerSpec& layer : dense.layers) layer.ffn = sim::FfnKind::kDense;
  const Space space = build_space(dense, {8, 8, false}, {}, parse_open_axes("etp,overlap,dispatcher"));
  EXPECT_EQ(space.etp, std::vector<int>{1});
  EXPECT_EQ(space.overlap.size(), 1U);
  EXPECT_EQ(space.dispatcher.size(), 1U);
  const Space all = build_space(tiny.model, {8, 8, false}, {}, parse_open_axes("cp,etp,sharding,overlap,dispatcher,chunks"));
  sim::ParallelLayout alone;  // PP 8 on 8 GPUs: nothing is held twice, nothing is exchanged
  alone.pp = 8;
  EXPECT_EQ(all.variants_of(alone).size(), 1U);
  alone.ep = 2;
  alone.pp = 4;
  alone.dp = 2;
  EXPECT_EQ(all.variants_of(alone).size(),
            4U * 3U * 5U);  // none, zero1, zero2, fsdp; no group of hsdp; dispatchers; overlaps
}

// 1F1B or interleaved, ZB-H1 and DualPipe for one chunk a rank, ZB-V and DualPipeV for two; both splits of the
// layers, none of it without a pipeline.
TEST(OpenAxes, SchedulesAndSplitsAreThoseOfTheStages) {
  TinyJob tiny;
  const Space space = build_space(tiny.model, {8, 8, false}, {}, parse_open_axes("schedule,stages"));
  sim::ParallelLayout layout;
  layout.dp = 8;
  EXPECT_EQ(space.variants_of(layout).size(), 1U);
  layout.pp = 2;
  layout.dp = 4;
  EXPECT_EQ(space.variants_of(layout).size(), 3U * 2U);
  layout.vp = 2;
  EXPECT_EQ(space.variants_of(layout).size(), 3U * 2U);
  layout.vp = 4;
  EXPECT_EQ(space.variants_of(layout).size(), 2U);
  int zero_bubble = 0;
  for (const Candidate& variant : space.variants_of(layout)) {
    const sim::PlanSpec plan = plan_of(space, variant, "any");
    zero_bubble += sim::splits_backward(plan.schedule()) ? 1 : 0;
  }
  EXPECT_EQ(zero_bubble, 0);
}

// 2 sequences of 131072 tokens on 8 GPUs, 2 query groups: without CP at most DP 2 x TP 2, the other half of
// the GPUs is a pipeline with one micro-batch. With CP 4 all of them work on attention, which grows with the
// square of the sequence.
TEST(OpenAxes, ContextParallelismWinsOnLongSequences) {
  const TinyJob tiny("hgx-h100-1n", 2, 131'072);
  const SearchResult closed = search_plans(tiny.job(), with(""));
  const SearchResult opened = search_plans(tiny.job(), with("cp"));
  ASSERT_TRUE(closed.feasible && opened.feasible);
  EXPECT_GT(opened.plans.front().plan.layout.cp, 1);
  EXPECT_LT(opened.plans.front().result.step_time, closed.plans.front().result.step_time * 0.7);
}

// The same on GPUs that cannot hold the activations of half a sequence.
TEST(OpenAxes, ContextParallelismFitsWhatDidNot) {
  TinyJob tiny("hgx-h100-1n", 2, 524'288);
  tiny.cut_memory(32);
  const char* const pins = "placement=contiguous,vp=1,recompute=none";
  EXPECT_FALSE(search_plans(tiny.job(), with("", pins)).feasible);
  const SearchResult opened = search_plans(tiny.job(), with("cp", pins));
  ASSERT_TRUE(opened.feasible);
  EXPECT_GT(opened.plans.front().plan.layout.cp, 1);
}

TEST(OpenAxes, OverlapWinsWhereNodesExchangeTokens) {
  const TinyJob tiny("hgx-h100-4n", 1024, 4096);
  const char* const pins = "placement=contiguous,ep=16,pp=1";
  const SearchResult closed = search_plans(tiny.job(), with("", pins));
  const SearchResult opened = search_plans(tiny.job(), with("overlap", pins));
  ASSERT_TRUE(closed.feasible && opened.feasible);
  EXPECT_TRUE(opened.plans.front().plan.overlap.all_to_all);
  EXPECT_LT(opened.plans.front().result.step_time, closed.plans.front().result.step_time * 0.97);
}

// Whole weights, gradients and shards of the optimizer on every GPU against shards of all three: a limit half
// way between lets only those in that share out more than the optimizer.
TEST(OpenAxes, ShardedParametersFitWhereWholeOnesDoNot) {
  TinyJob tiny;
  sim::PlanSpec whole;
  whole.layout.dp = whole.layout.edp = 8;
  sim::PlanSpec sharded = whole;
  apply_sharding({sim::DataParallel::kFsdp, 0}, sharded);
  const sim::MemoryResult most = sim::compute_memory(tiny.job(), whole);
  const sim::MemoryResult least = sim::compute_memory(tiny.job(), sharded);
  ASSERT_LT(least.reserved, most.reserved);
  const double kept_free = tiny.cluster.spec().node.memory.gib() - most.limit.gib();
  tiny.cut_memory(0.5 * (least.reserved.gib() + most.reserved.gib()) + kept_free);
  const char* const pins = "tp=1,pp=1,ep=1,mb=1,recompute=none";
  EXPECT_FALSE(search_plans(tiny.job(), with("", pins)).feasible);
  const SearchResult opened = search_plans(tiny.job(), with("sharding", pins));
  ASSERT_TRUE(opened.feasible);
  EXPECT_TRUE(sim::shards_gradients(opened.plans.front().plan.data_parallel()));
}

// Each with the rule that refuses it.
TEST(OpenAxes, WhatAFrameworkRefusesIsCountedUnderItsRule) {
  const auto pruned = [](const TinyJob& tiny, const char* open, const char* pins) {
    return search_plans(tiny.job(), with(open, pins)).pruned;
  };
  EXPECT_GT(pruned(TinyJob(), "cp", "vp=1").at("cp-divides-heads"), 0);  // a2a over CP 8 of 2 query groups
  EXPECT_GT(pruned(TinyJob("hgx-h100-1n", 32, 1000), "cp", "vp=1,tp=1").at("context-divides"),
            0);  // 1000 % 16
  EXPECT_GT(pruned(TinyJob(), "etp", "vp=1,dispatcher=deepep").at("etp-dispatcher"), 0);
  EXPECT_GT(pruned(TinyJob(), "etp", "vp=1").at("expert-world-divides"), 0);
  EXPECT_GT(pruned(TinyJob(), "sharding", "vp=1").at("sharding-pipeline"), 0);
  EXPECT_GT(pruned(TinyJob(), "sharding,overlap", "pp=1").at("sharding-overlap"), 0);
  const auto overlap = pruned(TinyJob(), "overlap", "placement=contiguous");
  EXPECT_GT(overlap.at("overlap-all-to-all"), 0);      // PP above 1 without virtual stages
  EXPECT_GT(overlap.at("overlap-shared-experts"), 0);  // the model has none
  EXPECT_GT(overlap.at("overlap-tile-fused"), 0);      // Megatron has no such kernel
  EXPECT_GT(pruned(TinyJob(), "chunks", "vp=1").at("chunk-degree"), 0);
}

TEST(OpenAxes, EveryPointIsAccountedForAndThreadsChangeNothing) {
  const TinyJob tiny;
  SearchOptions options = with("cp,etp,sharding,overlap,dispatcher", "mb=1");
  options.budget = 24;
  options.threads = 1;
  const SearchResult one = search_plans(tiny.job(), options);
  EXPECT_EQ(one.searched, pruned_in_all(one) + one.evaluated);
  EXPECT_EQ(one.evaluated, 24);
  const Space space = build_space(tiny.model, {8, 8, false}, options.pins, options.open);
  EXPECT_EQ(one.searched, static_cast<std::int64_t>(space.enumerate(tiny.model).size()));
  options.threads = 2;
  const SearchResult two = search_plans(tiny.job(), options);
  EXPECT_EQ(one.why, two.why);
  EXPECT_EQ(one.pruned, two.pruned);
  ASSERT_EQ(one.plans.size(), two.plans.size());
  for (std::size_t k = 0; k < one.plans.size(); ++k) {
    EXPECT_EQ(sim::write_plan(one.plans[k].plan), sim::write_plan(two.plans[k].plan));
    EXPECT_EQ(one.plans[k].result.step_time, two.plans[k].result.step_time);
  }
}

// The sieve counts what it leaves out; what is left over must be what rule by rule and plan by plan is legal.
TEST(OpenAxes, TheSieveLeavesExactlyTheLegalPlans) {
  const TinyJob tiny;
  SearchOptions options = with("cp,etp,sharding,overlap", "vp=1,placement=contiguous,recompute=none");
  options.budget = 1;
  const SearchResult result = search_plans(tiny.job(), options);
  std::int64_t legal = result.evaluated;
  for (const char* rule : {"memory", "bound", "budget", "tp-within-nvlink"}) {
    const auto found = result.pruned.find(rule);
    if (found != result.pruned.end()) legal += found->second;
  }
  EXPECT_EQ(legal, static_cast<std::int64_t>(legal_plans(tiny, options).size()));
}

TEST(OpenAxes, FindWhatExhaustiveSimulationFinds) {
  const TinyJob tiny("hgx-h100-1n", 2, 32'768);
  SearchOptions options = with("cp,sharding,overlap", "vp=1,mb=1,placement=contiguous,recompute=none,etp=1");
  options.budget = 100'000;
  const SearchResult found = search_plans(tiny.job(), options);
  ASSERT_TRUE(found.feasible);
  base::Seconds best = base::Seconds::infinity();
  for (const sim::PlanSpec& plan : legal_plans(tiny, options)) {
    sim::SimulateOptions simulate;
    simulate.max_iterations = 1;
    simulate.what_if = false;
    if (sim::compute_memory(tiny.job(), plan).fits())
      best = std::min(best, sim::simulate_step(tiny.job(), plan, simulate).result.step_time);
  }
  EXPECT_DOUBLE_EQ(found.plans.front().result.step_time.s(), best.s());
}

TEST(OpenAxes, APinRestrictsAnOpenedAxis) {
  const TinyJob tiny("hgx-h100-1n", 2, 32'768);
  const SearchResult result = search_plans(tiny.job(), with("cp", "vp=1,cp=4,cp_comm=p2p"));
  ASSERT_TRUE(result.feasible);
  for (const RankedPlan& ranked : result.plans) {
    EXPECT_EQ(ranked.plan.layout.cp, 4);
    EXPECT_EQ(ranked.plan.cp_comm(), sim::ContextExchange::kP2p);
  }
  // A CP of the user's brings every exchange.
  std::set<std::string> exchange;
  for (const sim::PlanSpec& plan : legal_plans(tiny, with("", "vp=1,cp=2")))
    exchange.insert(std::string(sim::name(plan.cp_comm())));
  EXPECT_EQ(exchange, (std::set<std::string>{"all_gather", "p2p", "a2a"}));
}

// 1 ps: the points that opening adds are left out, the others are all estimated and some are simulated.
TEST(OpenAxes, AWallBudgetLeavesThePointsThatAreSearchedAnyway) {
  const TinyJob tiny;
  SearchOptions options = with("cp,overlap");
  options.wall_budget = base::Seconds::of(1e-12);
  const SearchResult result = search_plans(tiny.job(), options);
  ASSERT_TRUE(result.feasible);
  EXPECT_FALSE(result.deterministic);
  EXPECT_EQ(result.searched, pruned_in_all(result) + result.evaluated);
  EXPECT_GT(result.pruned.at("wall-budget"), 0);
  EXPECT_EQ(result.plans.front().plan.layout.cp, 1);
  EXPECT_FALSE(result.plans.front().plan.overlap.any());
}

TEST(OpenAxes, EachOneMoreIsWorthSimulationsOfItsOwn) {
  EXPECT_EQ(default_budget({}), 96);
  EXPECT_EQ(default_budget(parse_open_axes("cp,overlap")), 96 + 2 * 48);
}

TEST(OpenAxes, NeighboursChangeThem) {
  const TinyJob tiny("hgx-h100-1n", 2, 131'072);
  sim::PlanSpec base;
  base.name = "mine";
  base.layout.tp = 2;
  base.layout.pp = 2;
  base.layout.dp = 2;
  base.layout.edp = 4;
  const SearchResult closed = search_neighbours(tiny.job(), base, with("", ""));
  const SearchResult opened =
      search_neighbours(tiny.job(), base, with("cp,etp,sharding,overlap,dispatcher", ""));
  ASSERT_TRUE(closed.feasible && opened.feasible);
  for (const RankedPlan& ranked : closed.plans) EXPECT_EQ(ranked.plan.layout.cp, 1);
  EXPECT_EQ(opened.searched, pruned_in_all(opened) + opened.evaluated);
  EXPECT_GT(opened.searched, closed.searched);
  EXPECT_GT(opened.plans.front().plan.layout.cp, 1);
  EXPECT_LT(opened.plans.front().result.step_time, closed.plans.front().result.step_time);
  EXPECT_NE(opened.plans.front().why.find("CP "), std::string::npos);
}

// A group of heads is the largest divisor of CP below it that stays with TP inside an NVLink domain: of CP 16
// with TP 2 on nodes of 8, 4. A shard group is an NVLink domain, or where experts need more ranks, those: 8 /
// 2, and 16 / 2.
TEST(OpenAxes, SizesOfGroupsFollowTheLayout) {
  sim::ParallelLayout layout;
  layout.tp = 2;
  layout.cp = 16;
  layout.dp = 2;
  EXPECT_EQ(fit_to_layout(ContextValue{sim::ContextExchange::kAllToAllP2p, 0}, layout, 8)->a2a_size, 4);
  EXPECT_EQ(fit_to_layout(ContextValue{sim::ContextExchange::kAllToAllP2p, 8}, layout, 8)->a2a_size, 8);
  EXPECT_EQ(fit_to_layout(ShardingValue{sim::DataParallel::kHsdp, 0}, layout, 8)->group, 4);
  layout.ep = 16;
  EXPECT_EQ(fit_to_layout(ShardingValue{sim::DataParallel::kHsdp, 0}, layout, 8)->group, 8);
  layout.cp = 2;
  EXPECT_FALSE(fit_to_layout(ContextValue{sim::ContextExchange::kAllToAllP2p, 0}, layout, 8).has_value());
  EXPECT_FALSE(
      fit_to_layout(ShardingValue{sim::DataParallel::kHsdp, 0}, layout, 8).has_value());  // all 4 ranks: fsdp
}

TEST(Explain, NamesWhatOpenedAxesChange) {
  sim::PlanSpec a;
  sim::PlanSpec b;
  b.layout.cp = 2;
  b.layout.etp = 4;
  b.overlap.all_to_all = true;
  b.stated_data_parallel = sim::DataParallel::kHsdp;
  b.shard_group = 8;
  b.dispatcher = sim::Dispatcher::kDeepEp;
  EXPECT_EQ(describe_difference(b, a),
            "CP 2 instead of 1, ETP 4 instead of 1, sharding hsdp:8 instead of zero1, overlap all_to_all "
            "instead of none, dispatcher deepep instead of flat");
}

}  // namespace
}  // namespace moeplan::planner
