#include "calibrate/measure/measurement.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "calibrate/measure/statistics.h"
#include "tests/calibrate/measure/fake_device.h"

namespace moeplan::calibrate {
namespace {

class Measuring : public testing::Test {
 protected:
  Measurement measure_now(const StopRule& rule = {}) {
    const std::unique_ptr<Workload> workload = device_.prepare(Case::parse("launch op=sync"));
    return measure(device_, *workload, rule);
  }
  test::FakeClock clock_;
  test::FakeDevice device_{clock_};
};

TEST(Statistics, MedianAndItsIntervalFollowTheOrderStatistics) {
  EXPECT_EQ(median({3.0, 1.0, 2.0}), 2.0);
  EXPECT_EQ(median({4.0, 1.0, 2.0, 3.0}), 2.5);
  // n = 25: 12.5 - 0.98 * 5 = 7.6, so the 7th from below and from above, 7 and 19.
  std::vector<double> values;
  for (int i = 25; i >= 1; --i) values.push_back(i);
  EXPECT_EQ(median_interval(values).low, 7.0);
  EXPECT_EQ(median_interval(values).high, 19.0);
  EXPECT_EQ(median_interval({2.0, 1.0, 3.0}).low, 1.0);  // too few for 95 %: the extremes
}

TEST(Statistics, OneSlowBatchIsAnOutlierAndLeavesTheMedianAlone) {
  const std::vector<double> values{1.00, 1.001, 0.999, 1.0, 1.002, 5.0, 0.998};
  EXPECT_EQ(count_outliers(values), 1);
  EXPECT_DOUBLE_EQ(median(values), 1.0);
  EXPECT_EQ(count_outliers(std::vector<double>{1.0, 1.0, 1.0, 1.005}), 0);  // under 1 %: noise
  EXPECT_DOUBLE_EQ(drift(std::vector<double>{1.0, 1.0, 1.2, 1.2, 1.5, 1.5}), 1.5);
}

TEST_F(Measuring, ASteadyDeviceNeedsTheLeastNumberOfBatchesOfTheWantedLength) {
  const Measurement m = measure_now();
  EXPECT_EQ(m.repetitions, 10);  // 1 ms of 0.1 ms each
  EXPECT_EQ(m.batch_seconds.size(), 7u);
  EXPECT_EQ(m.stop, StopReason::kPrecise);
  EXPECT_NEAR(m.median.s(), 1e-4, 1e-12);
}

TEST_F(Measuring, ANoisyDeviceIsMeasuredUntilTheIntervalIsNarrow) {
  // Every other batch is 2 % slower or faster: the interval of few batches spans both.
  device_.batch = [](int run, int n) { return 1e-4 * n * (run % 2 == 0 ? 0.99 : 1.01); };
  const Measurement m = measure_now();
  EXPECT_EQ(m.stop, StopReason::kBatches);  // an even split never narrows
  EXPECT_EQ(m.batch_seconds.size(), 100u);
  device_.batch = [](int run, int n) { return 1e-4 * n * (run % 5 == 0 ? 1.05 : 1.0); };
  const Measurement some = measure_now();
  EXPECT_EQ(some.stop, StopReason::kPrecise);
  EXPECT_GT(some.batch_seconds.size(), 7u);
  EXPECT_NEAR(some.median.s(), 1e-4, 1e-12);
  EXPECT_LE(0.5 * (some.high - some.low).s(), 0.005 * some.median.s());
}

TEST_F(Measuring, TheBudgetOfACaseEndsIt) {
  device_.batch = [](int run, int n) { return 0.1 * n * (run % 2 == 0 ? 0.9 : 1.1); };
  const Measurement m = measure_now();
  EXPECT_EQ(m.stop, StopReason::kBudget);
  EXPECT_EQ(m.batch_seconds.size(), 4u);  // 0.4 s are past 0.25 s, but more than half of seven are wanted
}

TEST_F(Measuring, EveryBufferSetIsUsedInEachBatch) {
  device_.least = 40;
  EXPECT_EQ(measure_now().repetitions, 40);
}

TEST_F(Measuring, TheFirstSlowRunDoesNotSetTheNumberOfRepetitions) {
  device_.batch = [](int run, int n) { return run == 0 ? 3.0 : 1e-5 * n; };
  EXPECT_EQ(measure_now().repetitions, 100);
}

TEST_F(Measuring, ABatchWithoutTimeIsDiscardedAndTooManyFailTheCase) {
  device_.batch = [](int run, int n) { return run == 9 ? -0.5 : 1e-4 * n; };
  const Measurement m = measure_now();
  EXPECT_EQ(m.discarded, 1);
  EXPECT_NEAR(m.median.s(), 1e-4, 1e-12);
  device_.batch = [](int, int) { return std::nan(""); };
  EXPECT_THROW(measure_now(), BadMeasurement);
}

TEST_F(Measuring, PoisonInTheResultsFailsTheCase) {
  device_.fault = "7 of 9 words of the result were not written";
  try {
    measure_now();
    FAIL() << "nothing was thrown";
  } catch (const BadMeasurement& error) {
    EXPECT_EQ(std::string(error.what()), device_.fault);
  }
}

TEST_F(Measuring, LowClocksAndReasonsAreReportedWithNumbers) {
  DeviceState full, low;
  full.sm_mhz = full.max_sm_mhz = low.max_sm_mhz = 1980.0;
  low.sm_mhz = 1500.0;
  low.throttle = {"power_cap"};
  device_.states = {full, full};
  EXPECT_TRUE(measure_now().throttle.empty());
  device_.states = {full, low};
  const std::vector<std::string> reasons = measure_now().throttle;
  ASSERT_EQ(reasons.size(), 2u);
  EXPECT_EQ(reasons[0], "sm_clock 1500 of 1980 MHz");
  EXPECT_EQ(reasons[1], "power_cap");
}

TEST_F(Measuring, ADeviceThatSlowsDownWhileItIsMeasuredIsFoundOut) {
  StopRule rule;
  rule.least_batches = rule.most_batches = 30;
  device_.batch = [](int run, int n) { return 1e-4 * n * (1.0 + 0.01 * run); };
  const Measurement m = measure_now(rule);
  EXPECT_GT(m.drift, 1.1);
  ASSERT_EQ(m.throttle.size(), 1u);
  EXPECT_NE(m.throttle.front().find("over 30 batches"), std::string::npos);
}

TEST_F(Measuring, ASustainedRunTellsTheSettledRateFromTheFirst) {
  // 1 ms each for 2 s, then 1.25 ms: 80 % of the rate is left.
  device_.batch = [&](int, int n) { return n * (clock_.time.s() < 1002.0 ? 1e-3 : 1.25e-3); };
  const std::unique_ptr<Workload> workload = device_.prepare(Case::parse("launch op=sync"));
  const SustainedRun run = measure_sustained(device_, *workload, base::Seconds::of(10.0), clock_);
  EXPECT_NEAR(run.factor(), 0.8, 1e-9);
  EXPECT_NEAR(run.trace.back().at.s(), 10.0, 0.1);
}

TEST_F(Measuring, ASustainedRunEndsEvenUnderAClockThatJumpsBack) {
  class Backwards : public Clock {
   public:
    base::Seconds now() override { return time = time - base::Seconds::of(1.0); }
    std::string date() override { return ""; }
    base::Seconds time;
  } clock;
  const std::unique_ptr<Workload> workload = device_.prepare(Case::parse("launch op=sync"));
  const SustainedRun run = measure_sustained(device_, *workload, base::Seconds::of(1.0), clock);
  EXPECT_NEAR(run.trace.back().at.s(), 1.0, 0.06);
}

}  // namespace
}  // namespace moeplan::calibrate
