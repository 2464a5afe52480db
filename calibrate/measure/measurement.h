#pragma once

#include <string>
#include <vector>

#include "calibrate/measure/device.h"

namespace moeplan::calibrate {

/// When a case has been measured well enough.
struct StopRule {
  double precision = 0.005;                            ///< half the 95 % interval of the median, over the median
  int least_batches = 7;                               ///< fewer give no 95 % interval
  int most_batches = 100;
  base::Seconds batch = base::Seconds::from_us(1000);  ///< a batch of repetitions lasts about this, or one
  base::Seconds budget = base::Seconds::from_ms(250);  ///< device time of one case, the first batches excepted
  base::Seconds warm_up = base::Seconds::from_ms(3);
};

enum class StopReason { kPrecise, kBudget, kBatches };
std::string name(StopReason reason);

/// An SM clock under this share of the highest, seen right after the batches, is called throttled.
inline constexpr double kThrottleClock = 0.97;
/// A drift over the batches beyond this is called throttled, too.
inline constexpr double kThrottleDrift = 1.03;

/// The time of one case. Times are of one repetition, a batch's time over its repetitions.
struct Measurement {
  base::Seconds median, low, high;  ///< with the 95 % interval of the median
  base::Seconds fastest;
  double deviation = 0.0;  ///< robust, over the median
  std::vector<double> batch_seconds;
  int repetitions = 0, outliers = 0, discarded = 0;
  double drift = 1.0;
  StopReason stop = StopReason::kPrecise;
  DeviceState before, after;
  std::vector<std::string> throttle;  ///< why the time may not be that of full clocks; empty: none seen
};

/// A workload whose outputs are wrong or whose times are senseless.
class BadMeasurement : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Warms up, chooses how many repetitions make a batch, and runs batches until
///
///     (high - low) / 2 <= precision * median   and at least least_batches       -> kPrecise
///     the time of the batches reaches the budget, after least_batches / 2 + 1   -> kBudget
///     most_batches                                                              -> kBatches
///
/// A batch whose time is not above zero is discarded (a clock that jumped back); after 10 the case is bad.
/// Throws BadMeasurement, and what the workload throws.
Measurement measure(Device& device, Workload& workload, const StopRule& rule);

/// One point of a sustained run.
struct TracePoint {
  base::Seconds at, time;  ///< since the start; of one repetition
  DeviceState state;
};

/// A workload back to back for long enough that power and temperature settle.
struct SustainedRun {
  std::vector<TracePoint> trace;
  base::Seconds burst;    ///< median over the first 0.2 s
  base::Seconds settled;  ///< median over the last half
  /// Share of the burst rate that is left: burst / settled.
  double factor() const { return burst / settled; }
};

/// Runs batches of about 50 ms for `length`, by the clock; stops early where `length` of device time has passed
/// (a clock that stands still must not make it run for ever).
SustainedRun measure_sustained(Device& device, Workload& workload, base::Seconds length, Clock& clock);

}  // namespace moeplan::calibrate
