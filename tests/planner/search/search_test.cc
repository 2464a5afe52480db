#include "planner/search/search.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include <gtest/gtest.h>

#include "base/config_files.h"
#include "base/diagnostics.h"
#include "planner/export/megatron_rules.h"
#include "planner/placement/placement.h"
#include "planner/search/explain.h"
#include "planner/search/joint.h"

namespace moeplan::planner {
namespace {

/// tiny-moe (4 layers, 16 experts) on one node of 8 H100, 32 sequences of 1024 tokens.
struct SmallJob {
  explicit SmallJob(const std::string& load = "zipf:1.0") {
    sim::LoadOptions options;
    options.moe_layers = model.moe_layers();
    options.experts = model.experts;
    options.top_k = model.top_k;
    loads = sim::load_expert_loads(load, options);
    run.name = "small";
    run.global_batch = 32;
    run.seq_len = 1024;
  }
  sim::Job job() const { return {cluster, profile, model, run, *loads}; }

  topology::Cluster cluster = topology::load_cluster(base::resolve_config("clusters", "hgx-h100-1n"));
  sim::Profile profile = sim::load_profile(base::resolve_config("profiles", "h100-sxm"));
  sim::ModelSpec model = sim::load_model(base::resolve_config("models", "tiny-moe"));
  sim::RunSpec run;
  std::unique_ptr<sim::ExpertLoads> loads;
};

std::int64_t pruned_in_all(const SearchResult& result) {
  return std::accumulate(result.pruned.begin(), result.pruned.end(), std::int64_t{0}, [](std::int64_t sum, const auto& rule) { return sum + rule.second; });
}

SearchOptions narrow() {
  SearchOptions options;
  options.pins = parse_pins("mb=1,recompute=none,vp=1,placement=contiguous");
  options.budget = 10'000;
  options.iterations = 1;
  return options;
}

// TP {1 2 4 8} x PP {1 2 4} x EP {1 2 4 8} with everything else pinned: simulate every legal plan and take the best.
TEST(Search, FindsWhatExhaustiveSimulationFinds) {
  const SmallJob small;
  const sim::Job job = small.job();
  const SearchResult found = search_plans(job, narrow());
  ASSERT_TRUE(found.feasible);

  base::Seconds best = base::Seconds::infinity();
  std::string winner;
  const Space space = build_space(job.model, {8, 8, false}, narrow().pins, {});
  int legal = 0;
  for (const Candidate& candidate : space.enumerate(job.model)) {
    const sim::PlanSpec plan = plan_of(space, candidate, "megatron");
    if (!find_megatron_faults({job.model, job.run, 8}, plan).empty() || !sim::find_faults(job, plan).empty()) continue;
    if (!sim::compute_memory(job, plan).fits()) continue;
    ++legal;
    sim::SimulateOptions options;
    options.max_iterations = 1;
    options.what_if = false;
    const base::Seconds time = sim::simulate_step(job, plan, options).result.step_time;
    if (time < best) {
      best = time;
      winner = sim::short_name(plan);
    }
  }
  EXPECT_GT(legal, 10);
  EXPECT_EQ(sim::short_name(found.plans.front().plan), winner);
  EXPECT_DOUBLE_EQ(found.plans.front().result.step_time.s(), best.s());
}

TEST(Search, AccountsForEveryPoint) {
  const SmallJob small;
  SearchOptions options;
  options.budget = 12;
  options.iterations = 1;
  const SearchResult result = search_plans(small.job(), options);
  EXPECT_EQ(result.searched, pruned_in_all(result) + result.evaluated);
  EXPECT_LE(result.evaluated, 12);
  std::int64_t decided = 0;
  for (const char* rule : {"budget", "bound", "estimate"}) decided += result.pruned.contains(rule) ? result.pruned.at(rule) : 0;
  EXPECT_GT(decided, 0);
  EXPECT_GT(result.pruned.at("expert-world-divides"), 0);
}

/// Every plan of the space that keeps the rules and fits, simulated as a search ranks them.
std::vector<RankedPlan> simulate_space(const sim::Job& job, const SearchOptions& search) {
  const Space space = build_space(job.model, {job.cluster.ranks(), job.cluster.nvlink_domain(), false}, search.pins, search.open);
  const auto cache = sim::make_cost_cache();
  std::vector<RankedPlan> all;
  for (const Candidate& candidate : space.enumerate(job.model)) {
    const sim::PlanSpec plan = plan_of(space, candidate, "megatron");
    if (candidate.greedy || plan.layout.tp > job.cluster.nvlink_domain()) continue;
    if (!find_megatron_faults({job.model, job.run, job.cluster.ranks()}, plan).empty() || !sim::find_faults(job, plan).empty()) continue;
    if (!sim::compute_memory(job, plan).fits()) continue;
    sim::SimulateOptions options;
    options.max_iterations = 1;
    options.what_if = false;
    all.push_back({plan, sim::simulate_step(job, plan, options, cache.get()).result, ""});
  }
  return all;
}

// A bound that lay above a simulation would throw away what the search is for. Uneven loads are drawn for a few
// micro-batches; 0.5 % is what their mean may be off by on these four layers.
TEST(Search, NoSimulationIsBelowItsLowerBound) {
  for (const char* load : {"uniform", "lognormal:0.6", "zipf:1.0"}) {
    const SmallJob small(load);
    const sim::Job job = small.job();
    SearchOptions options;
    options.pins = parse_pins("placement=contiguous");
    options.open = parse_open_axes("overlap");
    const auto cache = sim::make_cost_cache();
    const std::vector<RankedPlan> all = simulate_space(job, options);
    ASSERT_GT(all.size(), 300U);
    double tightest = 0;
    for (const RankedPlan& one : all) {
      const sim::StepEstimate estimate = sim::estimate_step(job, one.plan, *cache);
      EXPECT_LE(estimate.lower.s(), one.result.step_time.s() * 1.005) << load << " " << sim::short_name(one.plan);
      EXPECT_LE(estimate.lower.s(), estimate.time.s() * 1.005) << load << " " << sim::short_name(one.plan);
      tightest = std::max(tightest, estimate.lower / one.result.step_time);
    }
    EXPECT_GT(tightest, 0.8) << load;
  }
}

/// The same job on two nodes.
struct TwoNodes : SmallJob {
  explicit TwoNodes(const std::string& load = "zipf:1.0") : SmallJob(load) {
    topology::ClusterSpec spec = topology::load_cluster(base::resolve_config("clusters", "hgx-h100-4n")).spec();
    spec.nodes = 2;
    cluster = topology::compile(spec);
  }
};

// The first node's NVLink is slow: estimates take all stages for as slow, bounds must not.
TEST(Search, LowerBoundsHoldWhereTheFirstStageHasSlowLinks) {
  TwoNodes two("uniform");
  topology::ClusterSpec spec = two.cluster.spec();
  for (int gpu = 0; gpu < 8; ++gpu) {
    for (const char* way : {"nvl_up", "nvl_dn"}) {
      topology::ClusterSpec::DegradedLink link;
      link.link = way + std::to_string(gpu);
      link.bandwidth = base::BytesPerSecond::of(0.5e9);
      spec.degraded_links.push_back(link);
    }
  }
  two.cluster = topology::compile(spec);
  SearchOptions options;
  options.pins = parse_pins("placement=contiguous,recompute=none");
  const auto cache = sim::make_cost_cache();
  const std::vector<RankedPlan> all = simulate_space(two.job(), options);
  ASSERT_GT(all.size(), 90U);
  int piped = 0;
  for (const RankedPlan& one : all) {
    piped += one.plan.layout.pp > 1 ? 1 : 0;
    EXPECT_LE(sim::estimate_step(two.job(), one.plan, *cache).lower.s(), one.result.step_time.s() * 1.005) << sim::short_name(one.plan);
  }
  EXPECT_GT(piped, 50);
}

TEST(Search, WhatAWallBudgetLeavesIsCountedWithItsBounds) {
  const SmallJob small;
  SearchOptions options;
  options.wall_budget = base::Seconds::of(1e-9);
  options.iterations = 1;
  options.top = 1;
  const SearchResult result = search_plans(small.job(), options);
  ASSERT_TRUE(result.feasible);
  ASSERT_GT(result.pruned.at("wall-budget"), 0);
  EXPECT_GE(result.unseen.points, result.pruned.at("wall-budget"));
  for (const RankedPlan& one : simulate_space(small.job(), options))
    EXPECT_GE(one.result.step_time.s() * 1.005, std::min(result.unseen.floor, result.plans.front().result.step_time).s());
}

// 16 to 128 experts a rank under Zipf's law: plans stay as they are or are faster, and hold each expert.
TEST(JointPlacement, MakesPlansFasterOrLeavesThem) {
  const SmallJob small;
  const sim::ModelSpec model = sim::load_model(base::resolve_config("models", "qwen3-30b-a3b"));
  sim::LoadOptions load;
  load.moe_layers = model.moe_layers();
  load.experts = model.experts;
  load.top_k = model.top_k;
  const auto loads = sim::load_expert_loads("zipf:1.0", load);
  sim::RunSpec run = small.run;
  run.seq_len = 4096;
  const sim::Job job{small.cluster, small.profile, model, run, *loads};
  const Evaluator evaluator(job, "any", {1, 4, 8});
  std::vector<RankedPlan> plans;
  for (const int ep : {1, 4, 8}) {
    RankedPlan one;
    one.plan.layout.dp = 8;
    one.plan.layout.ep = ep;
    one.plan.layout.edp = 8 / ep;
    one.plan.recompute = parse_recompute("full");
    one.result = evaluator.simulate(one.plan, 1, false, 1);
    one.ranked = one.result.step_time;
    plans.push_back(std::move(one));
  }
  const std::vector<RankedPlan> before = plans;
  EXPECT_GT(place_jointly(evaluator, true, 1, 1, plans), 0);
  EXPECT_EQ(plans[0].plan, before[0].plan);  // a rank that holds all experts
  for (std::size_t k = 0; k < plans.size(); ++k) {
    EXPECT_LE(plans[k].result.step_time, before[k].result.step_time);
    EXPECT_EQ(plans[k].ranked, plans[k].result.step_time);
    if (plans[k].plan.placement.is_contiguous()) continue;
    EXPECT_EQ(find_placement_fault(plans[k].plan.placement, job.model.moe_layers(), job.model.experts, plans[k].plan.layout.ep), "");
    EXPECT_DOUBLE_EQ(evaluator.simulate(plans[k].plan, 1, false, 1).step_time.s(), plans[k].result.step_time.s());
  }
}

// A megabyte less than the pinned layout needs at least: other layouts share more out.
TEST(Search, NamesTheChangesUnderWhichSomethingFits) {
  TwoNodes two("uniform");
  SearchOptions options = narrow();
  options.pins = parse_pins("tp=1,pp=1,ep=8,mb=1,placement=contiguous");
  sim::PlanSpec least;
  least.layout.dp = 16;
  least.layout.ep = 8;
  least.layout.edp = 2;
  least.recompute = parse_recompute("full");
  topology::ClusterSpec spec = two.cluster.spec();
  spec.node.memory = sim::compute_memory(two.job(), least).reserved - base::Bytes::rounded(1e6);
  two.cluster = topology::compile(spec);
  const SearchResult result = search_plans(two.job(), options);
  ASSERT_FALSE(result.feasible);
  ASSERT_FALSE(result.changes_that_fit.empty());
  EXPECT_EQ(result.changes_that_fit.front(), "search without pins and space file");
  EXPECT_NE(result.why.find("Smallest change that makes it fit: search without pins"), std::string::npos) << result.why;
}

TEST(Search, ExhaustiveModeFindsTheBestAndLeavesNothingUnseen) {
  const SmallJob small;
  SearchOptions options;
  options.pins = parse_pins("placement=contiguous,recompute=none");
  options.exhaustive = true;
  options.iterations = 1;
  options.top = 3;
  const SearchResult found = search_plans(small.job(), options);
  std::vector<RankedPlan> all = simulate_space(small.job(), options);
  std::stable_sort(all.begin(), all.end(), [](const RankedPlan& a, const RankedPlan& b) { return a.result.step_time < b.result.step_time; });
  ASSERT_TRUE(found.feasible);
  EXPECT_DOUBLE_EQ(found.plans.front().result.step_time.s(), all.front().result.step_time.s());
  EXPECT_EQ(found.unseen.points, 0);
  EXPECT_FALSE(found.pruned.contains("estimate"));
  EXPECT_FALSE(found.pruned.contains("budget"));
  EXPECT_GT(found.pruned.at("bound"), 0);  // it need not simulate all
  EXPECT_LT(found.evaluated, static_cast<std::int64_t>(all.size()));
  EXPECT_NE(found.why.find("nothing better was left out"), std::string::npos) << found.why;
}

TEST(Search, SaysHowFastWhatItDidNotSimulateCouldBe) {
  const SmallJob small;
  SearchOptions options;
  options.pins = parse_pins("placement=contiguous");
  options.budget = 4;
  options.iterations = 1;
  options.top = 1;
  const SearchResult found = search_plans(small.job(), options);
  ASSERT_GT(found.unseen.points, 0);
  EXPECT_NE(found.why.find("can take less than"), std::string::npos) << found.why;
  for (const RankedPlan& one : simulate_space(small.job(), options)) {
    EXPECT_GE(one.result.step_time.s() * 1.005, std::min(found.unseen.floor, found.plans.front().result.step_time).s())
        << sim::short_name(one.plan);
  }
}

TEST(Search, RanksPlansByTimeAndGivesReasons) {
  const SmallJob small;
  const SearchResult result = search_plans(small.job(), narrow());
  ASSERT_GE(result.plans.size(), 2U);
  for (std::size_t k = 1; k < result.plans.size(); ++k) {
    EXPECT_LE(result.plans[k - 1].result.step_time, result.plans[k].result.step_time);
    EXPECT_NE(result.plans[k].why.find("slower than rank 1"), std::string::npos);
    EXPECT_FALSE(result.plans[k].plan.layout == result.plans[k - 1].plan.layout);
  }
  EXPECT_EQ(result.plans[0].plan.name, "plan-1");
  EXPECT_NE(result.why.find("Searched"), std::string::npos);
}

TEST(Search, DoesNotDependOnThreads) {
  const SmallJob small;
  SearchOptions options;
  options.budget = 16;
  options.threads = 1;
  const SearchResult one = search_plans(small.job(), options);
  options.threads = 4;
  const SearchResult four = search_plans(small.job(), options);
  EXPECT_EQ(one.why, four.why);
  EXPECT_EQ(one.pruned, four.pruned);
  ASSERT_EQ(one.plans.size(), four.plans.size());
  for (std::size_t k = 0; k < one.plans.size(); ++k) {
    EXPECT_EQ(sim::write_plan(one.plans[k].plan), sim::write_plan(four.plans[k].plan));
    EXPECT_EQ(one.plans[k].result.step_time.s(), four.plans[k].result.step_time.s());
  }
}

// Device memory cut to 2 GiB: nothing fits, and the answer says by how much.
TEST(Search, SaysByHowMuchNothingFits) {
  SmallJob small;
  topology::ClusterSpec spec = small.cluster.spec();
  spec.node.memory = base::Bytes::from_gib(2);
  small.cluster = topology::compile(spec);
  const SearchResult result = search_plans(small.job(), narrow());
  EXPECT_FALSE(result.feasible);
  EXPECT_EQ(result.evaluated, 0);
  ASSERT_FALSE(result.misfits.empty());
  EXPECT_GT(result.misfits[0].over.count(), 0);
  for (const Misfit& misfit : result.misfits) EXPECT_GE(misfit.over, result.misfits[0].over);
  const sim::MemoryResult memory = sim::compute_memory(small.job(), result.misfits[0].plan);
  EXPECT_EQ(result.misfits[0].over, memory.reserved - memory.limit);
  EXPECT_NE(result.why.find("No plan fits"), std::string::npos);
  EXPECT_NE(result.why.find("GiB over"), std::string::npos);
  EXPECT_NE(result.why.find("Smallest change that makes it fit"), std::string::npos);
}

TEST(Search, PinsHoldAxesStill) {
  const SmallJob small;
  SearchOptions options = narrow();
  options.pins = parse_pins("tp=2,pp=2,ep=4,recompute=full");
  options.budget = 50;
  const SearchResult result = search_plans(small.job(), options);
  ASSERT_TRUE(result.feasible);
  for (const RankedPlan& ranked : result.plans) {
    EXPECT_EQ(ranked.plan.layout.tp, 2);
    EXPECT_EQ(ranked.plan.layout.pp, 2);
    EXPECT_EQ(ranked.plan.layout.ep, 4);
    EXPECT_EQ(ranked.plan.recompute.mode, sim::RecomputeMode::kFull);
  }
}

TEST(Search, APinnedScheduleIsKeptAndHasItsChunks) {
  const SmallJob small;
  SearchOptions options = narrow();
  options.framework = "any";
  for (const auto& [pins, vp] : {std::pair("schedule=zb_h1", 1), std::pair("schedule=zb_v", 2), std::pair("schedule=dualpipe_v", 2)}) {
    options.pins = parse_pins(std::string("pp=2,mb=1,chunks=1,") + pins);
    options.budget = 12;
    const SearchResult result = search_plans(small.job(), options);
    ASSERT_FALSE(result.plans.empty()) << pins;
    for (const RankedPlan& ranked : result.plans) {
      EXPECT_EQ(ranked.plan.stated_schedule, options.pins.schedule) << pins;
      EXPECT_EQ(ranked.plan.layout.vp, vp) << pins;
    }
  }
  options.framework = "megatron";
  EXPECT_THROW(search_plans(small.job(), options), base::InputError);
}

TEST(Search, MegatronPlansHaveNoChunksButAnyFrameworkMay) {
  const SmallJob small;
  SearchOptions options = narrow();
  options.pins = parse_pins("tp=1,pp=1,ep=8,mb=1,recompute=none,placement=contiguous");
  const SearchResult megatron = search_plans(small.job(), options);
  EXPECT_EQ(megatron.searched, 1);
  const auto& what_if = megatron.plans.front().result.what_if;
  EXPECT_TRUE(std::any_of(what_if.begin(), what_if.end(), [](const sim::WhatIf& w) { return w.change.find("2 token chunks") != std::string::npos; }));
  EXPECT_TRUE(std::any_of(what_if.begin(), what_if.end(), [](const sim::WhatIf& w) { return w.change.find("spare expert slot") != std::string::npos; }));
  options.framework = "any";
  EXPECT_EQ(search_plans(small.job(), options).searched, 3);
}

TEST(Search, ExportedWinnersKeepMegatronsRules) {
  const SmallJob small;
  const sim::Job job = small.job();
  SearchOptions options;
  options.budget = 24;
  options.iterations = 1;
  for (const RankedPlan& ranked : search_plans(job, options).plans) {
    EXPECT_TRUE(find_megatron_faults({job.model, job.run, 8}, ranked.plan).empty()) << sim::short_name(ranked.plan);
  }
}

TEST(Search, RefusesAJobThatMegatronCannotRun) {
  SmallJob small;
  small.run.precision.gemm = sim::NumberFormat::kFp32;
  EXPECT_THROW(search_plans(small.job(), narrow()), base::InputError);
}

TEST(Neighbours, ImproveABadPlanAndSayHow) {
  const SmallJob small;
  sim::PlanSpec bad;
  bad.name = "bad";
  bad.layout.tp = 8;
  bad.layout.ep = 8;
  bad.recompute.mode = sim::RecomputeMode::kFull;
  SearchOptions options;
  options.iterations = 1;
  options.budget = 60;
  const SearchResult result = search_neighbours(small.job(), bad, options);
  ASSERT_TRUE(result.feasible);
  EXPECT_EQ(result.searched, pruned_in_all(result) + result.evaluated);
  EXPECT_NE(result.plans.front().why.find("gains"), std::string::npos);
  sim::SimulateOptions simulate;
  simulate.max_iterations = 1;
  simulate.what_if = false;
  EXPECT_LT(result.plans.front().result.step_time, sim::simulate_step(small.job(), bad, simulate).result.step_time);
  EXPECT_NE(result.why.find("Best combination of changes"), std::string::npos);
}

TEST(Pins, AreReadAndFaultsAreNamed) {
  const Pins pins = parse_pins("tp=2,placement=greedy,recompute=moe_act+layernorm");
  EXPECT_EQ(pins.tp, 2);
  EXPECT_EQ(pins.placement, "greedy");
  EXPECT_FALSE(pins.pp.has_value());
  EXPECT_EQ(parse_pins("schedule=dualpipe").schedule, sim::PipelineSchedule::kDualPipe);
  for (const char* bad : {"tp", "tp=x", "tp=0", "zp=2", "placement=best", "recompute=some", "schedule=2f2b"}) EXPECT_THROW(parse_pins(bad), base::InputError) << bad;
}

TEST(Explain, DifferencesAndDeltasAreInWords) {
  sim::PlanSpec a;
  sim::PlanSpec b;
  b.layout.tp = 2;
  b.recompute.mode = sim::RecomputeMode::kFull;
  EXPECT_EQ(describe_difference(b, a), "TP 2 instead of 1, recompute full instead of none");
  EXPECT_EQ(describe_difference(a, a), "the same plan");
  sim::Breakdown x;
  sim::Breakdown y;
  y.bubble = base::Seconds::from_ms(100);
  y.compute = base::Seconds::from_ms(-20);
  EXPECT_EQ(describe_deltas(y, x), "+100 ms bubble, -20.0 ms compute");
}

}  // namespace
}  // namespace moeplan::planner
