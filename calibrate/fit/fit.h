#pragma once

#include <array>
#include <string>
#include <vector>

#include "calibrate/samples/sample.h"
#include "sim/cost/profile_data.h"

namespace moeplan::calibrate {

/// What the vendor states of one GPU (configs/devices.yaml).
struct DeviceFacts {
  std::string name, gpu, source;
  int sm_count = 0;
  double clock_mhz = 0.0, power_limit_w = 0.0;
  base::BytesPerSecond hbm_bandwidth, nvlink;
  base::Bytes memory, l2_cache;
  std::array<base::FlopsPerSecond, sim::kNumberFormats> peak{};
};
std::vector<DeviceFacts> load_devices(const std::string& path);

/// Puts a device's data sheet into a profile. Where it is another GPU than the profile's, every table becomes
/// assumed: shares of peak of that GPU at the rates of this one. Formats that the device lacks go, those that
/// it adds are like another format.
void apply_device(sim::ProfileData& profile, const DeviceFacts& device);

struct FitReport {
  std::vector<std::string> fitted;  ///< "gemm bf16: 630 shapes, ..."
  std::vector<std::string> kept;    ///< sections without samples
};

/// Fits every section that has samples of profile.name; the others stay as they are.
FitReport fit_profile(sim::ProfileData& profile, const std::vector<Sample>& samples, int threads);

}  // namespace moeplan::calibrate
