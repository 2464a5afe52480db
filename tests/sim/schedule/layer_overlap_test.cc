// Communication of MoE layers beside other work: shared experts, another micro-batch, delayed weight
// gradients, token chunks of either pass.
#include <algorithm>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "sim/schedule/chunk_graph.h"
#include "sim/schedule/pipeline_graph.h"
#include "sim/schedule/shared_experts.h"
#include "tests/sim/schedule/step_case.h"

namespace moeplan::sim {
namespace {

using base::RankId;
using base::Seconds;
using test_data::StepCase;
using ::testing::HasSubstr;

Segment work(std::string_view name, TimeClass time_class, double seconds) {
  Segment segment;
  segment.add(name, time_class, exactly(Seconds::of(seconds)));
  return segment;
}

/// A segment whose last `weight` seconds are a weight gradient.
Segment halves(double input, double weight) {
  Segment segment = work("data", TimeClass::kGemm, input);
  segment.add_weight_gradient("weights", exactly(Seconds::of(weight)));
  return segment;
}

/// Two ranks of an EP group. Forward: attention 1 s, before 1, dispatch `exchange`, experts 2, combine
/// `exchange`, after 1; backward twice as long, of which attention 1 and experts 2 s are weight gradients.
struct Layers {
  StageRanks stage;
  std::vector<double> slow{1.0, 1.0};
  Recompute none;
  LayerTemplate kernels;
  MoeTimes moe;

  explicit Layers(double exchange) {
    stage.ranks = {RankId(0), RankId(1)};
    stage.expert_group = stage.block = 2;
    kernels.is_moe = true;
    kernels.attention_forward = work("attention", TimeClass::kAttention, 1);
    kernels.before_forward = work("before", TimeClass::kMemory, 1);
    kernels.after_forward = work("after", TimeClass::kMemory, 1);
    kernels.attention_backward = halves(1, 1);
    kernels.before_backward = work("before", TimeClass::kMemory, 2);
    kernels.after_backward = work("after", TimeClass::kMemory, 2);
    moe.dispatch.assign(2, work("dispatch", TimeClass::kDispatch, exchange));
    moe.combine.assign(2, work("combine", TimeClass::kCombine, exchange));
    moe.combine_gradient.assign(2, work("combine gradient", TimeClass::kCombine, exchange));
    moe.dispatch_gradient.assign(2, work("dispatch gradient", TimeClass::kDispatch, exchange));
    moe.experts.assign(2, work("experts", TimeClass::kGemm, 2));
    moe.experts_backward.assign(2, halves(2, 2));
    moe.split_backward();
  }
  void share(double up, double down) {
    moe.shared_up.assign(2, work("fc1", TimeClass::kGemm, up));
    moe.shared_down.assign(2, work("fc2", TimeClass::kGemm, down));
    moe.shared_down_backward.assign(2, work("fc2", TimeClass::kGemm, 2 * down));
    moe.shared_up_backward.assign(2, work("fc1", TimeClass::kGemm, 2 * up));
  }
  ChunkWork chunk(int layers = 1) const {
    return {std::vector<ChunkLayer>(static_cast<std::size_t>(layers), {&kernels, &moe, 0}), {}};
  }
  double run(Pass pass, int layers = 1) const {
    return simulate_chunk({stage, slow, none}, chunk(layers), pass, false).duration[0].s();
  }
  double pair(bool delay, int layers = 1) const {
    return simulate_pair({stage, slow, none, delay}, chunk(layers), chunk(layers), {}, false).duration[0].s();
  }
};

// Forward: attention 1, before 1, max(dispatch 1, fc1 0.5), experts 2, max(combine 1, fc2 2), after 1 = 8.
// Backward: after 2, max(combine gradient 1, fc2 4), experts 4, max(dispatch gradient 1, fc1 1), before 2,
// attention 2 = 15.
TEST(SharedExperts, HideTheAllToAllsAsFarAsTheyGo) {
  Layers layers(1);
  EXPECT_NEAR(layers.run(Pass::kForward), 7.0, 1e-9);
  layers.share(0.5, 2);
  EXPECT_NEAR(layers.run(Pass::kForward), 8.0, 1e-9);
  EXPECT_NEAR(layers.run(Pass::kBackward), 15.0, 1e-9);
  EXPECT_NEAR(layers.run(Pass::kForward, 3), 24.0, 1e-9);
}

// The GPU has one set of SMs: an fc1 of 3 s beside a dispatch of 1 s holds the experts up by 2 s.
TEST(SharedExperts, DoNotRunBesideTheRoutedOnes) {
  Layers layers(1);
  layers.share(3, 0.5);
  EXPECT_NEAR(layers.run(Pass::kForward), 1 + 1 + 3 + 2 + 1 + 1, 1e-9);
}

TEST(SharedExperts, WithNobodyToExchangeWithFollowEachOther) {
  Layers layers(1);
  layers.share(0.5, 2);
  for (auto* segments : {&layers.moe.dispatch, &layers.moe.combine, &layers.moe.dispatch_gradient,
                         &layers.moe.combine_gradient})
    segments->clear();
  EXPECT_NEAR(layers.run(Pass::kForward), 1 + 1 + 0.5 + 2 + 2 + 1, 1e-9);
}

TEST(SharedExperts, TheTraceShowsTheirStream) {
  Layers layers(1);
  layers.share(0.5, 2);
  const ChunkTimes times =
      simulate_chunk({layers.stage, layers.slow, layers.none}, layers.chunk(), Pass::kForward, true);
  const auto on = [&](int stream) {
    return std::count_if(times.bars.begin(), times.bars.end(),
                         [&](const ChunkBar& b) { return b.stream == stream; });
  };
  EXPECT_EQ(on(0), 4);
  EXPECT_EQ(on(1), 2);
  EXPECT_EQ(on(2), 2);
}

// Without: after B 0-2 | attention, before F 2-4 | experts B 5-9 (combine gradient 2-5) | experts F 9-11
// (dispatch 5-8) | before, attention B 12-16 (dispatch gradient 9-12) | after F 16-17 (combine 12-15).
// Delayed: the dispatch gradient follows the input gradients of the experts (7) and the dispatch (8) and is
// done at 11, where experts F end: before B, attention D 11-14, attention W 14-15, after F 15-16 (combine
// 11-14).
TEST(DelayedWeightGradients, RunUnderTheDispatchGradient) {
  const Layers layers(3);
  EXPECT_NEAR(layers.pair(false), 17.0, 1e-9);
  EXPECT_NEAR(layers.pair(true), 16.0, 1e-9);
}

// 15 s of kernels a layer of both; where all-to-alls are short nothing is left to hide.
TEST(DelayedWeightGradients, NeverBeatTheKernels) {
  EXPECT_NEAR(Layers(0.5).pair(true, 4), 4 * 15.0, 1e-9);
  EXPECT_LE(Layers(3).pair(true, 4), Layers(3).pair(false, 4));
  EXPECT_GE(Layers(3).pair(true, 4), 4 * 15.0);
}

double sum(const Segment& segment) { return segment.time().s(); }

// Of equal ranks: no shorter than all kernels of a rank and than all its all-to-alls, no longer than one
// after the other.
TEST(LayerOverlap, RandomLayersStayBetweenTheirBounds) {
  base::RandomStream random(test::test_seed(), "layer overlap");
  const auto seconds = [&] { return 0.125 * static_cast<double>(1 + random.below(40)); };
  for (int i = 0; i < 300; ++i) {
    Layers layers(seconds());
    LayerTemplate& k = layers.kernels;
    k.attention_forward = work("attention", TimeClass::kAttention, seconds());
    k.before_forward = work("before", TimeClass::kMemory, seconds());
    k.attention_backward = halves(seconds(), seconds());
    k.after_backward = halves(seconds(), seconds());
    MoeTimes& moe = layers.moe;
    moe.experts.assign(2, work("experts", TimeClass::kGemm, seconds()));
    moe.experts_backward.assign(2, halves(seconds(), seconds()));
    moe.experts_input.clear();
    moe.experts_weight.clear();
    moe.split_backward();
    moe.combine_gradient.assign(2, work("combine gradient", TimeClass::kCombine, seconds()));
    const double forward =
        sum(k.attention_forward) + sum(k.before_forward) + sum(moe.experts[0]) + sum(k.after_forward);
    const double backward = sum(k.attention_backward.whole) + sum(k.before_backward.whole) +
                            sum(k.after_backward.whole) + sum(moe.experts_backward[0]);
    const double out = sum(moe.dispatch[0]) + sum(moe.combine[0]);
    const double back = sum(moe.combine_gradient[0]) + sum(moe.dispatch_gradient[0]);
    for (const bool delay : {false, true}) {
      const double pair = layers.pair(delay, 2);
      EXPECT_GE(pair, 2 * std::max(forward + backward, out + back) - 1e-9) << i;
      EXPECT_LE(pair, 2 * (forward + backward + out + back) + 1e-9) << i;
    }
    const double up = seconds(), down = seconds();
    layers.share(up, down);
    EXPECT_GE(layers.run(Pass::kForward), std::max(forward + up + down, forward + out) - 1e-9) << i;
    EXPECT_LE(layers.run(Pass::kForward), forward + up + down + out + 1e-9) << i;
    EXPECT_GE(layers.run(Pass::kBackward), std::max(backward + 2 * (up + down), backward + back) - 1e-9) << i;
    EXPECT_LE(layers.run(Pass::kBackward), backward + 2 * (up + down) + back + 1e-9) << i;
  }
}

std::string shown(const std::vector<PipelineOp>& order) {
  std::string text;
  for (const PipelineOp& op : order) {
    text += op.pass == Pass::kForward ? "F" : "B";
    text += std::to_string(op.micro_batch) + (op.beside_next ? "&" : " ");
  }
  return text;
}

// Megatron-LM megatron/core/pipeline_parallel/combined_1f1b.py: F0, F1 & B0, F2 & B1, F3 & B2, B3.
TEST(PairedOrder, WithoutAPipelineMicroBatchesMeetTheirNeighbours) {
  const ChunkMap map = ChunkMap(PipelineSchedule::kOneForwardOneBackward, 1, 1).with_pairs(true);
  EXPECT_EQ(shown(pipeline_order(map, 0, 4)), "F0 F1&B0 F2&B1 F3&B2 B3 ");
  EXPECT_EQ(shown(pipeline_order(map, 0, 1)), "F0 B0 ");
}

// One forward more than 1F1B's p - r - 1 = 1 comes first.
TEST(PairedOrder, OneMoreForwardComesFirst) {
  const ChunkMap map = ChunkMap(PipelineSchedule::kOneForwardOneBackward, 2, 1).with_pairs(true);
  EXPECT_EQ(shown(pipeline_order(map, 0, 4)), "F0 F1 F2&B0 F3&B1 B2 B3 ");
  EXPECT_EQ(shown(pipeline_order(map, 1, 4)), "F0 F1&B0 F2&B1 F3&B2 B3 ");
}

ChunkTimes take(double seconds) {
  ChunkTimes times;
  times.duration = {Seconds::of(seconds)};
  times.critical.resize(1);
  times.critical[0].add(TimeClass::kGemm, exactly(Seconds::of(seconds)));
  return times;
}

/// Time of a pipeline of chunks that are all alike: F 1 s, B 2 s, F&B `both`.
double time_of(PipelineSchedule schedule, int p, int v, int m, bool pairs, double both) {
  const ChunkPair alone{take(1), take(2), {}, {}};
  const ChunkTimes together = take(both);
  ChunkSample sample;
  PipelineInput input;
  input.map = ChunkMap(schedule, p, v).with_pairs(pairs);
  sample.chunks.assign(static_cast<std::size_t>(p * v), &alone);
  input.micro_batches = m;
  input.samples.assign(static_cast<std::size_t>(m), &sample);
  input.transfer_forward.resize(static_cast<std::size_t>(p));
  input.transfer_backward.resize(static_cast<std::size_t>(p));
  input.blocking_transfers = schedule == PipelineSchedule::kOneForwardOneBackward;
  input.exchanges.resize(static_cast<std::size_t>(p * v));
  input.updates.resize(static_cast<std::size_t>(p));
  input.both = [&](int f, int mf, int b, int mb) -> const ChunkTimes& {
    EXPECT_FALSE(f == b && mf == mb) << "a micro-batch beside itself";
    return together;
  };
  return simulate_pipeline(input).time().s();
}

// F + (m - 1) F&B + B.
TEST(PairedOrder, WithoutAPipelineAllButTheEndsArePairs) {
  const auto time = [](double both) {
    return time_of(PipelineSchedule::kOneForwardOneBackward, 1, 1, 8, true, both);
  };
  EXPECT_NEAR(time(3.0), 8 * 3.0, 1e-9);
  EXPECT_NEAR(time(2.5), 1 + 7 * 2.5 + 2, 1e-9);
}

// A rank does all of its passes, so no pipeline is shorter than them; pairs that gain nothing cost the bubble
// of one more forward and of passes that wait for each other, less than (p - 1) F&B; pairs that gain pay off.
TEST(PairedOrder, InterleavedPipelinesGainWhatTheirPairsGain) {
  for (const int p : {2, 4}) {
    for (const int v : {2, 3}) {
      const int m = 4 * p;
      const auto time = [&](bool pairs, double both) {
        return time_of(PipelineSchedule::kInterleaved, p, v, m, pairs, both);
      };
      const double alone = time(false, 3.0);
      EXPECT_GE(time(true, 3.0), 3.0 * m * v - 1e-9);
      EXPECT_LE(time(true, 3.0), alone + 3.0 * (p - 1) + 1e-9) << p << " " << v;
      EXPECT_LT(time(true, 2.0), alone);
    }
  }
}

// All-to-all in 4 s in 4 tiles, work on it 4 s: max(4 + 1, 4 + 1) = 5. Work on what goes out 2 s in 4 tiles,
// all-to-all out 4 s: max(2 + 1, 4 + 0.5) = 4.5. Attention, before and after 1 s each.
TEST(TileFused, TakesTheLongerOfWorkAndExchangeAndATile) {
  Layers layers(4);
  FusedWay& way = layers.moe.fused_forward;
  const auto fill = [](std::vector<Segment>& segments, TimeClass time_class, double seconds) {
    segments.assign(2, work("part", time_class, seconds));
  };
  fill(way.first_in, TimeClass::kDispatch, 1);
  fill(way.rest_in, TimeClass::kDispatch, 3);
  fill(way.most_work, TimeClass::kGemm, 3);
  fill(way.last_work, TimeClass::kGemm, 1);
  fill(way.first_work, TimeClass::kGemm, 0.5);
  fill(way.rest_work, TimeClass::kGemm, 1.5);
  fill(way.most_out, TimeClass::kCombine, 3);
  fill(way.last_out, TimeClass::kCombine, 1);
  way.weights.resize(2);
  EXPECT_NEAR(layers.run(Pass::kForward), 3 + 5 + 4.5, 1e-9);
  // A weight gradient of 3 s runs under the last 2.5 s of the all-to-all and holds `after` up by the rest.
  way.weights.assign(2, work("weights", TimeClass::kGemm, 3));
  EXPECT_NEAR(layers.run(Pass::kForward), 3 + 5 + 2 + 3, 1e-9);
}

std::string first_fault(const StepCase& c) {
  const std::vector<PlanFault> faults = find_faults(c.job(), c.plan);
  return faults.empty() ? "" : faults.front().rule + ": " + faults.front().message;
}

TEST(LayerOverlap, WhatDoesNotGoTogetherIsRefusedByName) {
  StepCase c;
  c.plan.overlap.shared_experts = true;
  EXPECT_EQ(
      first_fault(c),
      "overlap-shared-experts: shared experts beside the all-to-alls, but the model has no shared experts");
  c.model.shared_ffn = 1024;
  EXPECT_EQ(first_fault(c), "");
  c.plan.chunk_degree_backward = 2;
  EXPECT_EQ(
      first_fault(c),
      "overlap-shared-experts: shared experts beside the all-to-alls are not simulated with token chunks: "
      "expected chunk_degree 1, found 2");
  c.plan.chunk_degree_backward = 0;
  c.plan.overlap.all_to_all = true;
  EXPECT_THAT(first_fault(c), HasSubstr("expected one of shared_experts and all_to_all"));
  c.plan.overlap.shared_experts = false;
  EXPECT_EQ(first_fault(c), "");
  c.plan.chunk_degree = 4;
  EXPECT_EQ(first_fault(c),
            "overlap-all-to-all: all-to-alls under another micro-batch are not simulated with token chunks: "
            "expected chunk_degree 1, found 4");
  c.plan.chunk_degree = 1;
  c.plan.stated_schedule = PipelineSchedule::kGpipe;
  EXPECT_EQ(
      first_fault(c),
      "overlap-all-to-all: all-to-alls under another micro-batch belong to schedules 1f1b and interleaved, "
      "found gpipe");
  c.plan.stated_schedule.reset();
  c.lay_out(1, 1, 1, 1);
  EXPECT_EQ(
      first_fault(c),
      "overlap-all-to-all: all-to-alls under another micro-batch need experts on several ranks, found ep 1");
  c.plan.overlap = {false, false, false, true};
  EXPECT_EQ(
      first_fault(c),
      "overlap-tile-fused: experts fused with their all-to-alls need experts on several ranks, found ep 1");
  c.lay_out(1, 1, 1, 8);
  EXPECT_EQ(first_fault(c), "");
  c.plan.dispatcher = Dispatcher::kDeepEp;
  EXPECT_THAT(first_fault(c), HasSubstr("expected dispatcher flat, found deepep"));
  c.plan.dispatcher = Dispatcher::kFlat;
  c.plan.overlap = {false, false, true};
  EXPECT_EQ(first_fault(c),
            "overlap-weight-gradients: weight gradients are delayed in pairs of micro-batches only");
}

// Between nothing hidden and all communication of the layers hidden.
TEST(LayerOverlap, HidesSomeAndNotMoreThanThereIs) {
  StepCase c;
  c.lay_out(1, 1, 1, 32);
  c.run.global_batch = 256;
  c.model.shared_ffn = 2048;
  const StepResult plain = c.simulate();
  const double exposed = plain.breakdown.exposed_comm.s();
  ASSERT_GT(exposed, 0.0);
  for (const LayerOverlap overlap :
       {LayerOverlap{true, false, false}, LayerOverlap{false, true, false}, LayerOverlap{false, true, true},
        LayerOverlap{false, false, false, true}}) {
    c.plan.overlap = overlap;
    const StepResult result = c.simulate();
    EXPECT_LT(result.step_time, plain.step_time);
    EXPECT_GT(result.step_time.s(), plain.step_time.s() - exposed);
    const Breakdown& b = result.breakdown;
    EXPECT_NEAR(result.step_time.s(), b.total().s(), 1e-9 * result.step_time.s());
  }
}

// On two pipeline ranks with two chunks each, and under a load that is not even.
TEST(LayerOverlap, PairsRunInInterleavedPipelinesAndUnderUnevenLoads) {
  StepCase c("zipf:0.5", 8);
  c.lay_out(1, 2, 2, 16);
  c.run.global_batch = 256;
  const Seconds plain = c.simulate().step_time;
  c.plan.overlap = {false, true, true};
  EXPECT_EQ(first_fault(c), "");
  EXPECT_LT(c.simulate().step_time, plain);
}

// The layer of the other micro-batch comes on top; Megatron keeps one forward of a chunk more, but no forward
// waits beside it any more.
TEST(LayerOverlap, APairKeepsOneLayerMore) {
  StepCase c;
  c.model.vocab = 1024;  // or the logits are the peak
  const base::Bytes plain = compute_memory(c.job(), c.plan).peak;
  c.plan.overlap.all_to_all = true;
  const base::Bytes paired = compute_memory(c.job(), c.plan).peak;
  EXPECT_GT(paired, plain);
  EXPECT_LT(paired.count(), plain.count() * 3 / 2);
}

// Equal degrees of both passes are the one degree; another degree of the backward leaves the forward as it
// is.
TEST(ChunkDegrees, OfForwardAndBackwardAreApart) {
  StepCase c;
  c.lay_out(1, 1, 1, 32);
  const auto time = [&](int forward, int backward) {
    c.plan.chunk_degree = forward;
    c.plan.chunk_degree_backward = backward;
    return c.simulate().step_time.s();
  };
  EXPECT_EQ(time(2, 0), time(2, 2));
  const double one = time(1, 1), both = time(2, 2), first = time(2, 1), second = time(1, 2);
  // Of the whole step: gradient reductions hide behind what there is.
  EXPECT_NEAR((one - first) + (one - second), one - both, 1e-3 * one);
  EXPECT_NE(first, one);
  EXPECT_NE(second, one);
}

}  // namespace
}  // namespace moeplan::sim
