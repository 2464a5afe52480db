#pragma once

#include <string>
#include <vector>

#include "report/page_parts.h"

namespace moeplan::report {

/// What the charts of a page show, as JSON: `plans` with their `parts` (seconds), and of the first plan
/// `timeline` (bars: [stage, kind, chunk, micro-batch, start in ms, duration in ms]), `loads` (over the
/// mean), `memory` (GiB) and `what_if`. `view`: nullptr = without timeline, loads and memory over time. At
/// most kMaxBars bars: where a step has more, transfers are left out first, then the micro-batches in the
/// middle of what is left, and `timeline.left_out` counts them.
std::string write_page_data(const std::vector<NamedResult>& plans, const sim::StepView* view);
inline constexpr std::size_t kMaxBars = 20000;

}  // namespace moeplan::report
