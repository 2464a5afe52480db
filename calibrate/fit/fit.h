#pragma once

#include <array>
#include <cstddef>
#include <optional>
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
  /// In-switch reduction as NCCL counts with it; zero where the switch cannot reduce.
  double nvls_efficiency = 0.0;
  int nvls_channels = 0;
  base::BytesPerSecond nvls_tree_near_rate, nvls_tree_far_rate;  ///< of an NVLSTree channel; zero: no limit
  std::vector<std::string> nearest;  ///< GPUs whose links stand in for this one's, nearest first
};
std::vector<DeviceFacts> load_devices(const std::string& path);
/// `nearest` of the device of that name; empty where `devices` does not know it.
std::vector<std::string> nearest_gpus(const std::string& gpu, const std::vector<DeviceFacts>& devices);

/// Puts a device's data sheet into a profile. Where it is another GPU than the profile's, every table becomes
/// assumed: shares of peak of that GPU at the rates of this one. Formats that the device lacks go, those that
/// it adds are like another format.
void apply_device(sim::ProfileData& profile, const DeviceFacts& device);

/// One table or set of constants that was fitted, and how well it describes samples that it was fitted on and
/// others. Errors are medians of |predicted / measured - 1|.
struct FittedPart {
  std::string section;  ///< "gemm", "links", "expert_parallel"
  std::string what;     ///< "bf16", "nvlink", "deepep dispatch"
  std::size_t fitted = 0, predicted = 0;
  double fitted_error = 0.0, predicted_error = 0.0;
  std::optional<double> p95_error;  ///< 95th percentile of the predicted
  sim::Evidence evidence = sim::Evidence::kMeasured;
  std::string source;
};

struct FitReport {
  std::vector<FittedPart> parts;
  std::vector<std::string> fitted;   ///< of sections that say it in words
  std::vector<std::string> kept;     ///< sections without samples
  std::vector<std::string> remarks;  ///< samples that no fit could use, and why
};
/// "gemm bf16: 630 samples fitted (median error 2.1 %), 157 others predicted (median 4.0 %)"
std::string describe(const FittedPart& part);

struct FitOptions {
  int threads = 0;
  bool all_rows = false;  ///< GEMM tables: after the rows left out have judged the fit, all are fitted on
  std::vector<DeviceFacts> devices;  ///< line rates of the GPUs that samples are of
  std::string cluster;  ///< whose logs the NIC's constants come from; empty: the one with most of them
};

/// Fits every section that has samples of profile.name; the others stay as they are. Links and
/// expert-parallel constants that this GPU has no samples of are those of the nearest that has, and assumed.
FitReport fit_profile(sim::ProfileData& profile, const std::vector<Sample>& samples,
                      const FitOptions& options);

}  // namespace moeplan::calibrate
