#pragma once

#include <cstddef>
#include <string>

#include "report/embedded.h"
#include "report/page_parts.h"
#include "planner/sweep/sweep.h"

namespace moeplan::report {

/// Above so many points with a figure the page has no chart to turn about, and says so: it would be too large
/// to open.
inline constexpr std::size_t kMaxPlottedPoints = 20'000;

/// The page of a sweep: its fastest points, the best step time at each value of each axis, why points have no
/// result, and a chart of any figure over any axis. One HTML file that asks for nothing.
std::string write_sweep_page(const Inputs& inputs, const sweep::Sweep& sweep, const sweep::Collected& results,
                             const ChartLibrary& library = chart_library());

}  // namespace moeplan::report
