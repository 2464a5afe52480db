#include "report/plan_page.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/files.h"
#include "base/quantity_text.h"

namespace moeplan::report {

namespace {

using planner::RankedPlan;
using planner::SearchResult;

constexpr double kBarWidth = 520;  // of an SVG bar, in pixels

constexpr const char* kStyle =
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1b1f24;background:#fff}"
    "h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse;width:100%;font-size:14px}"
    "th,td{padding:.3rem .6rem;border-bottom:1px solid #d8dee4;text-align:right;vertical-align:top}"
    "th:first-child,td:first-child,.l{text-align:left}code{font-size:13px}"
    ".key{display:inline-block;width:.8em;height:.8em;margin:0 .3em 0 .9em;border-radius:2px}"
    "p.why{white-space:pre-line}.scroll{overflow-x:auto}.muted{color:#57606a}"
    "@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}th,td{border-color:#30363d}.muted{color:#9198a1}}";

std::string gib(base::Bytes bytes) { return fmt::format("{:.1f}", bytes.gib()); }

std::string percent(double fraction) { return fmt::format("{:.1f} %", fraction * 100); }

/// One bar: `scale` seconds fill the whole width.
std::string svg_bar(const sim::StepResult& result, double scale) {
  std::string out = fmt::format("<svg width=\"{:.0f}\" height=\"22\" viewBox=\"0 0 {:.0f} 22\" role=\"img\" aria-label=\"breakdown of {}\">",
                                kBarWidth, kBarWidth, base::pretty(result.step_time));
  double x = 0;
  for (const BreakdownPart& part : breakdown_parts(result.breakdown)) {
    const double width = std::max(0.0, part.time.s()) / scale * kBarWidth;
    if (width <= 0) continue;
    out += fmt::format("<rect x=\"{:.2f}\" y=\"2\" width=\"{:.2f}\" height=\"18\" fill=\"{}\"><title>{}: {} ({})</title></rect>", x, width, part.colour,
                       part.name, base::pretty(part.time), percent(part.time / result.step_time));
    x += width;
  }
  return out + "</svg>";
}

std::string ranked_table(const SearchResult& search) {
  std::string out =
      "<div class=\"scroll\"><table><thead><tr><th>rank</th><th class=\"l\">plan</th><th>step</th><th>90 % band</th><th>tokens/s/GPU</th>"
      "<th>TFLOP/s/GPU</th><th>MFU</th><th>memory, GiB</th></tr></thead><tbody>\n";
  for (std::size_t k = 0; k < search.plans.size(); ++k) {
    const RankedPlan& p = search.plans[k];
    const sim::StepResult& r = p.result;
    out += fmt::format("<tr><td>{}</td><td class=\"l\"><code>{}</code></td><td>{}</td><td>{} to {}</td><td>{:.0f}</td><td>{:.0f}</td><td>{}</td><td>{} of {}</td></tr>\n",
                       k + 1, escape_html(sim::short_name(p.plan)), base::pretty(r.step_time), base::pretty(r.band_low), base::pretty(r.band_high),
                       r.tokens_per_s_per_gpu, r.model_flops_per_s_per_gpu * 1e-12, percent(r.mfu), gib(r.memory.reserved), gib(r.memory.limit));
  }
  return out + "</tbody></table></div>\n";
}

std::string breakdown_section(const SearchResult& search) {
  double scale = 0;
  for (const RankedPlan& p : search.plans) scale = std::max(scale, p.result.step_time.s());
  std::string out = "<h2>Where the step goes</h2>\n<p>";
  for (const BreakdownPart& part : breakdown_parts({})) out += fmt::format("<span class=\"key\" style=\"background:{}\"></span>{}", part.colour, part.name);
  out += "</p>\n<div class=\"scroll\"><table><tbody>\n";
  for (std::size_t k = 0; k < search.plans.size(); ++k) {
    out += fmt::format("<tr><td>{}</td><td class=\"l\">{}</td><td>{}</td></tr>\n", k + 1, svg_bar(search.plans[k].result, scale),
                       base::pretty(search.plans[k].result.step_time));
  }
  return out + "</tbody></table></div>\n";
}

std::string memory_section(const RankedPlan& best) {
  std::string out =
      "<h2>Memory of rank 1, worst GPU of each stage, GiB</h2>\n<div class=\"scroll\"><table><thead><tr><th>stage</th><th>parameters</th><th>gradients</th>"
      "<th>optimizer</th><th>activations</th><th>MoE buffers</th><th>logits</th><th>communicators</th><th>context</th><th>reserve</th><th>in all</th></tr></thead><tbody>\n";
  int stage = 0;
  for (const sim::MemoryPart& m : best.result.memory.per_stage) {
    out += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n", stage++,
                       gib(m.parameters), gib(m.gradients), gib(m.optimizer_states), gib(m.activations), gib(m.moe_buffers), gib(m.logits),
                       gib(m.communicators), gib(m.context), gib(m.reserve), gib(m.reserved()));
  }
  return out + "</tbody></table></div>\n";
}

std::string evidence_section(const SearchResult& search) {
  std::string out =
      "<h2>How far the numbers are founded</h2>\n<p class=\"muted\">Shares of the critical path by the evidence of their cost.</p>\n<div class=\"scroll\"><table>"
      "<thead><tr><th>rank</th><th>measured</th><th>interpolated</th><th>extrapolated</th><th>assumed</th></tr></thead><tbody>\n";
  for (std::size_t k = 0; k < search.plans.size(); ++k) {
    const sim::EvidenceShares& e = search.plans[k].result.evidence;
    out += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n", k + 1, percent(e[0]), percent(e[1]), percent(e[2]), percent(e[3]));
  }
  out += "</tbody></table></div>\n";
  const sim::StepResult& best = search.plans.front().result;
  out += fmt::format("<p>Load: {}, device max/mean {:.2f}. Network: {}.</p>\n", escape_html(best.load_origin), best.load_max_over_mean, escape_html(best.network_mode));
  if (best.notes.empty()) return out;
  out += "<ul>\n";
  for (const std::string& note : best.notes) out += "<li>" + escape_html(note) + "</li>\n";
  return out + "</ul>\n";
}

std::string what_if_section(const RankedPlan& best) {
  if (best.result.what_if.empty()) return "";
  std::string out =
      "<h2>What would change rank 1</h2>\n<div class=\"scroll\"><table><thead><tr><th>change</th><th>step</th><th>gain</th><th class=\"l\">note</th></tr></thead><tbody>\n";
  for (const sim::WhatIf& w : best.result.what_if) {
    out += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"l\">{}</td></tr>\n", escape_html(w.change), base::pretty(w.step_time), percent(w.gain), escape_html(w.note));
  }
  return out + "</tbody></table></div>\n";
}

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

std::vector<BreakdownPart> breakdown_parts(const sim::Breakdown& b) {
  return {{"compute", b.compute, "#3b7dd8", 'C'},
          {"exposed communication", b.exposed_comm, "#e0802f", 'x'},
          {"bubble", b.bubble, "#a7adb5", 'b'},
          {"imbalance", b.imbalance, "#c9444d", 'i'},
          {"host", b.host, "#8c62c4", 'h'},
          {"optimizer", b.optimizer, "#3f9b63", 'o'},
          {"other", b.other, "#7a6a53", '.'}};
}

std::string escape_html(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string write_plan_page(const Inputs& inputs, const SearchResult& search) {
  std::string out = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                    "<title>moeplan: ranked plans</title><style>";
  out += kStyle;
  out += "</style></head><body>\n<h1>Ranked plans</h1>\n<div class=\"scroll\"><table><tbody>\n";
  for (const auto& [name, value] : inputs) out += fmt::format("<tr><td>{}</td><td class=\"l\">{}</td></tr>\n", escape_html(name), escape_html(value));
  out += "</tbody></table></div>\n";
  if (search.plans.empty()) {
    out += "<h2>No plan</h2>\n<p class=\"why\">" + escape_html(search.why) + "</p>\n";
  } else {
    out += ranked_table(search) + breakdown_section(search) + reasons_section(search) + memory_section(search.plans.front()) +
           evidence_section(search) + what_if_section(search.plans.front());
  }
  out += account_section(search);
  return out + fmt::format("<p class=\"muted\">moeplan {}</p>\n</body></html>\n", base::version());
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
