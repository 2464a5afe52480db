#include "topology/gpu_models.h"

#include <array>

namespace moeplan::topology {

namespace {

constexpr base::BytesPerSecond gb(double rate) { return base::BytesPerSecond::from_gb_per_s(rate); }

/// Longer prefixes before the shorter ones that they begin with.
constexpr std::array<GpuFamily, 14> kFamilies{{
    {"V100-SXM", "v100-sxm", 6, gb(25)},
    {"A100-SXM", "a100-sxm", 12, gb(25)},
    {"A100-PCIe", "", 12, gb(25)},
    {"A800-SXM", "", 8, gb(25)},
    {"H100-SXM", "h100-sxm", 18, gb(25)},
    {"H800-SXM", "h800-sxm", 8, gb(25)},
    {"H200-SXM", "h200-sxm", 18, gb(25)},
    {"H20-SXM", "", 18, gb(25)},
    {"B200-SXM", "b200-sxm", 18, gb(50)},
    {"B300-SXM", "b300-sxm", 18, gb(50)},
    {"GB200", "gb200", 18, gb(50)},
    {"GB300", "gb300", 18, gb(50)},
    {"L40S", "l40s", 0, gb(0)},
    {"A10G", "", 0, gb(0)},
}};

struct PciDevice {
  unsigned id;
  const char* label;
};

constexpr std::array<PciDevice, 13> kDevices{{
    {0x1db1, "V100-SXM2-16GB"},
    {0x1db5, "V100-SXM2-32GB"},
    {0x20b0, "A100-SXM4-40GB"},
    {0x20b2, "A100-SXM4-80GB"},
    {0x20b5, "A100-PCIe-80GB"},
    {0x20f1, "A100-PCIe-40GB"},
    {0x2237, "A10G"},
    {0x2324, "H800-SXM"},
    {0x2329, "H20-SXM"},
    {0x2330, "H100-SXM"},
    {0x2335, "H200-SXM"},
    {0x26b9, "L40S"},
    {0x2901, "B200-SXM"},
}};

}  // namespace

std::optional<GpuFamily> find_gpu_family(std::string_view label) {
  for (const GpuFamily& family : kFamilies) {
    if (label.substr(0, family.prefix.size()) == family.prefix) return family;
  }
  return std::nullopt;
}

std::string find_gpu_label(unsigned pci_device) {
  for (const PciDevice& device : kDevices) {
    if (device.id == pci_device) return device.label;
  }
  return {};
}

std::optional<base::BytesPerSecond> nvlink_of_capability(int capability) {
  switch (capability) {
    case 70:
    case 80:
    case 90:
      return gb(25);
    case 100:
    case 103:
      return gb(50);
    default:
      return std::nullopt;
  }
}

}  // namespace moeplan::topology
