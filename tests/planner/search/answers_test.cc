#include "planner/search/answers.h"

#include <cmath>

#include <gtest/gtest.h>

#include "planner/search/training_time.h"
#include "sim/cost/anchor.h"

namespace moeplan::planner {
namespace {

using base::Seconds;

FrontPlan plan(double seconds, int gib, int gpus) {
  FrontPlan one;
  one.gpus = gpus;
  one.step_time = Seconds::of(seconds);
  one.reserved = base::Bytes::from_gib(gib);
  return one;
}

TEST(ParetoFront, KeepsWhatNobodyBeatsInAll) {
  // 3 s / 50 GiB is beaten by 2 s / 50 GiB; 5 s needs fewer GPUs; the second 1 s is the first again.
  const auto front = pareto_front(
      {plan(1, 70, 64), plan(1, 70, 64), plan(2, 50, 64), plan(3, 50, 64), plan(5, 60, 32), plan(6, 60, 64)});
  ASSERT_EQ(front.size(), 3U);
  EXPECT_DOUBLE_EQ(front[0].step_time.s(), 5);
  EXPECT_DOUBLE_EQ(front[1].step_time.s(), 2);
  EXPECT_DOUBLE_EQ(front[2].step_time.s(), 1);
}

// Two plans whose logarithms lie d apart: P(first is faster) = Phi(d / (sigma sqrt 2)).
TEST(ChanceOfBest, IsTheNormalDistributionOfTwoPlans) {
  const double d = std::log(1.1);
  const std::vector<double> chance = chance_of_best({Seconds::of(10), Seconds::of(11)});
  const double expected = 0.5 * std::erfc(-d / (sim::kPlanDeviation * std::sqrt(2.0)) / std::sqrt(2.0));
  EXPECT_NEAR(chance[0], expected, 1e-6);
  EXPECT_NEAR(chance[0] + chance[1], 1, 1e-12);
}

TEST(ChanceOfBest, EqualPlansShareItAndOnePlanHasItAll) {
  for (const double c : chance_of_best({Seconds::of(3), Seconds::of(3), Seconds::of(3), Seconds::of(3)}))
    EXPECT_NEAR(c, 0.25, 1e-9);
  EXPECT_DOUBLE_EQ(chance_of_best({Seconds::of(3)})[0], 1);
}

// A failure in so long a time that none happens: c / interval is lost to checkpoints, and half a percent each
// of (interval + c) / M.
TEST(TrainingTime, AgreesWithTheFirstOrderWhereFailuresAreRare) {
  Reliability r;
  r.gpu_mtbf = Seconds::of(1e9);
  r.checkpoint = Seconds::of(10);
  r.restart = Seconds::of(100);
  const TrainingTime t = training_time(1e9, 1e6, Seconds::of(10), 1000, r);
  const double mean = 1e6, interval = std::sqrt(2 * 10 * mean);
  EXPECT_DOUBLE_EQ(t.steps, 1000);
  EXPECT_DOUBLE_EQ(t.without_failures.s(), 10'000);
  EXPECT_DOUBLE_EQ(t.interval.s(), interval);
  const double loss = 10 / interval + 0.5 * interval / mean;
  EXPECT_NEAR(t.total / t.without_failures, 1 + loss, 5e-4);
  EXPECT_NEAR(t.failures, t.total.s() / mean, 1e-12);
  EXPECT_NEAR(t.gpu_hours, t.total.s() / 3.6, 1e-9);
}

// A simulation of Poisson failures that shares no code with the formula.
TEST(TrainingTime, AgreesWithARunThatIsPlayedThrough) {
  Reliability r;
  r.gpu_mtbf = Seconds::of(4'000'000);
  r.checkpoint = Seconds::of(60);
  r.restart = Seconds::of(300);
  const int gpus = 1000;  // a failure every 4000 s
  const TrainingTime t = training_time(1e12, 4e6, Seconds::of(4), gpus, r);
  std::uint64_t state = 7;
  const auto next_failure = [&] {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return -4000.0 * std::log((static_cast<double>(state >> 11) + 0.5) / 9007199254740992.0);
  };
  double clock = 0, done = 0, failure = next_failure();
  while (done < t.without_failures.s()) {
    const double segment = t.interval.s() + r.checkpoint.s();
    if (failure > segment) {
      failure -= segment;
      clock += segment;
      done += t.interval.s();
      continue;
    }
    clock += failure;
    for (failure = next_failure(); failure < r.restart.s(); failure = next_failure()) clock += failure;
    failure -= r.restart.s();
    clock += r.restart.s();
  }
  EXPECT_NEAR(clock / t.total.s(), 1, 0.02);
}

}  // namespace
}  // namespace moeplan::planner
