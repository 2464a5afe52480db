#include "planner/online/replay.h"

#include <gtest/gtest.h>

#include "planner/online/routed_time.h"
#include "tests/planner/online/small_job.h"

namespace moeplan::planner {
namespace {

ReplayOptions options_of(int warm_up, int threads = 1) {
  ReplayOptions options;
  options.slots_per_gpu = 3;
  options.warm_up = warm_up;
  options.threads = threads;
  return options;
}

/// With a solver that does not search.
OnlinePolicy quick(const std::string& text) {
  OnlinePolicy policy = load_policy(text);
  policy.solver = "lpt";
  return policy;
}

ReplayResult play(const SmallJob& small, const std::vector<std::string>& policies,
                  const ReplayOptions& options) {
  std::vector<OnlinePolicy> loaded;
  for (const std::string& policy : policies) loaded.push_back(quick(policy));
  EXPECT_EQ(find_replay_fault(small.job(), small.plan, options), "");
  return replay_load(small.job(), small.plan, loaded, options);
}

// A load that never changes: the placement planned before is still the best, so that nothing moves, and
// policies and static planning take the same time but for the planning itself.
TEST(Replay, ASteadyLoadMovesNothing) {
  const SmallJob small(hot_trace({3, 3, 3, 3, 3, 3, 3, 3}));
  const ReplayResult result = play(small, {"every:2", "gain:2", "trigger:3"}, options_of(2));
  ASSERT_EQ(result.tracks.size(), 6U);
  for (std::size_t i = 2; i < 5; ++i) {
    const ReplayTrack& track = result.tracks[i];
    EXPECT_EQ(track.changes(), 0) << track.name;
    EXPECT_EQ(track.moved().count(), 0) << track.name;
    for (std::size_t t = 0; t < track.rows.size(); ++t)
      EXPECT_DOUBLE_EQ((track.rows[t].step_time - track.rows[t].planning).s(),
                       result.planned().rows[t].step_time.s())
          << track.name;
  }
  EXPECT_EQ(result.tracks[2].plannings, 2);  // of iterations 2 .. 7: before 4 and 6
  EXPECT_EQ(result.tracks[4].plannings, 0);  // planned max/mean is below 3
  EXPECT_LT(result.planned().mean_layer(), result.contiguous().mean_layer());
}

// The hot expert changes once, in iteration 4, and stays: a trigger sees it after that iteration, moves
// before 5, and its later iterations are as the oracle's.
TEST(Replay, ATriggerFollowsAChangeOneIterationLater) {
  const SmallJob small(hot_trace({3, 3, 3, 3, 11, 11, 11, 11}));
  OnlinePolicy policy = quick("trigger:1.3");
  policy.predictor = Predictor::kLast;
  policy.window = 1;
  const ReplayResult result = replay_load(small.job(), small.plan, {policy}, options_of(2));
  const ReplayTrack& track = result.tracks[2];
  ASSERT_EQ(track.rows.size(), 6U);
  EXPECT_EQ(track.changes(), 1);
  EXPECT_EQ(track.rows[3].iteration, 5);
  EXPECT_EQ(track.rows[3].layers_changed, 3);
  EXPECT_GT(track.rows[3].migration, base::Seconds());
  EXPECT_GT(track.rows[2].max_over_mean, 1.3);
  EXPECT_NEAR(track.rows[4].max_over_mean, result.oracle().rows[4].max_over_mean, 1e-9);
  EXPECT_LT(track.mean_max_over_mean(), result.planned().mean_max_over_mean());
  EXPECT_GT(track.mean_max_over_mean(), result.oracle().mean_max_over_mean());
}

// What happens from iteration 5 on does not touch what was decided and scored before.
TEST(Replay, PlansOnThePastAlone) {
  const SmallJob one(hot_trace({3, 7, 3, 9, 11, 2, 5, 5}));
  const SmallJob other(hot_trace({3, 7, 3, 9, 11, 14, 0, 1}));
  for (const char* policy : {"every:1", "trigger:1.05", "gain:1"}) {
    const ReplayResult a = play(one, {policy}, options_of(2));
    const ReplayResult b = play(other, {policy}, options_of(2));
    for (std::size_t t = 0; t < 3; ++t) {
      EXPECT_EQ(a.tracks[2].rows[t].moved, b.tracks[2].rows[t].moved) << policy;
      EXPECT_EQ(a.tracks[2].rows[t].step_time, b.tracks[2].rows[t].step_time) << policy;
    }
    EXPECT_EQ(a.tracks[2].rows[3].moved, b.tracks[2].rows[3].moved) << policy;  // decided before iteration 5
  }
}

// A step is what it is made of, and migration and planning are spread over the steps that an iteration stands
// for.
TEST(Replay, AStepIsTheSumOfItsParts) {
  const SmallJob small(hot_trace({3, 7, 3, 9, 11, 2}));
  ReplayOptions options = options_of(1);
  options.stride = 5;
  const ReplayResult result = play(small, {"every:1"}, options);
  for (const ReplayTrack& track : result.tracks) {
    for (const ReplayRow& row : track.rows) {
      EXPECT_NEAR(row.step_time.s(),
                  (result.rest + row.routed + row.replicas + (row.migration + row.planning) / 5.0).s(),
                  1e-12);
      // One stage: routed = micro-batches x layers x mean layer.
      EXPECT_NEAR(row.routed.s(), row.layer_time.s() * 3 * static_cast<double>(result.micro_batches), 1e-9);
    }
  }
  EXPECT_EQ(result.tracks[2].plannings, 4);
  EXPECT_NEAR(result.tracks[2].planning().ms(), 40, 1e-9);
}

// With a horizon of one step a migration of hundreds of MB is not worth it; with a long one it is.
TEST(Replay, GainWeighsTheSavingAgainstTheMigration) {
  const SmallJob small(hot_trace({3, 3, 3, 11, 11, 11, 11, 11}, 0.45));
  OnlinePolicy policy = quick("gain:1");
  policy.predictor = Predictor::kLast;
  policy.horizon = 1;
  policy.hysteresis = 50;
  EXPECT_EQ(replay_load(small.job(), small.plan, {policy}, options_of(2)).tracks[2].changes(), 0);
  policy.horizon = 100'000;
  policy.hysteresis = 0;
  EXPECT_GT(replay_load(small.job(), small.plan, {policy}, options_of(2)).tracks[2].changes(), 0);
}

TEST(Replay, DoesNotDependOnThreads) {
  const SmallJob small(hot_trace({3, 7, 3, 9, 11, 2}));
  const ReplayResult one = play(small, {"every:2", "gain:1"}, options_of(2, 1));
  const ReplayResult many = play(small, {"every:2", "gain:1"}, options_of(2, 3));
  for (std::size_t i = 0; i < one.tracks.size(); ++i) {
    EXPECT_EQ(one.tracks[i].mean_step(), many.tracks[i].mean_step());
    EXPECT_EQ(one.tracks[i].moved(), many.tracks[i].moved());
  }
}

// Two decoder layers a stage, the first of all is dense; 4 micro-batches of MoE layers of 1 s: 3 + (4 - 1) 2.
TEST(RoutedTime, AddsUpStagesAsARowOfMachines) {
  SmallJob small("uniform", "hgx-h100-4n", 8, 8);
  small.plan.layout.pp = 2;
  const RoutedTime time(small.job(), small.plan, sim::NetworkMode::kBound);
  EXPECT_EQ(time.stages(), (std::vector<int>{0, 1, 1}));
  ASSERT_EQ(time.micro_batches(), 4);
  const std::vector<base::Seconds> layers(3, base::Seconds::of(1));
  EXPECT_DOUBLE_EQ(time.routed(layers).s(), 3 + 3 * 2);
  EXPECT_GT(time.rest(), base::Seconds());
}

TEST(Replay, NamesWhatItCannotPlay) {
  SmallJob small(hot_trace({3, 7, 3}));
  EXPECT_EQ(find_replay_fault(small.job(), small.plan, options_of(3)),
            "warm-up of 3 iterations, expected 1 to 2: the load has 3 iterations");
  ReplayOptions tight = options_of(1);
  tight.slots_per_gpu = 1;
  EXPECT_EQ(find_replay_fault(small.job(), small.plan, tight),
            "16 experts do not fit into 8 slots (8 GPUs x 1)");
  small.plan.chunk_degree = 2;
  EXPECT_EQ(RoutedTime::find_refusal(small.job(), small.plan),
            "chunk_degree 2: overlap of token chunks is not modelled here");
  small.plan.chunk_degree = 1;
  small.plan.layout.etp = 2;
  EXPECT_EQ(RoutedTime::find_refusal(small.job(), small.plan),
            "etp 2: experts cut by tensor parallelism are not modelled here");
  small.plan.layout.etp = 1;
  small.run.gate = sim::GatePolicy::kForceBalanced;
  EXPECT_EQ(RoutedTime::find_refusal(small.job(), small.plan),
            "run small balances its router by force: there is no load to follow");
}

}  // namespace
}  // namespace moeplan::planner
