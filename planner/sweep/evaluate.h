#pragma once

#include <string>
#include <vector>

#include "planner/sweep/grid.h"
#include "planner/sweep/inputs.h"

namespace moeplan::planner {

/// The result of one point. `figures` are those of sweep_columns(), NaN where there is none.
struct SweepRow {
  std::string status;  ///< ok; infeasible: it does not fit into memory, or no plan does; refused: the job
                       ///< cannot run that plan
  std::string reason;  ///< of infeasible and refused
  std::string plan;    ///< in short
  std::vector<double> figures;
};

/// Names of figures, with their unit: "step_time_s". The first is what a sweep is about.
const std::vector<std::string>& sweep_columns(SweepVerb verb);

/// Where a figure stands in a row. Requires that there is one of that name.
std::size_t column_of(const std::string& name);

/// Simulates the point's plan, or searches the best plan, on one thread. Deterministic.
SweepRow evaluate_point(const SweepSpec& spec, const PointInputs& inputs);

}  // namespace moeplan::planner
