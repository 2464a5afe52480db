#pragma once

#include <string>

#include "sim/cost/profile.h"

namespace moeplan::sim {

/// A profile as a person reads it: peaks, memory, one line per table with range, source and residuals,
/// some sample times, link classes. Deterministic; ends in a newline.
std::string describe(const Profile& profile);

}  // namespace moeplan::sim
