#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/units.h"
#include "calibrate/measure/case.h"

namespace moeplan::calibrate {

/// The time of day of a measurement, apart from the device's own. Tests inject one that jumps.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual base::Seconds now() = 0;
  /// "2026-11-25T21:47:20Z"
  virtual std::string date() = 0;
};

/// steady_clock, and the date in UTC.
class SystemClock : public Clock {
 public:
  base::Seconds now() override;
  std::string date() override;
};

/// Time that has passed by a clock that may jump. A step back counts as none, and is counted.
class Stopwatch {
 public:
  explicit Stopwatch(Clock& clock) : clock_(clock), last_(clock.now()) {}
  base::Seconds elapsed();
  int backward_jumps() const { return backward_jumps_; }

 private:
  Clock& clock_;
  base::Seconds last_, elapsed_;
  int backward_jumps_ = 0;
};

/// What the GPU says of its state; a value that it does not tell is absent.
struct DeviceState {
  std::optional<double> sm_mhz, max_sm_mhz, memory_mhz, power_w, temperature_c;
  std::vector<std::string> throttle;  ///< reasons that lower clocks: "power_cap", "thermal" ...
};

/// One case made ready on the device. run() may be called any number of times.
class Workload {
 public:
  virtual ~Workload() = default;
  /// Runs the case `repetitions` times back to back; the time of all together.
  virtual base::Seconds run(int repetitions) = 0;
  /// After run(): empty, or what is wrong with the outputs (poison left in them, NaN).
  virtual std::string fault() { return ""; }
  /// Repetitions below which not every buffer set is used.
  virtual int least_repetitions() const { return 1; }
  /// A case that waits for the device each time (host overheads) has a limit of its own.
  virtual int most_repetitions() const { return 1 << 12; }
  /// Of one repetition: FLOP, and bytes read plus written; 0 where the notion makes no sense.
  virtual double flops() const { return 0.0; }
  virtual double bytes() const { return 0.0; }
  /// What runs: library, version, algorithm choice.
  virtual std::string software() const = 0;
  /// More facts of the case as JSON members, `"a": 1, "b": "x"`, or empty.
  virtual std::string notes_json() const { return ""; }
};

/// The device cannot do this case at all: a format it lacks, too little memory. Noted, not repeated.
class Unsupported : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A repetition would take longer than the run allows: the case is left for want of time, and not noted.
class NoTime : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The device failed in a way that may spoil all that follows (a sticky CUDA error): the run ends, results
/// stay.
class DeviceLost : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What is measured on. Tests inject a fake one.
class Device {
 public:
  virtual ~Device() = default;
  /// Names and values that do not change during a run: {"gpu_name", "NVIDIA H200"} ...
  virtual std::vector<std::pair<std::string, std::string>> facts() = 0;
  virtual DeviceState state() = 0;
  /// Throws Unsupported, DeviceLost.
  virtual std::unique_ptr<Workload> prepare(const Case& what) = 0;
};

}  // namespace moeplan::calibrate
