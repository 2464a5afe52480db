#include "topology/spec_values.h"

#include <fmt/format.h>

namespace moeplan::topology {

int read_count(base::ObjectReader& reader, std::string_view key, int limit) {
  const int value = read_positive<int>(reader, key);
  if (value > limit) reader.fault(key, fmt::format("found {}, expected at most {}", value, limit));
  return std::clamp(value, 1, limit);
}

}  // namespace moeplan::topology
