#include "sim/cost/host_copy.h"

#include <array>

#include <fmt/format.h>

#include "sim/cost/profile_fields.h"

namespace moeplan::sim {

namespace {

using base::BytesPerSecond;

// 90 % bands of measured / predicted time. Measured: three published machines with PCIe 5.0 copy
// at 55.3, 55.4 and 56.5 GB/s to the device and at 55.1 to 57.4 back. Assumed: as the tables of a profile
// that nothing was measured for.
constexpr double kMeasuredLow = 0.96, kMeasuredHigh = 1.04;
constexpr double kAssumedLow = 0.75, kAssumedHigh = 1.35;

struct Published {
  std::string_view profile;
  double to_host_gb_per_s, to_device_gb_per_s;
  int shared_by;
  Evidence evidence;
  std::string_view source;
};

constexpr std::string_view kPcie5 =
    "nvbandwidth 0.2, copy engine, on 8 H800 with PCIe 5.0 x16 (liguodongiot/llm-action): 55.1 to the host, "
    "55.3 to "
    "the device, each GPU alone";
constexpr std::string_view kPcie4 =
    "nvbandwidth 0.8 on A100 SXM4 with PCIe 4.0 x16 (NVIDIA/nvbandwidth issues 42 and 53): 25 either way, "
    "each GPU "
    "alone";
constexpr std::string_view kC2c =
    "nvbandwidth, copy engine, on the one GB300 GPU of a DGX Station (stas00/ml-engineering, "
    "network/README.md), whose "
    "limit is the Grace CPU's LPDDR5X; assumed: two GPUs of one Grace CPU share that rate";

constexpr std::array kPublished = {Published{"a100-sxm", 25.0, 25.0, 1, Evidence::kInterpolated, kPcie4},
                                   Published{"h800-sxm", 55.1, 55.3, 1, Evidence::kMeasured, kPcie5},
                                   Published{"h100-sxm", 55.1, 55.3, 1, Evidence::kInterpolated, kPcie5},
                                   Published{"h200-sxm", 55.1, 55.3, 1, Evidence::kInterpolated, kPcie5},
                                   Published{"b200-sxm", 55.1, 55.3, 1, Evidence::kAssumed, kPcie5},
                                   Published{"b300-sxm", 55.1, 55.3, 1, Evidence::kAssumed, kPcie5},
                                   Published{"gb200", 377.2, 359.1, 2, Evidence::kAssumed, kC2c},
                                   Published{"gb300", 377.2, 359.1, 2, Evidence::kAssumed, kC2c}};

BytesPerSecond read_rate(base::ObjectReader& at, std::string_view key) {
  const auto rate = at.required<BytesPerSecond>(key);
  if (at.has(key) && rate.bytes_per_s() <= 0.0) at.fault(key, "found zero or less, expected more than zero");
  return rate;
}

}  // namespace

std::optional<HostCopy> published_host_copy(std::string_view profile) {
  const std::string_view gpu = profile.substr(0, profile.find('.'));  // "h200-sxm.measured"
  for (const Published& known : kPublished) {
    if (known.profile != gpu) continue;
    HostCopy copy;
    copy.to_host = BytesPerSecond::from_gb_per_s(known.to_host_gb_per_s);
    copy.to_device = BytesPerSecond::from_gb_per_s(known.to_device_gb_per_s);
    copy.shared_by = known.shared_by;
    copy.evidence = known.evidence;
    const bool assumed = known.evidence == Evidence::kAssumed;
    copy.low = assumed ? kAssumedLow : kMeasuredLow;
    copy.high = assumed ? kAssumedHigh : kMeasuredHigh;
    copy.source = known.source;
    return copy;
  }
  return std::nullopt;
}

std::optional<HostCopy> read_host_copy(base::ObjectReader& profile, std::string_view name) {
  std::optional<base::ObjectReader> at = profile.optional_object("host_copy");
  if (!at) return published_host_copy(name);
  HostCopy copy;
  copy.evidence = read_evidence(*at);
  copy.source = at->required<std::string>("source");
  copy.to_host = read_rate(*at, "to_host");
  copy.to_device = read_rate(*at, "to_device");
  copy.shared_by = at->value_or("shared_by", 1);
  if (copy.shared_by < 1) {
    at->fault("shared_by", fmt::format("found {}, expected 1 or more GPUs", copy.shared_by));
    copy.shared_by = 1;
  }
  copy.low = at->value_or("low", 1.0);
  copy.high = at->value_or("high", 1.0);
  if (!(copy.low > 0.0 && copy.low <= copy.high))
    at->fault("low",
              fmt::format("found a band from {} to {}, expected 0 < low <= high", copy.low, copy.high));
  at->finish();
  return copy;
}

}  // namespace moeplan::sim
