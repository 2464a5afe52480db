#include "calibrate/measure/cuda/nvml.h"

#include <dlfcn.h>

#include <cstring>
#include <optional>

namespace moeplan::calibrate {

namespace {

// From NVIDIA's NVML reference manual: these constants are part of its stable interface.
constexpr unsigned kClockSm = 1, kClockMemory = 2, kTemperatureGpu = 0, kFieldPowerInstant = 186;
constexpr std::pair<unsigned long long, const char*> kReasons[] = {
    {0x4, "power_cap"},     {0x8, "hardware_slowdown"},   {0x20, "software_thermal"},
    {0x40, "hardware_thermal"}, {0x80, "power_brake"}};

/// nvmlFieldValue_t.
struct FieldValue {
  unsigned field = 0, scope = 0;
  long long timestamp = 0, latency_us = 0;
  int value_type = 0, status = 0;
  union {
    double d;
    unsigned ui;
    unsigned long ul;
    unsigned long long ull;
  } value = {};
};

using Plain = int (*)();
using FindDevice = int (*)(const char*, void**);
using ReadNumber = int (*)(void*, unsigned*);
using ReadNumberOf = int (*)(void*, unsigned, unsigned*);
using ReadMask = int (*)(void*, unsigned long long*);
using ReadText = int (*)(char*, unsigned);
using ReadFields = int (*)(void*, int, FieldValue*);

}  // namespace

template <class Function>
Function Nvml::find(const char* symbol) const {
  return library_ == nullptr ? nullptr : reinterpret_cast<Function>(dlsym(library_, symbol));
}

Nvml::Nvml(const std::string& pci_bus_id) : library_(dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL)) {
  const auto start = find<Plain>("nvmlInit_v2");
  const auto by_bus = find<FindDevice>("nvmlDeviceGetHandleByPciBusId_v2");
  if (start == nullptr || by_bus == nullptr || start() != 0) return;
  if (by_bus(pci_bus_id.c_str(), &device_) != 0) device_ = nullptr;
}

Nvml::~Nvml() {
  if (const auto stop = find<Plain>("nvmlShutdown")) stop();
  if (library_ != nullptr) dlclose(library_);
}

DeviceState Nvml::state() const {
  DeviceState state;
  if (device_ == nullptr) return state;
  const auto number_of = [&](const char* symbol, unsigned what) -> std::optional<double> {
    const auto read = find<ReadNumberOf>(symbol);
    unsigned value = 0;
    if (read == nullptr || read(device_, what, &value) != 0) return std::nullopt;
    return value;
  };
  state.sm_mhz = number_of("nvmlDeviceGetClockInfo", kClockSm);
  state.memory_mhz = number_of("nvmlDeviceGetClockInfo", kClockMemory);
  state.max_sm_mhz = number_of("nvmlDeviceGetMaxClockInfo", kClockSm);
  state.temperature_c = number_of("nvmlDeviceGetTemperature", kTemperatureGpu);
  FieldValue power;
  power.field = kFieldPowerInstant;
  const auto fields = find<ReadFields>("nvmlDeviceGetFieldValues");
  unsigned milliwatt = 0;
  if (fields != nullptr && fields(device_, 1, &power) == 0 && power.status == 0)
    state.power_w = power.value.ui * 1e-3;
  else if (const auto read = find<ReadNumber>("nvmlDeviceGetPowerUsage"); read != nullptr && read(device_, &milliwatt) == 0)
    state.power_w = milliwatt * 1e-3;
  const auto reasons = find<ReadMask>("nvmlDeviceGetCurrentClocksThrottleReasons");
  unsigned long long mask = 0;
  if (reasons != nullptr && reasons(device_, &mask) == 0)
    for (const auto& [bit, name] : kReasons)
      if ((mask & bit) != 0) state.throttle.emplace_back(name);
  return state;
}

std::vector<std::pair<std::string, std::string>> Nvml::facts() const {
  std::vector<std::pair<std::string, std::string>> facts;
  char text[96] = "";
  if (const auto read = find<ReadText>("nvmlSystemGetDriverVersion"); read != nullptr && read(text, sizeof text) == 0)
    facts.emplace_back("driver", text);
  const auto limit = find<ReadNumber>("nvmlDeviceGetEnforcedPowerLimit");
  unsigned milliwatt = 0;
  if (device_ != nullptr && limit != nullptr && limit(device_, &milliwatt) == 0)
    facts.emplace_back("power_limit_w", std::to_string(milliwatt / 1000));
  return facts;
}

}  // namespace moeplan::calibrate
