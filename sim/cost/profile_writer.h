#pragma once

#include <string>

#include "sim/cost/profile_data.h"

namespace moeplan::sim {

/// A whole profile as the YAML text that parse_profile reads back to the same values:
/// parse(write(p)) == p for every p that is sound, and write(parse(write(p))) == write(p), byte for byte.
///
/// Numbers are the shortest decimals that read back to the same double. A table that is `like` another is
/// written as such, after the one that it stands on. `provenance` is not written: readers collect it from the
/// tables. `header` is a comment, one or more lines without the "# ".
std::string write_profile(const ProfileData& data, const std::string& header = "");

}  // namespace moeplan::sim
