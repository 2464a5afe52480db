#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "calibrate/measure/device.h"

namespace moeplan::calibrate::test {

/// A clock that stands still but for what tests and the fake device add to it.
class FakeClock : public Clock {
 public:
  base::Seconds now() override { return time; }
  std::string date() override { return "2026-01-02T03:04:05Z"; }
  base::Seconds time = base::Seconds::of(1000.0);
};

/// A device whose every case takes what `batch` says, from (number of the run, repetitions) to seconds.
class FakeDevice : public Device {
 public:
  explicit FakeDevice(FakeClock& clock) : clock_(clock) {}

  std::vector<std::pair<std::string, std::string>> facts() override {
    return {{"gpu_name", "a \"fake\" GPU"}};
  }
  DeviceState state() override {
    return states.empty() ? DeviceState{} : states[std::min(state_++, states.size() - 1)];
  }
  std::unique_ptr<Workload> prepare(const Case& what) override {
    prepared.push_back(what.key());
    if (on_prepare) on_prepare(what);
    return std::make_unique<FakeWorkload>(*this);
  }

  std::function<double(int run, int repetitions)> batch = [](int, int repetitions) {
    return 1e-4 * repetitions;
  };
  std::function<void(const Case&)> on_prepare;
  std::string fault;
  std::vector<DeviceState> states;
  std::vector<std::string> prepared;
  int runs = 0, least = 1;

 private:
  class FakeWorkload : public Workload {
   public:
    explicit FakeWorkload(FakeDevice& device) : device_(device) {}
    base::Seconds run(int repetitions) override {
      const double seconds = device_.batch(device_.runs++, repetitions);
      device_.clock_.time += base::Seconds::of(seconds > 0.0 ? seconds : 0.0);
      return base::Seconds::of(seconds);
    }
    std::string fault() override { return device_.fault; }
    int least_repetitions() const override { return device_.least; }
    double flops() const override { return 2e9; }
    std::string software() const override { return "fake"; }

   private:
    FakeDevice& device_;
  };

  FakeClock& clock_;
  std::size_t state_ = 0;
};

}  // namespace moeplan::calibrate::test
