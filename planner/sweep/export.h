#pragma once

#include <string>

#include "planner/sweep/sweep.h"

namespace moeplan::sweep {

/// The results as CSV, a row a finished point in the order of the grid: point (from 1), the axes, status, the
/// figures of the sweep file, plan, reason. Depends on the results alone, not on who computed them when.
std::string write_points_csv(const Sweep& sweep, const Collected& results);

/// The same as JSON: schema moeplan.sweep/1, docs/schema/sweep.json.
std::string write_points_json(const Sweep& sweep, const Collected& results);

/// The same as a table `points` of an SQLite file, with every figure and the plans that were found. Whole or
/// not at all; replaces the file. Throws EnvironmentError.
void write_points_database(const Sweep& sweep, const Collected& results, const std::string& path);

/// Counts, the fastest point of all, and the span of the step time along each axis: what a person reads
/// first.
std::string write_summary(const Sweep& sweep, const Collected& results);

}  // namespace moeplan::sweep
