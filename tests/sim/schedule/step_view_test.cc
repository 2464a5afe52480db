#include "sim/result/step_view.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include "sim/schedule/build_view.h"
#include "sim/schedule/memory_timeline.h"
#include "sim/schedule/speed_spread.h"
#include "sim/schedule/step_simulator.h"
#include "tests/sim/schedule/step_case.h"

namespace moeplan::sim {
namespace {

using base::Bytes;
using base::Instant;
using base::Seconds;
using test_data::StepCase;

Simulation simulate_with_view(const StepCase& c, bool what_if = false) {
  SimulateOptions options;
  options.network = NetworkMode::kBound;
  options.what_if = what_if;
  options.view = true;
  return simulate_step(c.job(), c.plan, options);
}

Bytes highest(const std::vector<MemoryPoint>& points) {
  Bytes most;
  for (const MemoryPoint& point : points) most = base::max(most, point.allocated());
  return most;
}

TEST(StepView, TheChainCoversTheStepFromItsStartToItsEnd) {
  StepCase c("zipf:1.0", 8);
  c.lay_out(1, 4, 1, 8);
  const Simulation s = simulate_with_view(c);
  const ChainView& chain = s.view->chain;
  Instant at;
  for (const ChainStretch& stretch : chain.stretches) {
    EXPECT_EQ(stretch.start, at);
    at = at + stretch.time;
    EXPECT_GE(stretch.count, 1);
    EXPECT_FALSE(stretch.bound.empty()) << stretch.what;
  }
  EXPECT_NEAR(at.since_start().s(), s.view->step.s(), 1e-9);
  Seconds sums, classes;
  for (const ChainSum& sum : chain.sums) sums += sum.time;
  for (const auto& [name, time] : chain.classes) classes += time;
  EXPECT_NEAR(sums.s(), s.view->step.s(), 1e-9);
  EXPECT_NEAR(classes.s(), s.view->step.s(), 1e-6 * s.view->step.s());
  EXPECT_TRUE(std::is_sorted(chain.sums.begin(), chain.sums.end(),
                             [](const ChainSum& a, const ChainSum& b) { return b.time < a.time; }));
}

// 8 ranks a stage of one node each: transfers go from node to node, all else stays inside one.
TEST(StepView, TheChainNamesTheLinksThatItWaitsFor) {
  StepCase c("uniform", 8);
  c.lay_out(1, 4, 1, 8);
  const std::string text = write_chain(*simulate_with_view(c).view);
  EXPECT_NE(text.find("dispatch (NVLink)"), std::string::npos) << text;
  EXPECT_NE(text.find("p2p (NICs)"), std::string::npos) << text;
  EXPECT_NE(text.find("stage 0: transfer to stage 1"), std::string::npos) << text;
  c.lay_out(1, 1, 1, 32);
  EXPECT_NE(write_chain(*simulate_with_view(c).view).find("dispatch (NICs)"), std::string::npos);
}

TEST(StepView, BarsOfAStageDoNotOverlapAndCountEveryPass) {
  StepCase c("zipf:1.0", 8);
  c.lay_out(1, 2, 2, 8);
  const Simulation s = simulate_with_view(c);
  std::vector<int> passes(2);
  std::vector<Instant> free_at(2);
  for (const StepBar& bar : s.view->bars) {
    if (bar.kind != BarKind::kForward && bar.kind != BarKind::kBackward) continue;
    const auto stage = static_cast<std::size_t>(bar.stage);
    EXPECT_GE(bar.start, free_at[stage]);
    free_at[stage] = bar.start + bar.duration;
    ++passes[stage];
  }
  // 64 sequences over dp = 16: 4 micro-batches, forward and backward, 2 chunks.
  EXPECT_EQ(passes, (std::vector<int>{16, 16}));
}

// Chunks that keep equal amounts: the simulated order then has as much in flight as the memory model counts.
TEST(StepView, TheHighestPointOfMemoryOverTimeIsTheStatedPeak) {
  for (const PipelineSchedule schedule :
       {PipelineSchedule::kGpipe, PipelineSchedule::kOneForwardOneBackward, PipelineSchedule::kInterleaved,
        PipelineSchedule::kZeroBubbleH1, PipelineSchedule::kZeroBubbleV, PipelineSchedule::kDualPipe,
        PipelineSchedule::kDualPipeV}) {
    for (const RecomputeMode recompute : {RecomputeMode::kNone, RecomputeMode::kFull}) {
      StepCase c("uniform", 16);
      c.run.gate = GatePolicy::kForceBalanced;
      const bool two = schedule == PipelineSchedule::kInterleaved ||
                       schedule == PipelineSchedule::kZeroBubbleV || schedule == PipelineSchedule::kDualPipeV;
      c.lay_out(1, 4, two ? 2 : 1, 8);
      c.plan.stated_schedule = schedule;
      c.plan.recompute.mode = recompute;
      c.run.global_batch = 128;
      const Simulation s = simulate_with_view(c);
      ASSERT_EQ(s.view->memory.size(), 4U);
      Bytes most;
      for (std::size_t stage = 0; stage < 4; ++stage) {
        EXPECT_EQ(highest(s.view->memory[stage]).count(),
                  s.result.memory.per_stage[stage].allocated().count())
            << name(schedule) << " stage " << stage;
        most = base::max(most, highest(s.view->memory[stage]));
      }
      EXPECT_EQ(most.count(), s.result.memory.peak.count());
    }
  }
}

// A forward that fills what the backward beside it gives back adds no micro-batch.
TEST(StepView, TheHighestPointOfPairsIsTheStatedPeak) {
  for (const int pp : {1, 2, 4}) {
    for (const int vp : {1, 2}) {
      if (pp == 1 && vp > 1) continue;
      StepCase c("uniform", 16);
      c.run.gate = GatePolicy::kForceBalanced;
      c.lay_out(1, pp, vp, 8);
      c.plan.overlap.all_to_all = true;
      c.run.global_batch = 32 * 8;
      const Simulation s = simulate_with_view(c);
      for (std::size_t stage = 0; stage < s.view->memory.size(); ++stage)
        EXPECT_EQ(highest(s.view->memory[stage]).count(),
                  s.result.memory.per_stage[stage].allocated().count())
            << pp << " x " << vp << " stage " << stage;
    }
  }
}

// One stage, two micro-batches F0 B0 F1 B1: nothing kept while the first parameters arrive, a forward's worth
// from F0 on, the same and what a backward needs under B0, nothing again ...
TEST(StepView, MemoryOverTimeFollowsThePasses) {
  StepCase c("uniform", 2, "hgx-h100-1n");
  c.lay_out(1, 1, 1, 8);
  c.run.gate = GatePolicy::kForceBalanced;
  c.run.global_batch = 16;
  const Simulation s = simulate_with_view(c);
  const StageHeld held = find_held(c.job(), c.plan).front();
  const std::vector<MemoryPoint>& points = s.view->memory.front();
  std::vector<std::int64_t> kept;
  std::vector<bool> works;
  for (const MemoryPoint& point : points) {
    kept.push_back(point.kept.count());
    works.push_back(point.working > Bytes());
    EXPECT_EQ(point.weights.count(),
              (held.part.parameters + held.part.gradients + held.part.optimizer_states).count());
  }
  const std::int64_t one = Bytes::rounded(held.kept.front()).count();
  EXPECT_EQ(kept, (std::vector<std::int64_t>{0, one, one, one, one, 0, 0}));
  EXPECT_EQ(works, (std::vector<bool>{false, false, true, false, true, false, false}));
  EXPECT_EQ(points.back().at.since_start(), s.view->step);
}

TEST(StepView, WritesMemoryAsCsvAndJson) {
  StepCase c("uniform", 2, "hgx-h100-1n");
  const Simulation s = simulate_with_view(c);
  const std::string csv = write_memory_csv(*s.view);
  EXPECT_EQ(csv.substr(0, csv.find('\n')),
            "stage,time_s,weights_bytes,kept_bytes,working_bytes,allocated_bytes");
  EXPECT_EQ(static_cast<std::size_t>(std::count(csv.begin(), csv.end(), '\n')),
            s.view->memory.front().size() + 1);
  const std::string json = write_memory_json(*s.view);
  EXPECT_NE(json.find("moeplan.memory_timeline/1"), std::string::npos);
}

TEST(StepView, LoadsAreSharesOfTheMean) {
  StepCase c("zipf:1.0", 4);
  const LoadView loads = simulate_with_view(c).view->loads;
  ASSERT_EQ(loads.per_rank.size(), 8U);
  ASSERT_EQ(loads.per_expert.size(), 128U);
  EXPECT_NEAR(std::accumulate(loads.per_rank.begin(), loads.per_rank.end(), 0.0), 8.0, 1e-9);
  EXPECT_NEAR(std::accumulate(loads.per_expert.begin(), loads.per_expert.end(), 0.0), 128.0, 1e-9);
  EXPECT_NEAR(*std::max_element(loads.per_rank_busiest.begin(), loads.per_rank_busiest.end()),
              *std::max_element(loads.max_over_mean.begin(), loads.max_over_mean.end()), 1e-9);
  const double mean = std::accumulate(loads.max_over_mean.begin(), loads.max_over_mean.end(), 0.0) / 4.0;
  EXPECT_NEAR(mean, simulate_with_view(c).result.load_max_over_mean, 1e-9);
  StepCase dense = StepCase("uniform", 2);
  for (LayerSpec& layer : dense.model.layers) layer.ffn = FfnKind::kDense;
  dense.lay_out(1, 1, 1, 1);
  EXPECT_TRUE(simulate_with_view(dense).view->loads.per_rank.empty());
  c.run.gate = GatePolicy::kForceBalanced;
  const LoadView even = simulate_with_view(c).view->loads;
  for (const double share : even.per_rank) EXPECT_NEAR(share, 1.0, 1e-12);
}

TEST(StepView, LookingChangesNoResult) {
  StepCase c("zipf:1.0", 4);
  c.lay_out(1, 2, 1, 8);
  const Simulation s = simulate_with_view(c);
  EXPECT_EQ(s.result.step_time, c.simulate(NetworkMode::kBound).step_time);
}

// Without waits a stage is done after the sum of its passes; the norm waits for the last stage and the update
// follows.
TEST(WhatIf, WithoutBubbleTheBusiestStageIsTheStep) {
  StepCase c("uniform", 8);
  c.run.gate = GatePolicy::kForceBalanced;
  c.lay_out(1, 4, 1, 8);
  const auto cache = make_cost_cache();
  StepSimulator simulator(c.job(), c.plan, NetworkMode::kBound, {}, *cache);
  const PipelineStep waiting = simulator.simulate(-1);
  PipelineInput input = simulator.input();
  input.without_waits = true;
  const PipelineStep free = simulate_pipeline(input);
  Seconds busiest, update;
  for (std::size_t t = 0; t < waiting.tasks.size(); ++t) {
    const PipelineTask& task = waiting.tasks[t];
    if (task.stage == 3 &&
        (task.kind == PipelineTask::Kind::kGradients || task.kind == PipelineTask::Kind::kNorm ||
         task.kind == PipelineTask::Kind::kOptimizer))
      update += waiting.timeline.finish[t] - waiting.timeline.start[t];
  }
  for (int stage = 0; stage < 4; ++stage)
    busiest = base::max(busiest, waiting.timeline.busy[waiting.compute_stream(stage, 0).index()]);
  EXPECT_GE(free.time(), busiest + update - Seconds::of(1e-9));
  // What is left besides: first parameters, last gradients.
  EXPECT_LT(free.time().s(), (busiest + update).s() * 1.02);
  EXPECT_LT(free.time(), waiting.time());
}

TEST(WhatIf, WithoutLaunchCostAHostBoundStepIsShorter) {
  StepCase c("uniform", 4, "hgx-h100-1n");
  c.use_real_host();
  c.run.seq_len = 256;
  c.run.global_batch = 8;
  c.plan.overlap_grad_reduce = c.plan.overlap_param_gather = false;
  const StepResult r = simulate_with_view(c, true).result;
  const auto found = std::find_if(r.what_if.begin(), r.what_if.end(),
                                  [](const WhatIf& w) { return w.change == "no launch cost"; });
  ASSERT_NE(found, r.what_if.end());
  // Nothing runs under the passes here: what the breakdown gives to the host goes, and the norm's sync with
  // it.
  const double sync = c.profile.host_sync() / r.step_time;
  EXPECT_NEAR(found->gain, r.breakdown.host / r.step_time + sync, 1e-3);
  EXPECT_GT(found->gain, 0.1);
}

TEST(WhatIf, NamesSlowRanksAndDegradedLinksAndWhatTheyCost) {
  StepCase c("uniform", 4);
  const double whole = simulate_with_view(c).result.step_time.s();
  topology::ClusterSpec spec = c.cluster.spec();
  spec.slow_ranks.push_back({5, 1.2});
  topology::ClusterSpec::DegradedLink link;
  link.link = "nic_up3";
  link.bandwidth = base::BytesPerSecond::from_gb_per_s(25);
  spec.degraded_links.push_back(link);
  c.cluster = topology::compile(spec);
  const StepResult r = simulate_with_view(c, true).result;
  const auto note = [&](const std::string& text) {
    return std::any_of(r.notes.begin(), r.notes.end(),
                       [&](const std::string& n) { return n.find(text) != std::string::npos; });
  };
  EXPECT_TRUE(note("slow ranks of the cluster file: rank 5 (stage 0) takes 1.2 times as long"));
  EXPECT_TRUE(note("degraded links of the cluster file: nic_up3 at 25 GB/s"));
  const auto found = std::find_if(r.what_if.begin(), r.what_if.end(),
                                  [](const WhatIf& w) { return w.change == "equal ranks, whole links"; });
  ASSERT_NE(found, r.what_if.end());
  EXPECT_NEAR(found->step_time.s(), whole, 1e-9 * whole);
  EXPECT_GT(found->gain, 0.05);
}

TEST(SpeedSpread, RanksKeepTheirFactorsAndSpreadAsAsked) {
  const StepCase c("uniform", 1, "hgx-h100-32n");
  double sum = 0, squares = 0;
  int n = 0;
  for (int draw = 0; draw < 20; ++draw) {
    const topology::Cluster drawn = draw_speeds(c.cluster, 0.02, 1, draw);
    EXPECT_EQ(drawn.slow_factor(base::RankId(7)),
              draw_speeds(c.cluster, 0.02, 1, draw).slow_factor(base::RankId(7)));
    for (int rank = 0; rank < drawn.ranks(); ++rank, ++n) {
      const double z = std::log(drawn.slow_factor(base::RankId(rank)));
      sum += z;
      squares += z * z;
    }
  }
  // 5,120 numbers: the mean is within 0.02 / sqrt(5120) * 4 of 0, the deviation within 4 % of 0.02.
  EXPECT_NEAR(sum / n, 0.0, 1.2e-3);
  EXPECT_NEAR(std::sqrt(squares / n), 0.02, 8e-4);
}

// All 8 ranks wait for each other in every layer, so that compute takes the largest of 8 factors:
// E max of 8 standard normals = 1.42, and with spread s compute grows by about 1.42 s.
TEST(SpeedSpread, TheSlowestOfEightRanksSetsThePace) {
  StepCase c("uniform", 4, "hgx-h100-1n");
  c.run.gate = GatePolicy::kForceBalanced;
  c.run.global_batch = 8;
  SimulateOptions options;
  options.what_if = false;
  options.network = NetworkMode::kBound;
  const StepResult even = simulate_step(c.job(), c.plan, options).result;
  options.speed_spread = 0.03;
  options.draws = 64;
  const StepResult spread = simulate_step(c.job(), c.plan, options).result;
  const double compute = (even.breakdown.compute + even.breakdown.host).s();
  const double grown = (spread.step_time - even.step_time).s() / compute;
  EXPECT_NEAR(grown, 1.42 * 0.03, 0.25 * 1.42 * 0.03);
  EXPECT_LT(even.step_time, spread.p50);
  EXPECT_LT(spread.p50, spread.p95);
  EXPECT_NE(spread.notes.front().find("rank speeds spread by 3 %"), std::string::npos);
  EXPECT_NEAR(spread.breakdown.total().s(), spread.step_time.s(), 1e-9 * spread.step_time.s());
  // The same seed gives the same steps, another one others.
  EXPECT_EQ(simulate_step(c.job(), c.plan, options).result.step_time, spread.step_time);
  options.seed = 2;
  EXPECT_NE(simulate_step(c.job(), c.plan, options).result.step_time, spread.step_time);
}

}  // namespace
}  // namespace moeplan::sim
