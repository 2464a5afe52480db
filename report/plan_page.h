#pragma once

#include <string>
#include <utility>
#include <vector>

#include "planner/search/search.h"

namespace moeplan::report {

/// What stands at the head of the page: name and value of each input, e.g. {"cluster", "hgx-h100-32n: 256 GPUs"}.
using Inputs = std::vector<std::pair<std::string, std::string>>;

/// One self-contained HTML page of a search: ranked plans with their breakdown as inline SVG, reasons, memory per
/// stage, evidence, counterfactuals, what did not fit and the account of the space. No scripts, no external
/// resources, no date: the same search gives the same bytes.
std::string write_plan_page(const Inputs& inputs, const planner::SearchResult& search);

/// The ranked table for a terminal, with a bar for each breakdown.
std::string write_plan_table(const planner::SearchResult& search);

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

}  // namespace moeplan::report
