#include "calibrate/measure/measurement.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "calibrate/measure/statistics.h"

namespace moeplan::calibrate {

namespace {

constexpr int kMostDiscarded = 10;
constexpr base::Seconds kSustainedBatch = base::Seconds::from_ms(50);
constexpr base::Seconds kBurstWindow = base::Seconds::from_ms(200);

std::string text(const char* format, double a, double b) {
  char buffer[96];
  std::snprintf(buffer, sizeof buffer, format, a, b);
  return buffer;
}

/// The time of one repetition in batches that are senseless now and then.
class Batches {
 public:
  explicit Batches(Workload& workload) : workload_(workload) {}

  /// Time of all `repetitions`; tries again where it is not above zero.
  base::Seconds run(int repetitions) {
    while (true) {
      const base::Seconds time = workload_.run(repetitions);
      if (time.s() > 0.0 && std::isfinite(time.s())) return time;
      if (++discarded_ >= kMostDiscarded)
        throw BadMeasurement(text("%.0f batches without a time above zero, the last of %g s", discarded_, time.s()));
    }
  }
  int discarded() const { return discarded_; }

 private:
  Workload& workload_;
  int discarded_ = 0;
};

/// So many that a batch lasts `target`: the estimate is taken from growing batches, for the first ones hold
/// what happens only once.
int choose_repetitions(Batches& batches, const Workload& workload, base::Seconds target) {
  const int least = std::max(1, workload.least_repetitions());
  const int most = std::max(least, workload.most_repetitions());
  batches.run(1);
  int repetitions = least;
  base::Seconds time = batches.run(repetitions);
  while (time < target && repetitions < most) {
    const double wanted = std::ceil(target / time * static_cast<double>(repetitions));
    const int next = static_cast<int>(std::min({wanted, 16.0 * repetitions, static_cast<double>(most)}));
    if (next <= repetitions + repetitions / 4) return next;
    repetitions = next;
    time = batches.run(repetitions);
  }
  return repetitions;
}

bool is_precise(const std::vector<double>& times, double precision) {
  const Interval interval = median_interval(times);
  return 0.5 * (interval.high - interval.low) <= precision * median(times);
}

std::vector<std::string> find_throttling(const Measurement& m) {
  std::vector<std::string> reasons;
  if (m.after.sm_mhz && m.after.max_sm_mhz && *m.after.sm_mhz < kThrottleClock * *m.after.max_sm_mhz)
    reasons.push_back(text("sm_clock %.0f of %.0f MHz", *m.after.sm_mhz, *m.after.max_sm_mhz));
  for (const std::string& reason : m.after.throttle) reasons.push_back(reason);
  if (m.drift > kThrottleDrift) reasons.push_back(text("slowed by %.1f %% over %.0f batches", 100.0 * (m.drift - 1.0),
                                                       static_cast<double>(m.batch_seconds.size())));
  return reasons;
}

}  // namespace

std::string name(StopReason reason) {
  switch (reason) {
    case StopReason::kPrecise: return "precise";
    case StopReason::kBudget: return "budget";
    case StopReason::kBatches: break;
  }
  return "batches";
}

Measurement measure(Device& device, Workload& workload, const StopRule& rule) {
  Measurement result;
  Batches batches(workload);
  result.repetitions = choose_repetitions(batches, workload, rule.batch);
  for (base::Seconds warm; warm < rule.warm_up;) warm += batches.run(result.repetitions);

  result.before = device.state();
  std::vector<double>& times = result.batch_seconds;
  base::Seconds spent;
  while (true) {
    const base::Seconds time = batches.run(result.repetitions);
    spent += time;
    times.push_back(time.s() / static_cast<double>(result.repetitions));
    const int count = static_cast<int>(times.size());
    if (count >= rule.least_batches && is_precise(times, rule.precision)) {
      result.stop = StopReason::kPrecise;
      break;
    }
    if (spent >= rule.budget && count > rule.least_batches / 2) {
      result.stop = StopReason::kBudget;
      break;
    }
    if (count >= rule.most_batches) {
      result.stop = StopReason::kBatches;
      break;
    }
  }
  result.after = device.state();
  if (const std::string fault = workload.fault(); !fault.empty()) throw BadMeasurement(fault);

  const Interval interval = median_interval(times);
  result.median = base::Seconds::of(median(times));
  result.low = base::Seconds::of(interval.low);
  result.high = base::Seconds::of(interval.high);
  result.fastest = base::Seconds::of(*std::min_element(times.begin(), times.end()));
  result.deviation = robust_deviation(times) / result.median.s();
  result.outliers = count_outliers(times);
  result.drift = drift(times);
  result.discarded = batches.discarded();
  result.throttle = find_throttling(result);
  return result;
}

SustainedRun measure_sustained(Device& device, Workload& workload, base::Seconds length, Clock& clock) {
  Batches batches(workload);
  const base::Seconds first = batches.run(1);
  const base::Seconds once = base::min(first, batches.run(1));
  const int repetitions = std::max(1, static_cast<int>(std::round(kSustainedBatch / once)));

  SustainedRun result;
  Stopwatch stopwatch(clock);
  std::vector<double> burst, settled;
  base::Seconds busy;
  for (base::Seconds at; base::max(at, busy) < length; at = stopwatch.elapsed()) {
    const base::Seconds time = batches.run(repetitions);
    const base::Seconds one = time / static_cast<double>(repetitions);
    if (busy < kBurstWindow) burst.push_back(one.s());
    busy += time;
    result.trace.push_back({busy, one, device.state()});
  }
  if (const std::string fault = workload.fault(); !fault.empty()) throw BadMeasurement(fault);
  for (const TracePoint& point : result.trace)
    if (point.at >= 0.5 * busy) settled.push_back(point.time.s());
  result.burst = base::Seconds::of(median(std::move(burst)));
  result.settled = base::Seconds::of(median(std::move(settled)));
  return result;
}

}  // namespace moeplan::calibrate
