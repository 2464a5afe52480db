#pragma once

#include <string>

#include "report/page_parts.h"

namespace moeplan::report {

/// What the page of one step shows.
struct StepPage {
  std::string plan;  ///< its short name
  int gpus = 1;
  const sim::StepResult& result;
  const sim::StepView& view;
};

/// One self-contained HTML page of a simulated step, as write_plan_page is one of a search.
std::string write_step_page(const Inputs& inputs, const StepPage& page,
                            const ChartLibrary& library = chart_library());

}  // namespace moeplan::report
