#include "report/plan_page.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/files.h"
#include "base/quantity_text.h"
#include "report/page_data.h"
#include "report/page_parts.h"

namespace moeplan::report {

namespace {

using planner::RankedPlan;
using planner::SearchResult;

std::string account_section(const SearchResult& search) {
  std::string out = fmt::format(
      "<h2>Account of the search</h2>\n<p>{} points of the space, {} simulated. Ruled out first by:</p>\n<div class=\"scroll\"><table><thead><tr><th>rule</th>"
      "<th>points</th></tr></thead><tbody>\n",
      search.searched, search.evaluated);
  for (const auto& [rule, count] : search.pruned) out += fmt::format("<tr><td>{}</td><td>{}</td></tr>\n", escape_html(rule), count);
  return out + "</tbody></table></div>\n";
}

std::string reasons_section(const SearchResult& search) {
  std::string out = "<h2>Why</h2>\n<p class=\"why\">" + escape_html(search.why) + "</p>\n";
  if (search.plans.size() < 2) return out;
  out += "<ol start=\"2\">\n";
  for (std::size_t k = 1; k < search.plans.size(); ++k) out += "<li>" + escape_html(search.plans[k].why) + "</li>\n";
  return out + "</ol>\n";
}

std::string percent(double fraction) { return fmt::format("{:.1f} %", fraction * 100); }

/// A bar of characters: one a 50th of the step.
std::string letter_bar(const sim::StepResult& result) {
  constexpr int kCells = 50;
  std::string bar;
  double sum = 0;
  for (const BreakdownPart& part : breakdown_parts(result.breakdown)) {
    sum += std::max(0.0, part.time / result.step_time);
    const auto until = static_cast<std::size_t>(std::llround(std::min(1.0, sum) * kCells));
    if (until > bar.size()) bar += std::string(until - bar.size(), part.letter);
  }
  return bar;
}

}  // namespace

std::string write_plan_page(const Inputs& inputs, const SearchResult& search, const sim::StepView* view,
                            const ChartLibrary& library) {
  std::vector<NamedResult> plans;
  for (std::size_t k = 0; k < search.plans.size(); ++k)
    plans.push_back(
        {fmt::format("{}. {}", k + 1, sim::short_name(search.plans[k].plan)), &search.plans[k].result});
  std::string body;
  if (plans.empty()) {
    body = "<h2>No plan</h2>\n<p class=\"why\">" + escape_html(search.why) + "</p>\n";
  } else {
    body = headline(*plans.front().result, search.plans.front().plan.layout.world()) + results_table(plans) +
           breakdown_section(plans) + reasons_section(search) + step_sections(*plans.front().result, view) +
           evidence_section(plans);
  }
  body += account_section(search);
  return write_page("Ranked plans", inputs, body, plans.empty() ? "" : write_page_data(plans, view), library);
}

std::string write_plan_table(const SearchResult& search) {
  std::size_t width = 4;
  for (const RankedPlan& p : search.plans) width = std::max(width, sim::short_name(p.plan).size());
  std::string out = fmt::format("rank  {:<{}}  {:>9}  {:>21}  {:>8}  {:>6}  {:>13}\n", "plan", width, "step", "90 % band", "tok/s/GPU", "MFU", "memory GiB");
  for (std::size_t k = 0; k < search.plans.size(); ++k) {
    const sim::StepResult& r = search.plans[k].result;
    const std::string band = base::pretty(r.band_low) + " - " + base::pretty(r.band_high);
    const std::string memory = fmt::format("{:.1f} / {:.1f}", r.memory.reserved.gib(), r.memory.limit.gib());
    out += fmt::format("{:>4}  {:<{}}  {:>9}  {:>21}  {:>9.0f}  {:>6}  {:>13}\n", k + 1, sim::short_name(search.plans[k].plan), width,
                       base::pretty(r.step_time), band, r.tokens_per_s_per_gpu, percent(r.mfu), memory);
  }
  out += "\n";
  for (std::size_t k = 0; k < search.plans.size(); ++k) out += fmt::format("{:>4}  |{}|\n", k + 1, letter_bar(search.plans[k].result));
  out += "      C compute, x exposed communication, b bubble, i imbalance, h host, o optimizer, . other\n";
  return out;
}

}  // namespace moeplan::report
