#include "report/sweep_page.h"

#include <algorithm>
#include <map>
#include <numeric>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/json_writer.h"
#include "base/quantity_text.h"
#include "report/page_parts.h"

namespace moeplan::report {

namespace {

using planner::SweepKey;
using planner::SweepResult;
using planner::SweepRow;
using planner::SweepSpec;

/// One line of the chart: a combination of all keys but the one along x.
struct Line {
  std::string name;
  std::vector<double> rates;  ///< [value of x], below 0: none
};

/// Which key goes along x: the one with the most values, the first of equals.
std::size_t key_along_x(const std::vector<const SweepKey*>& keys) {
  const auto most = std::max_element(keys.begin(), keys.end(), [](const SweepKey* a, const SweepKey* b) {
    return a->texts.size() < b->texts.size();
  });
  return static_cast<std::size_t>(most - keys.begin());
}

std::vector<Line> lines_of(const SweepSpec& spec, const SweepResult& result, std::size_t x) {
  const std::vector<const SweepKey*> keys = spec.keys();
  std::vector<Line> lines;
  std::map<std::string, std::size_t> by_name;
  for (std::size_t i = 0; i < result.points.size(); ++i) {
    const std::vector<std::string> texts = point_texts(spec, result.points[i]);
    std::vector<std::string> others;
    for (std::size_t k = 0; k < keys.size(); ++k) {
      // A key of the same axis moves with x and tells nothing.
      const bool moves_with_x =
          std::any_of(spec.axes.begin(), spec.axes.end(), [&](const planner::SweepAxis& axis) {
            const auto holds = [&](const SweepKey* key) {
              return std::any_of(axis.keys.begin(), axis.keys.end(),
                                 [&](const SweepKey& other) { return &other == key; });
            };
            return holds(keys[x]) && holds(keys[k]);
          });
      if (!moves_with_x) others.push_back(keys[k]->name + " " + texts[k]);
    }
    const std::string name = others.empty() ? "tokens a second and GPU" : fmt::format("{}", fmt::join(others, ", "));
    const auto [entry, is_new] = by_name.emplace(name, lines.size());
    if (is_new) lines.push_back({name, std::vector<double>(keys[x]->texts.size(), -1.0)});
    const auto at = std::find(keys[x]->texts.begin(), keys[x]->texts.end(), texts[x]);
    if (result.rows[i].status == "ok")
      lines[entry->second].rates[static_cast<std::size_t>(at - keys[x]->texts.begin())] =
          result.rows[i].figures[planner::column_of("tokens_per_s_per_gpu")];
  }
  return lines;
}

std::string write_data(const SweepKey& along_x, const std::vector<Line>& lines) {
  base::JsonWriter json;
  json.begin_object();
  json.key("sweep");
  json.begin_object();
  json.field("key", along_x.name);
  json.key("labels");
  json.begin_array();
  for (const std::string& text : along_x.texts) json.value(text);
  json.end_array();
  json.key("series");
  json.begin_array();
  for (std::size_t i = 0; i < std::min(lines.size(), kSweepLines); ++i) {
    json.begin_object();
    json.field("name", lines[i].name);
    json.key("rates");
    json.begin_array();
    for (const double rate : lines[i].rates) {
      if (rate < 0.0) {
        json.null();
      } else {
        json.value(rate);
      }
    }
    json.end_array();
    json.end_object();
  }
  json.end_array();
  json.end_object();
  json.end_object();
  return json.text();
}

std::string table_of(const SweepSpec& spec, const SweepResult& result) {
  std::vector<std::size_t> order(result.rows.size());
  std::iota(order.begin(), order.end(), 0);
  const auto rank = [&](std::size_t i) {
    const SweepRow& row = result.rows[i];
    return std::pair(row.status != "ok", row.status == "ok" ? -row.figures[planner::column_of("tokens_per_s_per_gpu")] : 0.0);
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return rank(a) < rank(b); });
  std::string out =
      "<h2>Points, the most tokens a second first</h2>\n<div class=\"scroll\"><table><thead><tr><th>point</th>";
  for (const SweepKey* key : spec.keys()) out += "<th>" + escape_html(key->name) + "</th>";
  out +=
      "<th>step</th><th>tokens/s/GPU</th><th>MFU</th><th>memory GiB</th><th>plan</th></tr></thead><tbody>\n";
  for (std::size_t n = 0; n < std::min(order.size(), kSweepTableRows); ++n) {
    const std::size_t i = order[n];
    const SweepRow& row = result.rows[i];
    out += fmt::format("<tr><td>{}</td>", result.points[i].number);
    for (const std::string& text : point_texts(spec, result.points[i]))
      out += "<td class=\"l\">" + escape_html(text) + "</td>";
    if (row.status == "ok") {
      const auto& f = row.figures;
      out += fmt::format(
          "<td>{}</td><td>{:.0f}</td><td>{:.1f} %</td><td>{:.1f}</td><td class=\"l\">{}</td></tr>\n",
          base::pretty(base::Seconds::of(f[0])), f[planner::column_of("tokens_per_s_per_gpu")],
          100 * f[planner::column_of("mfu")], f[planner::column_of("memory_reserved_gib")], escape_html(row.plan));
    } else {
      out += fmt::format("<td class=\"l\" colspan=\"5\">{}: {}</td></tr>\n", row.status,
                         escape_html(row.reason));
    }
  }
  out += "</tbody></table></div>\n";
  if (order.size() > kSweepTableRows)
    out += fmt::format("<p class=\"muted\">{} points of {}; all are in points.csv.</p>\n", kSweepTableRows,
                       order.size());
  return out;
}

}  // namespace

std::string write_sweep_page(const SweepSpec& spec, const SweepResult& result, const ChartLibrary& library) {
  const std::vector<const SweepKey*> keys = spec.keys();
  const std::size_t x = key_along_x(keys);
  const std::vector<Line> lines = lines_of(spec, result, x);
  std::string body = "<pre style=\"white-space:pre-wrap\">" + escape_html(describe_sweep(spec, result)) + "</pre>\n";
  body += fmt::format(
      "<h2>Tokens a second and GPU over {}</h2>\n<div class=\"chart\"><canvas id=\"chart-sweep\"></canvas></div>\n",
      escape_html(keys[x]->name));
  if (lines.size() > kSweepLines)
    body += fmt::format("<p class=\"muted\">The first {} of {} combinations; all are in points.csv.</p>\n",
                        kSweepLines, lines.size());
  body += table_of(spec, result);
  Inputs inputs{{"sweep", fmt::format("{}: {} points of {}", spec.name, result.points.size(),
                                      spec.verb == planner::SweepVerb::kPlan ? "plan" : "simulate")}};
  for (const auto& [input, text] : spec.base) inputs.emplace_back(input, text);
  return write_page("Sweep: " + spec.name, inputs, body, write_data(*keys[x], lines), library);
}

}  // namespace moeplan::report
