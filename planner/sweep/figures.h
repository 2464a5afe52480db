#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "sim/result/step_result.h"

namespace moeplan::sweep {

/// What a figure is computed from.
struct Outcome {
  const sim::StepResult& step;
  int gpus = 0;
  std::int64_t searched = 0;   ///< plans, of Verb::kPlan
  std::int64_t simulated = 0;  ///< plans, of Verb::kPlan
};

/// A number that a point results in; the unit ends its name.
struct Figure {
  const char* name;
  const char* unit;  ///< "s", "B", "1" (a ratio or a count), "1/s", "TFLOP/s"
  const char* what;
  double (*value)(const Outcome&);
  bool of_plan_only = false;
};

/// In the order of every table.
std::span<const Figure> all_figures();
/// nullptr: no such figure.
const Figure* find_figure(const std::string& name);
std::vector<std::string> figure_names();

}  // namespace moeplan::sweep
