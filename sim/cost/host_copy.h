#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/object_reader.h"
#include "base/units.h"
#include "sim/cost/estimate.h"

namespace moeplan::sim {

/// Copies between the memory of a GPU and pinned memory of its node, by the copy engine and in one direction
/// at a time.
///
/// Model:   rate of each of g GPUs that copy at once = own rate / min(g, shared_by)
/// Symbols: shared_by = GPUs whose copies end in one memory that is no faster than one of them: the two of a
///          Grace CPU; 1 where every GPU has a port of its own to a host that is faster than all of them
/// Not modelled: the start of a copy (some microseconds beside milliseconds), copies in both directions at
/// once,
///          memory of another socket, pages that are not pinned, what a copy takes from the GPU's own memory
struct HostCopy {
  base::BytesPerSecond to_host, to_device;
  int shared_by = 1;
  double low = 1.0, high = 1.0;  ///< 90 % band of measured / predicted time
  Evidence evidence = Evidence::kAssumed;
  std::string source;
  friend bool operator==(const HostCopy&, const HostCopy&) = default;
};

/// What is published of the GPU that a profile is of, by the profile's name up to a point; empty where
/// nothing is.
std::optional<HostCopy> published_host_copy(std::string_view profile);

/// Section `host_copy` of a profile, which is optional; without it what is published.
std::optional<HostCopy> read_host_copy(base::ObjectReader& profile, std::string_view name);

}  // namespace moeplan::sim
