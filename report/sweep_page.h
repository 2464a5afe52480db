#pragma once

#include <string>

#include "planner/sweep/tables.h"
#include "report/embedded.h"

namespace moeplan::report {

/// One self-contained HTML page of a sweep: tokens a second and GPU over the key with the most values, a line for each
/// combination of the others (at most kSweepLines), and the best points. The same sweep gives the same bytes.
std::string write_sweep_page(const planner::SweepSpec& spec, const planner::SweepResult& result,
                             const ChartLibrary& library = chart_library());

inline constexpr std::size_t kSweepLines = 16;
inline constexpr std::size_t kSweepTableRows = 200;

}  // namespace moeplan::report
