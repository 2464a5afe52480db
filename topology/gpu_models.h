#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/units.h"

namespace moeplan::topology {

/// A family of GPUs: what all members of it share. Sources: NVIDIA's white papers of Volta (2017), Ampere
/// A100 (2020), Hopper (2022) and Blackwell (2024): NVLink 2, 3 and 4 carry 25 GB/s a link and direction,
/// NVLink 5 50 GB/s.
struct GpuFamily {
  std::string_view prefix;        ///< labels that begin so belong to it: "H100-SXM"
  std::string_view profile;       ///< the shipped profile that knows it, or empty
  int nvlinks = 0;                ///< links of one GPU
  base::BytesPerSecond per_link;  ///< of one link and direction
};

/// The family of a label ("H100-SXM", "A100-SXM4-80GB"), or nothing.
std::optional<GpuFamily> find_gpu_family(std::string_view label);

/// The label of an NVIDIA GPU by its PCI device id (0x20b0 -> "A100-SXM4-40GB"), or empty.
/// Source: the PCI ID Repository (pci-ids.ucw.cz), vendor 10de.
std::string find_gpu_label(unsigned pci_device);

/// Bandwidth of one NVLink and direction by CUDA compute capability (80 = 8.0), or nothing.
std::optional<base::BytesPerSecond> nvlink_of_capability(int capability);

}  // namespace moeplan::topology
