#pragma once

#include <string>
#include <utility>
#include <vector>

#include "report/embedded.h"
#include "sim/result/step_result.h"
#include "sim/result/step_view.h"

namespace moeplan::report {

/// Where the numbers of a page come from: name and value of each input, e.g. {"cluster", "hgx-h100-32n: 256
/// GPUs"}.
using Inputs = std::vector<std::pair<std::string, std::string>>;

/// A result and what the page calls it.
struct NamedResult {
  std::string name;
  const sim::StepResult* result = nullptr;
};

/// The parts of a breakdown in the order of all our pictures: key, seconds, colour.
struct BreakdownPart {
  const char* name;
  base::Seconds time;
  const char* colour;
  char letter;  ///< in bars of characters
};
std::vector<BreakdownPart> breakdown_parts(const sim::Breakdown& breakdown);

/// `text` with & < > " escaped.
std::string escape_html(const std::string& text);

/// Step time with band and evidence, tokens per second, MFU, memory against its limit.
std::string headline(const sim::StepResult& result, int gpus);
std::string results_table(const std::vector<NamedResult>& results);
std::string breakdown_section(const std::vector<NamedResult>& results);
/// Timeline, loads, critical path, memory and what-ifs of one result. `view`: nullptr = only what the result
/// holds.
std::string step_sections(const sim::StepResult& result, const sim::StepView* view);
/// Shares of the critical path by evidence; load and notes of the first.
std::string evidence_section(const std::vector<NamedResult>& results);

/// The whole page. `data`: what page.js draws (page_data.h); empty = nothing to draw.
std::string write_page(const std::string& title, const Inputs& inputs, const std::string& body,
                       const std::string& data, const ChartLibrary& library);

}  // namespace moeplan::report
