// Whole steps under every pipeline schedule: real layers, uneven stages, multi-token prediction, loads.
#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "sim/schedule/simulate.h"
#include "sim/schedule/step_simulator.h"
#include "tests/sim/schedule/step_case.h"

namespace moeplan::sim {
namespace {

using Schedule = PipelineSchedule;
using test_data::StepCase;

constexpr Schedule kAll[] = {Schedule::kGpipe,       Schedule::kOneForwardOneBackward,
                             Schedule::kInterleaved, Schedule::kZeroBubbleH1,
                             Schedule::kZeroBubbleV, Schedule::kDualPipe,
                             Schedule::kDualPipeV};

/// Eight layers on four stages of eight GPUs (DP 8, EP 8), 16 micro-batches.
StepCase staged(Schedule schedule, const std::string& load = "uniform") {
  StepCase c(load, 8);
  const bool two = schedule == Schedule::kInterleaved || is_folded(schedule);
  c.lay_out(1, 4, two && schedule != Schedule::kDualPipe ? 2 : 1, 8);
  c.plan.stated_schedule = schedule;
  c.run.global_batch = 8 * 16;
  return c;
}

PipelineStep balanced_step(const StepCase& c, CostCache& cache) {
  const Job job = c.job();
  StepSimulator simulator(job, c.plan, NetworkMode::kBound, {}, cache);
  return simulator.simulate(-1);
}

double work_of_all_ranks(const PipelineStep& step, int stages) {
  double sum = 0;
  for (int stage = 0; stage < stages; ++stage)
    sum += step.timeline.busy[step.compute_stream(stage, 0).index()].s();
  return sum;
}

TEST(ScheduledStep, EveryScheduleSumsUpAndIsNoShorterThanItsWork) {
  for (const Schedule schedule : kAll) {
    SCOPED_TRACE(name(schedule));
    const StepCase c = staged(schedule, "zipf:0.5");
    ASSERT_TRUE(find_faults(c.job(), c.plan).empty());
    const StepResult r = c.simulate();
    EXPECT_NEAR(r.breakdown.total().s(), r.step_time.s(), 1e-9);
    EXPECT_GT(r.breakdown.bubble.s(), 0.0);
    EXPECT_LT(r.breakdown.bubble / r.step_time, 0.5);
    EXPECT_EQ(r.memory.per_stage.size(), 4U);
    double evidence = 0;
    for (const double share : r.evidence) evidence += share;
    EXPECT_NEAR(evidence, 1.0, 1e-6);
  }
}

// Balanced, all GPUs alike: every schedule without pairs does the same kernels, whatever the order. Launch
// waits of the halves of a backward are not those of the whole, and are left out by a host that takes no
// time.
TEST(ScheduledStep, EveryScheduleDoesTheSameWork) {
  const auto work = [](Schedule schedule) {
    StepCase c = staged(schedule);
    c.run.seq_len = 32768;  // no kernel waits for its launch
    CostCache cache;
    return work_of_all_ranks(balanced_step(c, cache), 4);
  };
  const double plain = work(Schedule::kOneForwardOneBackward);
  for (const Schedule schedule :
       {Schedule::kGpipe, Schedule::kInterleaved, Schedule::kZeroBubbleH1, Schedule::kZeroBubbleV})
    EXPECT_NEAR(work(schedule) / plain, 1.0, 1e-6) << name(schedule);
  for (const Schedule schedule : {Schedule::kDualPipe, Schedule::kDualPipeV}) {
    EXPECT_LT(work(schedule) / plain, 1.0) << name(schedule);
    EXPECT_GT(work(schedule) / plain, 0.6) << name(schedule);
  }
}

TEST(ScheduledStep, SchedulesThatSplitTheBackwardWaitLess) {
  const auto bubble = [](Schedule schedule) {
    StepCase c = staged(schedule);
    c.run.gate = GatePolicy::kForceBalanced;
    c.model.vocab = 1024;  // stages of equal work
    return c.simulate().breakdown.bubble.s();
  };
  const double plain = bubble(Schedule::kOneForwardOneBackward);
  EXPECT_LT(bubble(Schedule::kZeroBubbleH1), 0.8 * plain);
  EXPECT_LT(bubble(Schedule::kZeroBubbleV), 0.6 * plain);
  EXPECT_LT(bubble(Schedule::kDualPipe), 0.8 * plain);
  EXPECT_NEAR(bubble(Schedule::kGpipe), plain, 0.15 * plain);
}

// EP 16 on two nodes with DeepEP: all-to-alls take about half as long as the kernels, and hide under those of
// the other micro-batch. Where they take longer than the kernels they bound the pair instead
// (chunk_graph_test.cc).
TEST(ScheduledStep, PairsHideAllToAllsOfOtherMicroBatches) {
  const auto exposed = [](Schedule schedule) {
    StepCase c("uniform", 8);
    c.run.gate = GatePolicy::kForceBalanced;
    c.lay_out(1, 2, schedule == Schedule::kOneForwardOneBackward ? 1 : 2, 16);
    c.plan.stated_schedule = schedule;
    c.plan.dispatcher = Dispatcher::kDeepEp;
    c.run.global_batch = 16 * 16;
    return c.simulate().breakdown.exposed_comm.s();
  };
  EXPECT_LT(exposed(Schedule::kDualPipeV), 0.5 * exposed(Schedule::kZeroBubbleV));
}

// Uneven stages, an MTP block and a model whose ends stand on one rank: all orders run, all layers are done.
TEST(ScheduledStep, UnevenStagesAndMtpRunUnderEverySchedule) {
  for (const Schedule schedule : kAll) {
    SCOPED_TRACE(name(schedule));
    StepCase c = staged(schedule, "zipf:0.5");
    const StepResult even = c.simulate();
    c.plan.split.layers_per_chunk =
        c.plan.layout.vp == 2 ? std::vector<int>{0, 2, 1, 1, 1, 1, 2, 0} : std::vector<int>{0, 3, 4, 1};
    c.model.mtp_layers = 1;
    ASSERT_TRUE(find_faults(c.job(), c.plan).empty());
    const StepResult uneven = c.simulate();
    EXPECT_GT(uneven.step_time, even.step_time);
    EXPECT_NEAR(uneven.breakdown.total().s(), uneven.step_time.s(), 1e-9);
  }
}

TEST(ScheduledStep, TracesShowInputAndWeightGradientsAndPairs) {
  const auto names = [](Schedule schedule) {
    StepCase c = staged(schedule);
    SimulateOptions options;
    options.trace = true;
    options.what_if = false;
    const Simulation simulation = simulate_step(c.job(), c.plan, options);
    const auto end = base::Instant::at(simulation.result.step_time) + base::Seconds::from_us(1);
    std::string all;
    for (const TraceEvent& event : simulation.trace->events) {
      EXPECT_LE(event.start + event.duration, end) << event.name;
      all += event.name + "\n";
    }
    return all;
  };
  const std::string h1 = names(Schedule::kZeroBubbleH1);
  EXPECT_NE(h1.find("weight gradients chunk 2 mb7"), std::string::npos);
  EXPECT_NE(h1.find("input gradients chunk 2 mb7"), std::string::npos);
  EXPECT_NE(names(Schedule::kDualPipeV).find("forward beside backward chunk"), std::string::npos);
}

TEST(ScheduledStep, FullRecomputationRunsUnderEverySchedule) {
  for (const Schedule schedule : kAll) {
    StepCase c = staged(schedule);
    const StepResult kept = c.simulate();
    c.plan.recompute.mode = RecomputeMode::kFull;
    const StepResult again = c.simulate();
    EXPECT_GT(again.step_time, kept.step_time) << name(schedule);
    // Weight gradients that wait keep inputs and output gradients of products, recomputed or not.
    EXPECT_LE(again.memory.peak, kept.memory.peak) << name(schedule);
    if (!splits_backward(schedule)) {
      EXPECT_LT(again.memory.peak, kept.memory.peak) << name(schedule);
    }
  }
}

TEST(EstimateStepTime, ComesNearTheSimulationOfEverySchedule) {
  const auto cache = make_cost_cache();
  for (const Schedule schedule : kAll) {
    const StepCase c = staged(schedule, "zipf:0.5");
    const double ratio = estimate_step_time(c.job(), c.plan, *cache) / c.simulate().step_time;
    // Pairs are estimated one pass after the other.
    EXPECT_NEAR(ratio, 1.0, overlaps_passes(schedule) ? 0.4 : 0.2) << name(schedule);
  }
}

}  // namespace
}  // namespace moeplan::sim
