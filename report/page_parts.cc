#include "report/page_parts.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/files.h"
#include "base/quantity_text.h"

namespace moeplan::report {

namespace {

constexpr double kBarWidth = 520;  // of an SVG bar, in pixels

constexpr const char* kStyle =
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 "
    "1rem;color:#1b1f24;background:#fff}"
    "h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse;width:100%;font-"
    "size:14px}"
    "th,td{padding:.3rem .6rem;border-bottom:1px solid #d8dee4;text-align:right;vertical-align:top}"
    "th:first-child,td:first-child,.l{text-align:left}td:not(.l){white-space:nowrap}.l{white-space:pre-line}code{font-size:13px}"
    ".key{display:inline-block;width:.8em;height:.8em;margin:0 .3em 0 .9em;border-radius:2px}"
    "p.why{white-space:pre-line}.scroll{overflow-x:auto}.chart{display:none;position:relative;width:100%;"
    "margin:1rem 0}body.charts .chart{display:block}body.charts .static{display:none}"
    ".controls label{display:inline-block;margin:.2rem 1rem .2rem 0}.plots{display:flex;flex-wrap:wrap;gap:1rem}"
    ".head{display:flex;flex-wrap:wrap;gap:1rem 3rem;margin:1rem 0}.head "
    "b{display:block;font-size:1.5rem}.muted{color:#57606a}"
    "@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}th,td{border-color:#30363d}."
    "muted{color:#9198a1}}";

std::string gib(base::Bytes bytes) { return fmt::format("{:.1f}", bytes.gib()); }

std::string percent(double fraction) { return fmt::format("{:.1f} %", fraction * 100); }

/// One bar: `scale` seconds fill the whole width.
std::string svg_bar(const sim::StepResult& result, double scale) {
  std::string out = fmt::format(
      "<svg width=\"{:.0f}\" height=\"22\" viewBox=\"0 0 {:.0f} 22\" role=\"img\" aria-label=\"breakdown of "
      "{}\">",
      kBarWidth, kBarWidth, base::pretty(result.step_time));
  double x = 0;
  for (const BreakdownPart& part : breakdown_parts(result.breakdown)) {
    const double width = std::max(0.0, part.time.s()) / scale * kBarWidth;
    if (width <= 0) continue;
    out += fmt::format(
        "<rect x=\"{:.2f}\" y=\"2\" width=\"{:.2f}\" height=\"18\" fill=\"{}\"><title>{}: {} "
        "({})</title></rect>",
        x, width, part.colour, part.name, base::pretty(part.time), percent(part.time / result.step_time));
    x += width;
  }
  return out + "</svg>";
}

/// Where page.js draws.
std::string canvas(const char* id, const char* label) {
  return fmt::format(
      "<div class=\"chart\"><canvas id=\"{}\" role=\"img\" aria-label=\"{}\"></canvas></div>\n", id, label);
}

std::string memory_section(const sim::StepResult& result, const sim::StepView* view) {
  std::string out =
      fmt::format("<h2>Memory, worst GPU of each stage, GiB</h2>\n<p>Limit {} GiB.</p>\n",
                  gib(result.memory.limit)) +
      canvas("chart-memory", "memory per stage against the limit") +
      (view == nullptr ? "" : canvas("chart-memory-time", "memory over the step")) +
      "<div class=\"scroll\"><table><thead><tr><th>stage</th><th>parameters</th><th>gradients</th>"
      "<th>optimizer</th><th>activations</th><th>MoE "
      "buffers</th><th>logits</th><th>communicators</th><th>context</th>"
      "<th>reserve</th><th>in all</th></tr></thead><tbody>\n";
  int stage = 0;
  for (const sim::MemoryPart& m : result.memory.per_stage) {
    out += fmt::format(
        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</"
        "td><td>{}</td><td>{}</td></tr>\n",
        stage++, gib(m.parameters), gib(m.gradients), gib(m.optimizer_states), gib(m.activations),
        gib(m.moe_buffers), gib(m.logits), gib(m.communicators), gib(m.context), gib(m.reserve),
        gib(m.reserved()));
  }
  return out + "</tbody></table></div>\n";
}

std::string what_if_section(const sim::StepResult& result) {
  if (result.what_if.empty()) return "";
  std::string out = "<h2>What would change it</h2>\n" +
                    canvas("chart-what-if", "step time saved by each change") +
                    "<div class=\"scroll\"><table><thead><tr><th>change</th><th>step</th><th>gain</th><th "
                    "class=\"l\">note</th></tr></thead><tbody>\n";
  for (const sim::WhatIf& w : result.what_if) {
    out +=
        fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"l\">{}</td></tr>\n",
                    escape_html(w.change), base::pretty(w.step_time), percent(w.gain), escape_html(w.note));
  }
  return out + "</tbody></table></div>\n";
}

std::string timeline_section() {
  return "<h2>Timeline of the pipeline</h2>\n<p class=\"muted static\">The chart needs scripts and a build "
         "with its chart library.</p>\n"
         "<p class=\"muted\">One row a stage for its passes, one for what it sends; of each stage the group "
         "of ranks that is busy longest. "
         "Wheel zooms, dragging moves, a double click shows the whole step.</p>\n" +
         canvas("chart-timeline", "pipeline timeline");
}

std::string load_section(const sim::LoadView& loads) {
  if (loads.max_over_mean.empty()) return "";
  const auto worst = [](const std::vector<double>& values) {
    return *std::max_element(values.begin(), values.end());
  };
  const auto mean = [](const std::vector<double>& values) {
    double sum = 0;
    for (const double v : values) sum += v;
    return sum / static_cast<double>(values.size());
  };
  return fmt::format(
             "<h2>Where the tokens go</h2>\n<p>Largest load over the mean, over {} MoE layers: ranks {:.2f} "
             "on average, {:.2f} in the worst layer; "
             "experts {:.2f} and {:.2f}.</p>\n",
             loads.max_over_mean.size(), mean(loads.max_over_mean), worst(loads.max_over_mean),
             mean(loads.expert_max_over_mean), worst(loads.expert_max_over_mean)) +
         canvas("chart-ranks", "load per rank") + canvas("chart-experts", "load per expert") +
         canvas("chart-layers", "imbalance per layer");
}

std::string chain_section(const sim::StepView& view) {
  constexpr std::size_t kRows = 16;
  std::string out =
      "<h2>What the step waits for</h2>\n<p class=\"muted\">The chain of work that ends last, added "
      "up.</p>\n<div class=\"scroll\"><table><thead><tr>"
      "<th>stage</th><th class=\"l\">what</th><th>times</th><th>time</th><th>share</th><th "
      "class=\"l\">bounded by</th></tr></thead><tbody>\n";
  for (std::size_t i = 0; i < std::min(kRows, view.chain.sums.size()); ++i) {
    const sim::ChainSum& sum = view.chain.sums[i];
    out += fmt::format(
        "<tr><td>{}</td><td class=\"l\">{}</td><td>{}</td><td>{}</td><td>{}</td><td "
        "class=\"l\">{}</td></tr>\n",
        sum.stage, escape_html(sum.what), sum.count, base::pretty(sum.time), percent(sum.time / view.step),
        escape_html(sum.bound));
  }
  return out + "</tbody></table></div>\n";
}

std::string replace_all(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

/// Script text that cannot end its element.
std::string script_text(std::string_view text) {
  return replace_all(std::string(text), "</script", "<\\/script");
}

std::string scripts(const std::string& data, const ChartLibrary& library) {
  return "<script type=\"application/json\" id=\"data\">" + replace_all(data, "</", "<\\/") + "</script>\n" +
         "<script>/* " + std::string(library.name) +
         ", as packaged by the distribution. Its copyright and licence:\n\n" +
         replace_all(std::string(library.license), "*/", "* /") + "*/\n" + script_text(library.script) +
         "</script>\n<script>" + script_text(page_script()) + "</script>\n";
}

}  // namespace

std::vector<BreakdownPart> breakdown_parts(const sim::Breakdown& b) {
  return {{"compute", b.compute, "#3b7dd8", 'C'}, {"exposed communication", b.exposed_comm, "#e0802f", 'x'},
          {"bubble", b.bubble, "#a7adb5", 'b'},   {"imbalance", b.imbalance, "#c9444d", 'i'},
          {"host", b.host, "#8c62c4", 'h'},       {"optimizer", b.optimizer, "#3f9b63", 'o'},
          {"other", b.other, "#7a6a53", '.'}};
}

std::string escape_html(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string headline(const sim::StepResult& r, int gpus) {
  std::size_t level = 0;
  for (std::size_t e = 0; e < r.evidence.size(); ++e) {
    if (r.evidence[e] > r.evidence[level]) level = e;
  }
  const auto item = [](const char* what, const std::string& value, const std::string& remark) {
    return fmt::format("<div>{}<b>{}</b><span class=\"muted\">{}</span></div>\n", what, value, remark);
  };
  return "<div class=\"head\">\n" +
         item("step", base::pretty(r.step_time),
              fmt::format("90 % band {} to {}<br>mostly {} ({})", base::pretty(r.band_low),
                          base::pretty(r.band_high), name(static_cast<sim::Evidence>(level)),
                          percent(r.evidence[level]))) +
         item("tokens/s", fmt::format("{:.0f}", r.tokens_per_s_per_gpu * gpus),
              fmt::format("{:.0f} a GPU, {} GPUs", r.tokens_per_s_per_gpu, gpus)) +
         item("MFU", percent(r.mfu),
              fmt::format("{:.0f} of {:.0f} TFLOP/s", r.model_flops_per_s_per_gpu * 1e-12,
                          r.peak_flops_per_s * 1e-12)) +
         item("memory", fmt::format("{} GiB", gib(r.memory.reserved)),
              fmt::format("{} of {} GiB, stage {}", r.memory.fits() ? "fits" : "does not fit",
                          gib(r.memory.limit), r.memory.worst_stage)) +
         "</div>\n";
}

std::string results_table(const std::vector<NamedResult>& results) {
  std::string out =
      "<div class=\"scroll\"><table><thead><tr><th>plan</th><th>step</th><th>p50</th><th>p95</th><th>90 % "
      "band</th><th>tokens/s/GPU</th>"
      "<th>TFLOP/s/GPU</th><th>MFU</th><th>memory, GiB</th></tr></thead><tbody>\n";
  for (const auto& [plan_name, result] : results) {
    const sim::StepResult& r = *result;
    out += fmt::format(
        "<tr><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td><td>{} to "
        "{}</td><td>{:.0f}</td><td>{:.0f}</td><td>{}</td><td>{} of {}</td></tr>\n",
        escape_html(plan_name), base::pretty(r.step_time), base::pretty(r.p50), base::pretty(r.p95),
        base::pretty(r.band_low), base::pretty(r.band_high), r.tokens_per_s_per_gpu,
        r.model_flops_per_s_per_gpu * 1e-12, percent(r.mfu), gib(r.memory.reserved), gib(r.memory.limit));
  }
  return out + "</tbody></table></div>\n";
}

std::string breakdown_section(const std::vector<NamedResult>& results) {
  double scale = 0;
  for (const NamedResult& r : results) scale = std::max(scale, r.result->step_time.s());
  std::string out = "<h2>Where the step goes</h2>\n" + canvas("chart-breakdown", "breakdown of the step") +
                    "<div class=\"static\"><p>";
  for (const BreakdownPart& part : breakdown_parts({}))
    out += fmt::format("<span class=\"key\" style=\"background:{}\"></span>{}", part.colour, part.name);
  out += "</p>\n<div class=\"scroll\"><table><tbody>\n";
  for (const NamedResult& r : results) {
    out += fmt::format("<tr><td>{}</td><td class=\"l\">{}</td><td>{}</td></tr>\n", escape_html(r.name),
                       svg_bar(*r.result, scale), base::pretty(r.result->step_time));
  }
  return out + "</tbody></table></div></div>\n";
}

std::string step_sections(const sim::StepResult& result, const sim::StepView* view) {
  std::string out;
  if (view != nullptr) out += timeline_section() + chain_section(*view) + load_section(view->loads);
  return out + memory_section(result, view) + what_if_section(result);
}

std::string evidence_section(const std::vector<NamedResult>& results) {
  std::string out =
      "<h2>How far the numbers are founded</h2>\n<p class=\"muted\">Shares of the critical path by the "
      "evidence of their cost.</p>\n<div class=\"scroll\"><table>"
      "<thead><tr><th>plan</th><th>measured</th><th>interpolated</th><th>extrapolated</th><th>assumed</th></"
      "tr></thead><tbody>\n";
  for (const auto& [plan_name, result] : results) {
    const sim::EvidenceShares& e = result->evidence;
    out += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                       escape_html(plan_name), percent(e[0]), percent(e[1]), percent(e[2]), percent(e[3]));
  }
  out += "</tbody></table></div>\n";
  const sim::StepResult& best = *results.front().result;
  out += fmt::format("<p>Load: {}, device max/mean {:.2f}. Network: {}.</p>\n", escape_html(best.load_origin),
                     best.load_max_over_mean, escape_html(best.network_mode));
  if (best.notes.empty()) return out;
  out += "<ul>\n";
  for (const std::string& note : best.notes) out += "<li>" + escape_html(note) + "</li>\n";
  return out + "</ul>\n";
}

std::string write_page(const std::string& title, const Inputs& inputs, const std::string& body,
                       const std::string& data, const ChartLibrary& library) {
  // The policy keeps a page from asking for anything that is not in it.
  std::string out =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width,initial-scale=1\">"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src "
      "'unsafe-inline'; style-src 'unsafe-inline'; img-src data:\">";
  out += "<title>moeplan: " + escape_html(title) + "</title><style>" + kStyle +
         "</style></head><body>\n<h1>" + escape_html(title) + "</h1>\n" + body;
  out += "<h2>Made from</h2>\n<div class=\"scroll\"><table><tbody>\n";
  for (const auto& [input, value] : inputs)
    out +=
        fmt::format("<tr><td>{}</td><td class=\"l\">{}</td></tr>\n", escape_html(input), escape_html(value));
  out += fmt::format("<tr><td>moeplan</td><td class=\"l\">{}</td></tr>\n</tbody></table></div>\n",
                     base::version());
  if (!library.exists())
    out +=
        "<p class=\"muted\">This moeplan was built without a chart library (Debian, Ubuntu: libjs-chart.js); "
        "pictures are static.</p>\n";
  if (library.exists() && !data.empty()) out += scripts(data, library);
  return out + "</body></html>\n";
}

}  // namespace moeplan::report
