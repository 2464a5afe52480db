#pragma once

#include <string>

#include "sim/result/step_result.h"

namespace moeplan::sim {

/// What `moeplan simulate` prints: step time with its band, rates, breakdown as a bar chart, memory per
/// stage, evidence, what-ifs and notes.
std::string write_table(const StepResult& result);

}  // namespace moeplan::sim
