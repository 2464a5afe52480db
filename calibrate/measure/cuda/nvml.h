#pragma once

#include <string>
#include <utility>
#include <vector>

#include "calibrate/measure/device.h"

namespace moeplan::calibrate {

/// Clocks, power and temperature by NVIDIA's management library, opened at run time: where it is missing every
/// value is absent and nothing else changes. Power is the momentary one (field 186) where the GPU has it; the
/// plain query is a mean over a second on some.
class Nvml {
 public:
  explicit Nvml(const std::string& pci_bus_id);
  ~Nvml();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  DeviceState state() const;
  /// driver, power limit.
  std::vector<std::pair<std::string, std::string>> facts() const;

 private:
  template <class Function>
  Function find(const char* symbol) const;

  void* library_ = nullptr;
  void* device_ = nullptr;
};

}  // namespace moeplan::calibrate
