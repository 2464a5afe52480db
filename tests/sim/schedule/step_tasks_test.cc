#include <algorithm>

#include <gtest/gtest.h>

#include "sim/collective/nccl_collective.h"
#include "sim/schedule/data_parallel.h"
#include "tests/sim/schedule/step_case.h"

namespace moeplan::sim {
namespace {

using test_data::StepCase;

int events(const StepCase& c, std::string_view start) {
  SimulateOptions options;
  options.trace = true;
  options.what_if = false;
  const Simulation step = simulate_step(c.job(), c.plan, options);
  const auto& all = step.trace.value().events;
  return static_cast<int>(std::count_if(
      all.begin(), all.end(), [&](const TraceEvent& event) { return event.name.starts_with(start); }));
}

StageUpdate update_of(const StepCase& c, const RankParameters& parameters) {
  const auto sharing = make_sharing({SharingMode::kBound, 0});
  const CommNetwork network(c.cluster, c.profile, *sharing);
  return compute_update(c.job(), c.plan, network, 0, parameters);
}

// 4 MoE layers of 128 experts: 2,048 bytes of counts over the stage's 32 ranks, once a step.
TEST(StepTasks, RouterBiasesAreUpdatedOnceAStep) {
  StepCase c;
  EXPECT_EQ(events(c, "router bias"), 0);
  EXPECT_TRUE(update_of(c, {1000, 0, 4}).router_bias.empty());
  const base::Seconds before = c.simulate().step_time;
  const base::Seconds optimizer = c.simulate().breakdown.optimizer;
  c.run.router_bias_update = true;
  EXPECT_EQ(events(c, "router bias"), 1);
  const Segment bias = update_of(c, {1000, 0, 4}).router_bias;
  const auto sharing = make_sharing({SharingMode::kBound, 0});
  const CommNetwork network(c.cluster, c.profile, *sharing);
  const CommGroups all{stage_ranks(c.plan.layout, 0).ranks, 32};
  EXPECT_EQ(
      bias.parts()[0].estimate.time,
      solve_collective(network, all, CollectiveKind::kAllReduce, base::Bytes::of(4 * 128 * 4)).makespan);
  EXPECT_NEAR((c.simulate().step_time - before) / bias.time(), 1.0, 0.05);
  EXPECT_NEAR((c.simulate().breakdown.optimizer - optimizer) / bias.time(), 1.0, 0.05);
  EXPECT_TRUE(update_of(c, {1000, 0, 0}).router_bias.empty());
}

// A million parameters over 32 ranks: each reads and writes 31,250 fp32 gradients.
TEST(StepTasks, GradientsInFp16AreUnscaledAndLookedAt) {
  StepCase c;
  EXPECT_EQ(events(c, "loss scale"), 0);
  EXPECT_TRUE(update_of(c, {1'000'000, 0, 0}).loss_scale.empty());
  c.run.precision.gemm = NumberFormat::kFp16;
  EXPECT_EQ(events(c, "loss scale"), 1);
  const Segment scale = update_of(c, {1'000'000, 0, 0}).loss_scale;
  ASSERT_EQ(scale.parts().size(), 3U);
  EXPECT_EQ(scale.parts()[0].estimate.time,
            c.profile.memory_op(MemoryOp::kOptimizer, base::Bytes::of(31'250 * 8)).time);
  EXPECT_EQ(scale.parts()[2].estimate.time, c.profile.host_sync());
}

// A million dense and two million expert parameters on a rank, main gradients in fp32: all are read for NaNs;
// all are read and written where the collective sums, those of experts where it averages and 4 of 32 ranks
// hold an expert.
TEST(StepTasks, GradientsAreCheckedScaledAndCleared) {
  StepCase c;
  ASSERT_EQ(c.plan.layout.edp, 4);
  const RankParameters parameters{1'000'000, 2'000'000, 1};
  const auto passes = [&] { return update_of(c, parameters).gradients; };
  const auto time = [&](MemoryOp op, std::int64_t bytes) {
    return c.profile.memory_op(op, base::Bytes::of(bytes)).time;
  };
  ASSERT_EQ(passes().parts().size(), 2U);
  EXPECT_EQ(passes().parts()[0].estimate.time, time(MemoryOp::kReduce, 12'000'000));
  EXPECT_EQ(passes().parts()[1].estimate.time, time(MemoryOp::kAdd, 24'000'000));
  EXPECT_EQ(events(c, "gradient passes"), 1);
  EXPECT_EQ(update_of(c, parameters).optimizer.parts().back().estimate.time,
            time(MemoryOp::kCopy, 12'000'000));
  const base::Seconds with = c.simulate().step_time;
  c.run.gradients = {false, true};
  ASSERT_EQ(passes().parts().size(), 1U);
  EXPECT_EQ(passes().parts()[0].estimate.time, time(MemoryOp::kAdd, 16'000'000));
  EXPECT_LT(c.simulate().step_time, with);
  c.plan.stated_data_parallel = DataParallel::kFsdp;  // each clears its 32nd, and its quarter of the experts
  EXPECT_EQ(update_of(c, parameters).optimizer.parts().back().estimate.time,
            time(MemoryOp::kCopy, 2'125'000));
}

// The loss sums probabilities in every MoE layer; tokens an expert are counted over the tensor- and
// context-parallel group, or over all ranks, so that only the last travels where both are 1.
TEST(StepTasks, TheRoutersLossIsReducedInEveryLayer) {
  StepCase c;
  EXPECT_EQ(events(c, "aux loss"), 0);
  const base::Seconds without = c.simulate().step_time;
  c.run.router_loss = RouterLoss::kMicroBatch;
  // 2 micro-batches, 4 layers, forward and backward.
  EXPECT_EQ(events(c, "aux loss L"), 2 * 4 * 2);
  EXPECT_EQ(events(c, "aux loss all-reduce"), 0);
  const base::Seconds local = c.simulate().step_time;
  EXPECT_GT(local, without);
  c.run.router_loss = RouterLoss::kGlobal;
  EXPECT_EQ(events(c, "aux loss all-reduce"), 2 * 4);
  EXPECT_GT(c.simulate().step_time, local);
  c.lay_out(2, 1, 1, 8);
  c.run.router_loss = RouterLoss::kSequence;
  EXPECT_EQ(events(c, "aux loss all-reduce"), 4 * 4);
}

}  // namespace
}  // namespace moeplan::sim
