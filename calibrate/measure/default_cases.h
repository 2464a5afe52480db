#pragma once

#include <vector>

#include "calibrate/measure/case.h"

namespace moeplan::calibrate {

/// What is measured where no model is named, most important first: host overheads, bf16 products in the three
/// passes over the shapes of common MoE models, memory-bound kernels, grouped products, fp8, a sustained run,
/// interference, copies, and then the finer sweep and the other formats. A budget cuts it off from behind.
std::vector<Case> default_cases();

}  // namespace moeplan::calibrate
