#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include "sim/schedule/attribution.h"
#include "sim/schedule/pipeline_graph.h"
#include "sim/schedule/pipeline_order.h"

namespace moeplan::sim {
namespace {

using base::Seconds;
using Schedule = PipelineSchedule;

/// A chunk that takes `forward` and `backward` seconds of GEMM on every block.
ChunkPair chunk(std::vector<double> forward, std::vector<double> backward) {
  ChunkPair pair;
  const auto fill = [](ChunkTimes& times, const std::vector<double>& seconds) {
    for (const double s : seconds) {
      times.duration.push_back(Seconds::of(s));
      CostSum cost;
      cost.add(TimeClass::kGemm, exactly(Seconds::of(s)));
      times.critical.push_back(cost);
    }
  };
  fill(pair.forward, forward);
  fill(pair.backward, backward);
  return pair;
}

/// p stages of v chunks, all alike; nothing but the pipeline takes time.
struct Pipeline {
  ChunkPair pair;
  ChunkSample sample;
  PipelineInput input;

  Pipeline(int p, int v, int m, ChunkPair all) : pair(std::move(all)) {
    sample.chunks.assign(static_cast<std::size_t>(p * v), &pair);
    input.map = ChunkMap(v == 1 ? Schedule::kOneForwardOneBackward : Schedule::kInterleaved, p, v);
    input.micro_batches = m;
    input.samples.assign(static_cast<std::size_t>(m), &sample);
    input.transfer_forward.resize(static_cast<std::size_t>(p));
    input.transfer_backward.resize(static_cast<std::size_t>(p));
    input.blocking_transfers = v == 1;
    input.exchanges.resize(static_cast<std::size_t>(p * v));
    input.updates.resize(static_cast<std::size_t>(p));
  }
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;
};

TEST(PipelineOrder, OneForwardOneBackwardOfTheFirstOfFourStages) {
  // W = 3 forwards, then F3 B0 (m = 4), then B1 B2 B3.
  const std::vector<PipelineOp> expected{
      {0, 0, Pass::kForward},  {0, 1, Pass::kForward},  {0, 2, Pass::kForward},  {0, 3, Pass::kForward},
      {0, 0, Pass::kBackward}, {0, 1, Pass::kBackward}, {0, 2, Pass::kBackward}, {0, 3, Pass::kBackward}};
  EXPECT_EQ(pipeline_order({Schedule::kOneForwardOneBackward, 4, 1}, 0, 4), expected);
}

TEST(PipelineOrder, LastStageAlternates) {
  const std::vector<PipelineOp> expected{
      {0, 0, Pass::kForward}, {0, 0, Pass::kBackward}, {0, 1, Pass::kForward}, {0, 1, Pass::kBackward}};
  EXPECT_EQ(pipeline_order({Schedule::kOneForwardOneBackward, 4, 1}, 3, 2), expected);
}

// Megatron, pp = 2, vp = 2, m = 2, stage 1: W = 0 + 1 * 2 = 2 of 4: F(c0,m0) F(c0,m1) | F(c1,m0) B(c1,m0)
// F(c1,m1) B(c1,m1) | B(c0) ...
TEST(PipelineOrder, InterleavedGoesThroughChunksInGroups) {
  const std::vector<PipelineOp> expected{
      {0, 0, Pass::kForward}, {0, 1, Pass::kForward},  {1, 0, Pass::kForward},  {1, 0, Pass::kBackward},
      {1, 1, Pass::kForward}, {1, 1, Pass::kBackward}, {0, 0, Pass::kBackward}, {0, 1, Pass::kBackward}};
  EXPECT_EQ(pipeline_order({Schedule::kInterleaved, 2, 2}, 1, 2), expected);
}

TEST(PipelineOrder, HoldsEveryChunkAndMicroBatchOnceInEachDirection) {
  for (const int m : {1, 3, 8}) {
    for (int stage = 0; stage < 4; ++stage) {
      const std::vector<PipelineOp> order = pipeline_order({Schedule::kInterleaved, 4, 3}, stage, m);
      std::set<std::tuple<int, int, Pass>> seen;
      for (const PipelineOp& op : order) seen.insert({op.chunk, op.micro_batch, op.pass});
      EXPECT_EQ(order.size(), static_cast<std::size_t>(2 * 3 * m));
      EXPECT_EQ(seen.size(), order.size());
    }
  }
}

// 1F1B: t = (m + p - 1)(F + B), the bubble (p - 1)/(m + p - 1) of it.
TEST(Pipeline, OneForwardOneBackwardHasTheKnownBubble) {
  for (const auto& [p, m] : {std::pair(2, 4), std::pair(4, 8), std::pair(8, 8), std::pair(4, 4)}) {
    const Pipeline pipeline(p, 1, m, chunk({1.0}, {2.0}));
    const PipelineStep step = simulate_pipeline(pipeline.input);
    EXPECT_NEAR(step.time().s(), 3.0 * (m + p - 1), 1e-9);
    const Breakdown parts = attribute_stage(step, find_busiest_stage(step));
    EXPECT_NEAR(parts.bubble / step.time(), static_cast<double>(p - 1) / (m + p - 1), 1e-9);
    EXPECT_NEAR(parts.compute.s(), 3.0 * m, 1e-9);
    EXPECT_NEAR(parts.total().s(), step.time().s(), 1e-12);
  }
}

// Interleaving cuts the bubble by v: t = m (F + B) + (p - 1)(F + B)/v with F, B of all chunks of a rank.
TEST(Pipeline, InterleavingDividesTheBubble) {
  for (const int v : {2, 3}) {
    const Pipeline pipeline(4, v, 8, chunk({1.0 / v}, {2.0 / v}));
    EXPECT_NEAR(simulate_pipeline(pipeline.input).time().s(), 3.0 * 8 + 3.0 * 3 / v, 1e-9);
  }
}

// p = 2, m = 1, transfers of 0.5 s: F + 0.5 + F + B + 0.5 + B = 2 * 3 + 1.
TEST(Pipeline, TransfersStandBetweenStages) {
  Pipeline pipeline(2, 1, 1, chunk({1.0}, {2.0}));
  for (auto* transfers : {&pipeline.input.transfer_forward, &pipeline.input.transfer_backward}) {
    for (Estimate& transfer : *transfers) transfer = exactly(Seconds::of(0.5));
  }
  const PipelineStep step = simulate_pipeline(pipeline.input);
  EXPECT_NEAR(step.time().s(), 7.0, 1e-9);
  // The sender waits for its transfer (0.5), for the other stage (1 + 2), and for the transfer back (0.5).
  const Breakdown parts = attribute_stage(step, {0, 0, {}});
  EXPECT_NEAR(parts.exposed_comm.s(), 0.5, 1e-9);
  EXPECT_NEAR(parts.bubble.s(), 3.5, 1e-9);
}

// One stage, 4 layers, one micro-batch: B = 2 s in 4 pieces of 0.5 s, reduction of 0.3 s a piece hides but
// for the last one; gather of 0.1 s a piece: only the first one is waited for. t = 0.1 + 1 + 2 + 0.3.
TEST(Pipeline, GradientsAndParametersHideBehindTheirLayers) {
  Pipeline pipeline(1, 1, 1, chunk({1.0}, {2.0}));
  pipeline.input.exchanges[0] = {4, exactly(Seconds::of(0.3)), exactly(Seconds::of(0.1))};
  EXPECT_NEAR(simulate_pipeline(pipeline.input).time().s(), 3.4, 1e-9);
  pipeline.input.overlap_reduce = false;  // 4 * 0.3 after the backward
  EXPECT_NEAR(simulate_pipeline(pipeline.input).time().s(), 0.1 + 3.0 + 1.2, 1e-9);
  pipeline.input.overlap_gather = false;  // 4 * 0.1 at the end
  const PipelineStep step = simulate_pipeline(pipeline.input);
  EXPECT_NEAR(step.time().s(), 3.0 + 1.2 + 0.4, 1e-9);
  const Breakdown parts = attribute_stage(step, find_busiest_stage(step));
  EXPECT_NEAR(parts.exposed_comm.s(), 1.2, 1e-9);
  EXPECT_NEAR(parts.optimizer.s(), 0.4, 1e-9);
}

// Two blocks take 1 and 2 s in turn: each runs its own pipeline, so the step is the longer sum and not the
// sum of maxima.
TEST(Pipeline, BlocksMeetOnlyInTheGradientReduction) {
  Pipeline pipeline(1, 1, 2, chunk({1.0, 2.0}, {0.0, 0.0}));
  const ChunkPair other = chunk({2.0, 1.0}, {0.0, 0.0});
  ChunkSample second;
  second.chunks = {&other};
  pipeline.input.samples[1] = &second;
  EXPECT_NEAR(simulate_pipeline(pipeline.input).time().s(), 3.0, 1e-9);
}

TEST(Pipeline, CriticalCostSumsToTheStep) {
  Pipeline pipeline(4, 2, 8, chunk({1.0}, {2.0}));
  for (Estimate& transfer : pipeline.input.transfer_forward) transfer = exactly(Seconds::of(0.25));
  const PipelineStep step = simulate_pipeline(pipeline.input);
  EXPECT_NEAR(critical_cost(step).total(), step.time().s(), 1e-9);
}

}  // namespace
}  // namespace moeplan::sim
