#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace moeplan::calibrate {

/// Rows of each of `groups` experts, groups * rows in all: "balanced", or "zipf_A", the i-th largest in proportion to
/// i^-A, in multiples of 16 where that is possible (fp8 products need it), the largest first.
std::vector<std::int64_t> make_loads(const std::string& distribution, std::int64_t groups, std::int64_t rows);

}  // namespace moeplan::calibrate
