#include "sim/schedule/chunk_graph.h"

#include <gtest/gtest.h>

namespace moeplan::sim {
namespace {

using base::RankId;
using base::Seconds;

Segment work(std::string_view name, TimeClass time_class, double seconds) {
  Segment segment;
  segment.add(name, time_class, exactly(Seconds::of(seconds)));
  return segment;
}

/// Two ranks of one EP group and layers of: attention 1 s, before 1 s, dispatch 1 s, experts `a` and `b`
/// seconds, combine 1 s, after 1 s; backward twice as long.
struct Layers {
  StageRanks stage;
  std::vector<double> slow{1.0, 1.0};
  LayerTemplate kernels;
  MoeTimes moe;

  Layers(double a, double b, int pieces = 1) {
    stage.ranks = {RankId(0), RankId(1)};
    stage.expert_group = stage.block = 2;
    kernels.is_moe = true;
    kernels.attention_forward = work("attention", TimeClass::kAttention, 1);
    kernels.before_forward = work("before", TimeClass::kMemory, 1);
    kernels.after_forward = work("after", TimeClass::kMemory, 1);
    kernels.attention_backward = work("attention", TimeClass::kAttention, 2);
    kernels.before_backward = work("before", TimeClass::kMemory, 2);
    kernels.after_backward = work("after", TimeClass::kMemory, 2);
    moe.pieces = pieces;
    for (int r = 0; r < 2; ++r) {
      moe.dispatch.push_back(work("dispatch", TimeClass::kDispatch, 1.0 / pieces));
      moe.combine.push_back(work("combine", TimeClass::kCombine, 1.0 / pieces));
      moe.combine_gradient.push_back(work("combine", TimeClass::kCombine, 1.0 / pieces));
      moe.dispatch_gradient.push_back(work("dispatch", TimeClass::kDispatch, 1.0 / pieces));
    }
    for (const double s : {a, b}) {
      moe.experts.push_back(work("experts", TimeClass::kGemm, s / pieces));
      moe.experts_backward.push_back(work("experts", TimeClass::kGemm, 2 * s / pieces));
    }
  }
  ChunkTimes run(bool backward, const Recompute& recompute = {}, int count = 1) const {
    return run(backward ? Pass::kBackward : Pass::kForward, recompute, count);
  }
  ChunkTimes run(Pass pass, const Recompute& recompute = {}, int count = 1) const {
    return simulate_chunk({stage, slow, recompute},
                          {std::vector<ChunkLayer>(static_cast<std::size_t>(count), {&kernels, &moe, 0}), {}},
                          pass, false);
  }
};

// 1 + 1 + 1 + 4 + 1 + 1: the combine waits for the rank with 4 s of experts.
TEST(Chunk, TheSlowestRankDelaysTheCombineOfItsGroup) {
  const ChunkTimes times = Layers(2, 4).run(false);
  EXPECT_NEAR(times.duration[0].s(), 9.0, 1e-9);
  EXPECT_NEAR(times.critical[0].at(TimeClass::kGemm), 4.0, 1e-9);
  EXPECT_NEAR(times.critical[0].comm(), 2.0, 1e-9);
  EXPECT_NEAR(times.critical[0].total(), 9.0, 1e-9);
}

TEST(Chunk, BackwardMirrorsForward) {
  // after 2 + combine gradient 1 + experts 8 + dispatch gradient 1 + before 2 + attention 2
  EXPECT_NEAR(Layers(2, 4).run(true).duration[0].s(), 16.0, 1e-9);
}

TEST(Chunk, FullRecomputationRunsTheForwardAgainWithItsTraffic) {
  Recompute full;
  full.mode = RecomputeMode::kFull;
  EXPECT_NEAR(Layers(2, 4).run(true, full).duration[0].s(), 9.0 + 16.0, 1e-9);
}

TEST(Chunk, RecomputingTheMoeBlockLeavesTheAttentionOut) {
  Recompute moe;
  moe.mode = RecomputeMode::kSelective;
  moe.modules = {RecomputeModule::kMoe};
  EXPECT_NEAR(Layers(2, 4).run(true, moe).duration[0].s(), 8.0 + 16.0, 1e-9);
}

// Two pieces: dispatches end at 2.5 and 3, experts of 2 s a piece at 4.5 and 6.5, combines of 0.5 s at 5 and
// 7, after: 8.
TEST(Chunk, PiecesOverlapCommunicationWithExperts) {
  EXPECT_NEAR(Layers(4, 4, 2).run(false).duration[0].s(), 8.0, 1e-9);
}

// A rank of factor 2 takes twice as long for kernels, not for communication: 2 + 2 + 1 + 8 + 1 + 2.
TEST(Chunk, ASlowRankSlowsItsGroup) {
  Layers layers(4, 4);
  layers.slow = {1.0, 2.0};
  EXPECT_NEAR(layers.run(false).duration[0].s(), 16.0, 1e-9);
}

// Slack is carried between layers inside a chunk: rank 0 is done with the combine 2 s before rank 1, but the
// next dispatch waits for rank 1. One rank alone takes no less: the sum of two layers is twice one.
TEST(Chunk, LayersOfOneGroupAddUp) {
  EXPECT_NEAR(Layers(2, 4).run(false, {}, 3).duration[0].s(), 27.0, 1e-9);
}

// What two levels lose. Combine of rank 0: 1 s, of rank 1: 3 s. A chunk ends for rank 0 at 1+1+1+2+1+1 = 7
// and for rank 1 at 9. Two chunks one after the other: seen from outside, 9 + 9 = 18. In one flat graph rank
// 0 starts its second chunk at 7, but its dispatch waits for rank 1, which is ready at 9 + 2 = 11: the flat
// graph ends at 18, too. Only a rank that is early at the start and late at the end gains: with rank 0 slow
// in attention and `before` (factor 2 on kernels: 14 - see below) flat is shorter.
TEST(Chunk, TwoLevelsAgreeWithTheFlatGraphWhereTheLateRankIsLateAgain) {
  Layers layers(2, 2);
  layers.moe.combine[1] = work("combine", TimeClass::kCombine, 3);
  EXPECT_NEAR(layers.run(false).duration[0].s(), 9.0, 1e-9);
  EXPECT_NEAR(layers.run(false, {}, 2).duration[0].s(), 18.0, 1e-9);
}

// Rank 1 takes 3 s for the combine, rank 0 is slow (factor 2): rank 0 ends at 2+2+1+4+1+2 = 12, rank 1 at 9 +
// 3 + 1 = 13. Two levels: 26. Flat: the second dispatch waits for max(12 + 4, 13 + 2) = 16, then 1 + 4
// experts, rank 1's combine 3, after 1: 25.
TEST(Chunk, TwoLevelsLoseTheSlackOfARankThatIsEarlyAndThenLate) {
  Layers layers(2, 2);
  layers.slow = {2.0, 1.0};
  layers.moe.combine[1] = work("combine", TimeClass::kCombine, 3);
  const double chunk = layers.run(false).duration[0].s();
  const double flat = layers.run(false, {}, 2).duration[0].s();
  EXPECT_NEAR(chunk, 13.0, 1e-9);
  EXPECT_NEAR(flat, 25.0, 1e-9);
  EXPECT_GE(2 * chunk, flat);
}

// Nothing is lost where the halves run one after the other, and the weight half has no communication.
TEST(Chunk, TheHalvesOfABackwardAddUp) {
  Layers layers(2, 4);
  const auto halves = [](double input, double weight) {
    Segment segment = work("data", TimeClass::kGemm, input);
    segment.add_weight_gradient("weights", exactly(Seconds::of(weight)));
    return segment;
  };
  layers.kernels.attention_backward = halves(1, 1);
  layers.kernels.before_backward = halves(0.5, 0.25);
  layers.kernels.after_backward = halves(2, 0);
  layers.moe.experts_backward = {halves(2, 2), halves(4, 4)};
  layers.moe.split_backward();
  const auto run = [&](Pass pass) { return layers.run(pass, {}, 2); };
  const ChunkTimes whole = run(Pass::kBackward), input = run(Pass::kInput), weight = run(Pass::kWeight);
  // After 2, combine gradient 1, experts 8, dispatch gradient 1, before 0.75, attention 2: twice 14.75.
  EXPECT_NEAR(whole.duration[0].s(), 2 * 14.75, 1e-9);
  EXPECT_NEAR(input.duration[0].s(), 2 * (2 + 1 + 4 + 1 + 0.5 + 1), 1e-9);
  EXPECT_NEAR(weight.duration[0].s(), 2 * (4 + 0.25 + 1), 1e-9);
  EXPECT_EQ(weight.critical[0].comm(), 0.0);
}

/// So many layers of the one beside so many of the other.
ChunkTimes pair_of(const Layers& forward, int forward_layers, const Layers& backward, int backward_layers,
                   const OverlapFactors& factors = {}) {
  const auto work_of = [](const Layers& l, int count) {
    return ChunkWork{std::vector<ChunkLayer>(static_cast<std::size_t>(count), {&l.kernels, &l.moe, 0}), {}};
  };
  const Recompute none;
  return simulate_pair({forward.stage, forward.slow, none}, work_of(forward, forward_layers),
                       work_of(backward, backward_layers), factors, false);
}

// One layer each, experts 2 s forward and 4 s backward, all-to-alls of 1 s; F = attention 1, before 1, after
// 1, B = after 2, before 2, attention 2.
//     compute:        after B 0-2 | attention, before F 2-4 | experts B 4-8 | experts F 8-10 | before B,
//                     attention B 10-14 | after F 14-15
//     communication:  combine gradient 2-3 | dispatch 4-5 | dispatch gradient 8-9 | combine F 10-11
// All all-to-alls are hidden: the pair takes the 15 s of its kernels. Alone F takes 7 and B 12.
TEST(Pair, AllToAllsHideUnderTheOtherMicroBatch) {
  const Layers layers(2, 2);
  EXPECT_NEAR(layers.run(Pass::kForward).duration[0].s(), 7.0, 1e-9);
  EXPECT_NEAR(layers.run(Pass::kBackward).duration[0].s(), 12.0, 1e-9);
  const ChunkTimes pair = pair_of(layers, 1, layers, 1);
  EXPECT_NEAR(pair.duration[0].s(), 15.0, 1e-9);
  EXPECT_NEAR(pair.critical[0].comm(), 0.0, 1e-9);
  EXPECT_NEAR(pair_of(layers, 4, layers, 4).duration[0].s(), 4 * 15.0, 1e-9);
}

// All-to-alls of 10 s: the four of a layer follow each other and take 40 s; what does not hide under them is
// less than one of them.
TEST(Pair, LongAllToAllsBoundThePair) {
  Layers layers(2, 2);
  for (auto* segments : {&layers.moe.dispatch, &layers.moe.combine, &layers.moe.dispatch_gradient,
                         &layers.moe.combine_gradient}) {
    for (Segment& segment : *segments) segment = work("all-to-all", TimeClass::kDispatch, 10);
  }
  const double pair = pair_of(layers, 3, layers, 3).duration[0].s();
  EXPECT_GE(pair, 3 * 40.0);
  EXPECT_LT(pair, 3 * 40.0 + 10.0);
}

// What is left over of the longer chunk runs alone, but for the combine gradient of B's second layer, which
// after F (1 s) hides.
TEST(Pair, TheLongerOneEndsAlone) {
  const Layers layers(2, 2);
  EXPECT_NEAR(pair_of(layers, 3, layers, 1).duration[0].s(), 15.0 + 2 * 7.0, 1e-9);
  EXPECT_NEAR(pair_of(layers, 1, layers, 3).duration[0].s(), 15.0 + 2 * 12.0 - 1.0, 1e-9);
  EXPECT_NEAR(pair_of(layers, 1, layers, 0).duration[0].s(), 7.0, 1e-9);
}

// Experts' products (2 + 4 s) and attention (1 + 2 s) take 1.5 times as long, memory-bound kernels (before
// and after: 1
// + 1 + 2 + 2 s) twice.
TEST(Pair, EitherSlowsTheOther) {
  const Layers layers(2, 2);
  EXPECT_NEAR(pair_of(layers, 1, layers, 1, {1.5, 2.0, 1.0}).duration[0].s(), 1.5 * 9 + 2.0 * 6, 1e-9);
}

}  // namespace
}  // namespace moeplan::sim
