#include "report/sweep_page.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "base/quantity_text.h"

namespace moeplan::report {

namespace {

using sweep::PointResult;
using sweep::PointStatus;

constexpr std::size_t kFastestRows = 20;
constexpr std::size_t kReasonRows = 20;
constexpr double kPlotWidth = 330;  // of a static picture, in pixels
constexpr double kPlotHeight = 180;
constexpr double kMargin = 40;
constexpr std::size_t kPlotLabels = 6;  // as many as fit under a picture

struct Timed {
  double step_s = 0;
  double rate =
      0;  ///< tokens a second and GPU: points may differ in batch and GPUs, so that step times do not compare
  std::size_t point = 0;
};

/// Points that are ok, fastest first.
std::vector<Timed> find_fastest(const sweep::Collected& results) {
  std::vector<Timed> timed;
  for (std::size_t point = 0; point < results.rows.size(); ++point) {
    const auto& row = results.rows[point];
    if (!row || row->status != PointStatus::kOk) continue;
    const auto time = row->figures.find("step_time_s");
    const auto rate = row->figures.find("tokens_per_s_per_gpu");
    if (time != row->figures.end() && rate != row->figures.end())
      timed.push_back({time->second, rate->second, point});
  }
  std::stable_sort(timed.begin(), timed.end(),
                   [](const Timed& a, const Timed& b) { return a.rate > b.rate; });
  return timed;
}

std::string pretty_s(double seconds) { return base::pretty(base::Seconds::of(seconds)); }

std::string pretty_rate(double rate) { return fmt::format("{:.0f}", rate); }

std::string sweep_headline(const sweep::Collected& results, const std::vector<Timed>& fastest) {
  const auto count = [&](PointStatus status) {
    return std::count_if(results.rows.begin(), results.rows.end(),
                         [&](const auto& row) { return row && row->status == status; });
  };
  const auto item = [](const char* what, const std::string& value, const std::string& remark) {
    return fmt::format("<div>{}<b>{}</b><span class=\"muted\">{}</span></div>\n", what, value, remark);
  };
  std::string out = "<div class=\"head\">\n" +
                    item("points", fmt::format("{}", results.rows.size()),
                         fmt::format("{} ok, {} infeasible, {} refused, {} missing", count(PointStatus::kOk),
                                     count(PointStatus::kInfeasible), count(PointStatus::kRefused),
                                     results.rows.size() - results.finished));
  if (!fastest.empty()) {
    for (const auto& [what, timed] :
         {std::pair<const char*, const Timed&>{"fastest, tokens/s/GPU", fastest.front()},
          {"slowest", fastest.back()}})
      out += item(what, pretty_rate(timed.rate),
                  fmt::format("point {}: step {}", timed.point + 1, pretty_s(timed.step_s)));
  }
  return out + "</div>\n";
}

std::string fastest_table(const sweep::Sweep& sweep, const sweep::Collected& results,
                          const std::vector<Timed>& fastest) {
  if (fastest.empty()) return "";
  std::string out = "<h2>Fastest points</h2>\n<div class=\"scroll\"><table><thead><tr><th>point</th>";
  for (const sweep::Axis& axis : sweep.spec().axes) out += "<th>" + escape_html(axis.path) + "</th>";
  out += "<th>tokens/s/GPU</th><th>step</th><th>MFU</th><th class=\"l\">plan</th></tr></thead><tbody>\n";
  for (std::size_t i = 0; i < std::min(kFastestRows, fastest.size()); ++i) {
    const PointResult& result = *results.rows[fastest[i].point];
    const std::vector<std::size_t> values = sweep.grid().values(fastest[i].point);
    out += fmt::format("<tr><td>{}</td>", fastest[i].point + 1);
    for (std::size_t a = 0; a < values.size(); ++a)
      out += "<td>" + escape_html(sweep.spec().axes[a].values[values[a]].label) + "</td>";
    const auto mfu = result.figures.find("mfu");
    out += fmt::format("<td>{}</td><td>{}</td><td>{}</td><td class=\"l\"><code>{}</code></td></tr>\n",
                       pretty_rate(fastest[i].rate), pretty_s(fastest[i].step_s),
                       mfu == result.figures.end() ? "" : fmt::format("{:.1f} %", mfu->second * 100),
                       escape_html(result.plan));
  }
  return out + "</tbody></table></div>\n";
}

/// A picture of tokens a second and GPU over the values of an axis; nothing where there is no point.
std::string line_picture(const sweep::Axis& axis, const std::vector<std::optional<double>>& times,
                         double top) {
  const std::size_t count = times.size();
  const double step = count > 1 ? (kPlotWidth - 2 * kMargin) / static_cast<double>(count - 1) : 0;
  const auto x = [&](std::size_t i) { return kMargin + step * static_cast<double>(i); };
  const auto y = [&](double time) {
    return kPlotHeight - kMargin - time / top * (kPlotHeight - 2.2 * kMargin);
  };
  std::string line;
  std::string dots;
  std::string labels;
  const std::size_t stride = (count + kPlotLabels - 1) / kPlotLabels;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string label = escape_html(axis.values[i].label);
    if (i % stride == 0)
      labels += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>", x(i),
                            kPlotHeight - kMargin + 16,
                            i == 0           ? "start"
                            : i + 1 == count ? "end"
                                             : "middle",
                            label);
    if (!times[i]) continue;
    line += fmt::format("{}{:.1f},{:.1f}", line.empty() ? "" : " ", x(i), y(*times[i]));
    dots += fmt::format(
        "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"#3b7dd8\"><title>{}: {}</title></circle>", x(i),
        y(*times[i]), label, pretty_rate(*times[i]));
  }
  return fmt::format(
      "<svg width=\"{0:.0f}\" height=\"{1:.0f}\" viewBox=\"0 0 {0:.0f} {1:.0f}\" role=\"img\" "
      "aria-label=\"tokens/s/GPU "
      "over {2}\" font-size=\"11\" fill=\"currentColor\"><text x=\"4\" y=\"12\">{2}</text><text x=\"4\" "
      "y=\"{3:.1f}\">{4}"
      "</text><line x1=\"{5}\" y1=\"{6}\" x2=\"{7}\" y2=\"{6}\" stroke=\"#a7adb5\"/><polyline points=\"{8}\" "
      "fill=\"none\" "
      "stroke=\"#3b7dd8\" stroke-width=\"2\"/>{9}{10}</svg>\n",
      kPlotWidth, kPlotHeight, escape_html(axis.path), y(top) - 6, pretty_rate(top), kMargin,
      kPlotHeight - kMargin, kPlotWidth - kMargin, line, dots, labels);
}

std::string axis_section(const sweep::Sweep& sweep, const std::vector<Timed>& fastest) {
  if (fastest.empty()) return "";
  const sweep::SweepSpec& spec = sweep.spec();
  std::vector<std::vector<std::optional<double>>> best;  // [axis][value]
  for (const sweep::Axis& axis : spec.axes) best.emplace_back(axis.values.size());
  double top = 0;
  for (const Timed& timed : fastest) {
    const std::vector<std::size_t> values = sweep.grid().values(timed.point);
    for (std::size_t a = 0; a < values.size(); ++a) {
      std::optional<double>& most = best[a][values[a]];
      if (most) continue;  // the first is the fastest
      most = timed.rate;
      top = std::max(top, timed.rate);
    }
  }
  std::string out =
      "<h2>Along each axis</h2>\n<p class=\"muted\">The most tokens a second and GPU at each value, the "
      "other axes "
      "free.</p>\n<div "
      "class=\"plots\">\n";
  for (std::size_t a = 0; a < spec.axes.size(); ++a) out += line_picture(spec.axes[a], best[a], top);
  return out + "</div>\n";
}

std::string reason_section(const sweep::Collected& results) {
  std::map<std::string, std::size_t> counts;
  for (const auto& row : results.rows) {
    if (row && row->status != PointStatus::kOk)
      ++counts[fmt::format("{}: {}", name(row->status), row->reason)];
  }
  if (counts.empty()) return "";
  std::vector<std::pair<std::string, std::size_t>> sorted(counts.begin(), counts.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string out =
      "<h2>Points without a plan that fits</h2>\n<div class=\"scroll\"><table><thead><tr><th>points</th><th "
      "class=\"l\">why</th></tr></thead><tbody>\n";
  for (std::size_t i = 0; i < std::min(kReasonRows, sorted.size()); ++i)
    out += fmt::format("<tr><td>{}</td><td class=\"l\">{}</td></tr>\n", sorted[i].second,
                       escape_html(sorted[i].first));
  out += "</tbody></table></div>\n";
  if (sorted.size() > kReasonRows)
    out += fmt::format("<p>And {} more reasons, in points.csv.</p>\n", sorted.size() - kReasonRows);
  return out;
}

/// Six digits: what a chart can show.
double rounded(double value) {
  if (value == 0 || !std::isfinite(value)) return value;
  const double scale = std::pow(10.0, 5 - std::floor(std::log10(std::abs(value))));
  return std::isfinite(scale) && scale > 0 ? std::round(value * scale) / scale : value;
}

std::string write_sweep_data(const sweep::Sweep& sweep, const sweep::Collected& results,
                             const std::vector<Timed>& fastest) {
  const sweep::SweepSpec& spec = sweep.spec();
  base::JsonWriter json;
  json.begin_object();
  json.key("sweep");
  json.begin_object();
  json.key("axes");
  json.begin_array();
  for (const sweep::Axis& axis : spec.axes) {
    json.begin_object();
    json.field("path", axis.path);
    json.key("values");
    json.begin_array();
    for (const sweep::AxisValue& value : axis.values) json.value(value.label);
    json.end_array();
    json.end_object();
  }
  json.end_array();
  json.key("figures");
  json.begin_array();
  for (const std::string& figure : spec.figures) json.value(figure);
  json.end_array();
  json.key("points");
  json.begin_array();
  for (const Timed& timed : fastest) {
    std::vector<double> row;
    for (const std::size_t value : sweep.grid().values(timed.point))
      row.push_back(static_cast<double>(value));
    row.push_back(rounded(1.0 / timed.rate));
    const PointResult& result = *results.rows[timed.point];
    for (const std::string& figure : spec.figures) {
      const auto value = result.figures.find(figure);
      row.push_back(value == result.figures.end() ? std::nan("") : rounded(value->second));
    }
    json.inline_array(row);
  }
  json.end_array();
  json.end_object();
  json.end_object();
  return json.text();
}

}  // namespace

std::string write_sweep_page(const Inputs& inputs, const sweep::Sweep& sweep, const sweep::Collected& results,
                             const ChartLibrary& library) {
  const std::vector<Timed> fastest = find_fastest(results);
  const bool plotted = !fastest.empty() && fastest.size() <= kMaxPlottedPoints;
  std::string body = sweep_headline(results, fastest);
  if (plotted)
    body +=
        "<div class=\"chart\" style=\"height:auto\"><h2>Any figure over any axis</h2><p class=\"controls\" "
        "id=\"sweep-controls\"></p></div>\n<div class=\"chart\"><canvas id=\"chart-sweep\" role=\"img\" "
        "aria-label=\"a figure over an axis\"></canvas></div>\n";
  if (fastest.size() > kMaxPlottedPoints)
    body += fmt::format(
        "<p>{} points are more than this page can chart; points.csv and points.sqlite hold them.</p>\n",
        fastest.size());
  body += axis_section(sweep, fastest) + fastest_table(sweep, results, fastest) + reason_section(results);
  return write_page("Sweep: " + sweep.spec().name, inputs, body,
                    plotted ? write_sweep_data(sweep, results, fastest) : "", library);
}

}  // namespace moeplan::report
