#pragma once

#include <string>

#include "planner/search/search.h"
#include "report/embedded.h"
#include "report/page_parts.h"
#include "sim/result/step_view.h"

namespace moeplan::report {

/// One self-contained HTML page of a search: ranked plans with their breakdown, reasons, rank 1's timeline,
/// loads, memory and counterfactuals, evidence, and the account of the space. `view`: a step of rank 1;
/// nullptr = without. Charts need `library`; without it pictures are static SVG. No external resources, no
/// date: the same search gives the same bytes.
std::string write_plan_page(const Inputs& inputs, const planner::SearchResult& search,
                            const sim::StepView* view = nullptr,
                            const ChartLibrary& library = chart_library());

/// The ranked table for a terminal, with a bar for each breakdown.
std::string write_plan_table(const planner::SearchResult& search);

}  // namespace moeplan::report
