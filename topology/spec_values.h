#pragma once

#include <algorithm>
#include <string_view>

#include "base/object_reader.h"

namespace moeplan::topology {

/// Enough for any machine built, and small enough that a slip of the pen does not fill the memory.
inline constexpr int kMaxRanks = 1 << 18;

/// A required value above zero. A fault that has been reported is not reported twice.
template <class T>
T read_positive(base::ObjectReader& reader, std::string_view key) {
  const std::size_t before = reader.sink().size();
  const T value = reader.required<T>(key);
  if (reader.sink().size() == before && !(T{} < value))
    reader.fault(key, "found zero or less, expected more than zero");
  return value;
}

/// A required whole number of 1..limit.
int read_count(base::ObjectReader& reader, std::string_view key, int limit);

}  // namespace moeplan::topology
