#include "planner/sweep/tables.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/csv.h"
#include "base/files.h"
#include "base/json_writer.h"
#include "base/quantity_text.h"

namespace moeplan::planner {

namespace {

std::string number_text(double value) { return std::isnan(value) ? std::string() : fmt::format("{}", value); }

/// Tokens a second and GPU, what points of different batches and GPU counts are compared by; below 0: none.
double rate_of(const SweepRow& row) {
  static const std::size_t at = column_of("tokens_per_s_per_gpu");
  return row.status == "ok" ? row.figures[at] : -1.0;
}

std::string counts_line(const SweepResult& result) {
  std::map<std::string, int> counts;
  for (const SweepRow& row : result.rows) ++counts[row.status];
  std::string text = fmt::format("{} points", result.rows.size());
  for (const auto& [status, count] : counts) text += fmt::format(", {} {}", count, status);
  return text + "\n";
}

}  // namespace

std::string write_sweep_csv(const SweepSpec& spec, const SweepResult& result) {
  std::string text = "point";
  for (const SweepKey* key : spec.keys()) text += "," + base::csv_cell(key->name);
  text += ",status,reason,plan";
  for (const std::string& column : sweep_columns(spec.verb)) text += "," + column;
  text += "\n";
  for (std::size_t i = 0; i < result.points.size(); ++i) {
    const SweepRow& row = result.rows[i];
    text += fmt::format("{}", result.points[i].number);
    for (const std::string& value : point_texts(spec, result.points[i])) text += "," + base::csv_cell(value);
    for (const std::string* cell : {&row.status, &row.reason, &row.plan}) text += "," + base::csv_cell(*cell);
    for (const double figure : row.figures) text += "," + number_text(figure);
    text += "\n";
  }
  return text;
}

std::string write_sweep_json(const SweepSpec& spec, const SweepResult& result) {
  base::JsonWriter json;
  json.begin_object();
  json.field("schema", "moeplan.sweep/1");
  json.field("moeplan_version", base::version());
  json.field("name", spec.name);
  json.field("verb", spec.verb == SweepVerb::kPlan ? "plan" : "simulate");
  json.field("seed", static_cast<std::int64_t>(spec.seed));
  json.key("axes");
  json.begin_array();
  for (const SweepKey* key : spec.keys()) {
    json.begin_object();
    json.field("key", key->name);
    json.key("values");
    json.begin_array();
    for (const std::string& text : key->texts) json.value(text);
    json.end_array();
    json.end_object();
  }
  json.end_array();
  json.key("points");
  json.begin_array();
  const std::vector<const SweepKey*> keys = spec.keys();
  const std::vector<std::string>& columns = sweep_columns(spec.verb);
  for (std::size_t i = 0; i < result.points.size(); ++i) {
    const SweepRow& row = result.rows[i];
    const std::vector<std::string> texts = point_texts(spec, result.points[i]);
    json.begin_object();
    json.field("point", static_cast<std::int64_t>(result.points[i].number));
    json.key("at");
    json.begin_object();
    for (std::size_t k = 0; k < keys.size(); ++k) json.field(keys[k]->name, texts[k]);
    json.end_object();
    json.field("status", row.status);
    if (!row.reason.empty()) json.field("reason", row.reason);
    if (!row.plan.empty()) json.field("plan", row.plan);
    json.key("figures");
    json.begin_object();
    for (std::size_t c = 0; c < columns.size(); ++c) {
      if (!std::isnan(row.figures[c])) json.field(columns[c], row.figures[c]);
    }
    json.end_object();
    json.end_object();
  }
  json.end_array();
  json.end_object();
  return json.text();
}

std::string describe_sweep(const SweepSpec& spec, const SweepResult& result) {
  std::string text = counts_line(result);
  const auto by_rate = [](const SweepRow& a, const SweepRow& b) { return rate_of(a) < rate_of(b); };
  const auto best = std::max_element(result.rows.begin(), result.rows.end(), by_rate);
  if (best == result.rows.end() || best->status != "ok") return text + "no point is ok\n";
  text += fmt::format("most tokens a second and GPU: {:.0f}, step {} ({})\n  at {}\n", rate_of(*best), base::pretty(base::Seconds::of(best->figures.front())),
                      best->plan, describe_point(spec, result.points[static_cast<std::size_t>(best - result.rows.begin())]));
  std::size_t k = 0;
  for (const SweepKey* key : spec.keys()) {
    text += fmt::format("\n{:<40} {:>14} {:>14} {:>8}\n", key->name, "best tok/s/GPU", "mean tok/s/GPU", "ok");
    for (const std::string& value : key->texts) {
      double most = 0, sum = 0;
      int ok = 0, all = 0;
      for (std::size_t i = 0; i < result.rows.size(); ++i) {
        if (point_texts(spec, result.points[i])[k] != value) continue;
        ++all;
        if (result.rows[i].status != "ok") continue;
        ++ok;
        most = std::max(most, rate_of(result.rows[i]));
        sum += rate_of(result.rows[i]);
      }
      text += fmt::format("  {:<38} {:>14} {:>14} {:>8}\n", value, ok > 0 ? fmt::format("{:.0f}", most) : "-", ok > 0 ? fmt::format("{:.0f}", sum / ok) : "-",
                          fmt::format("{}/{}", ok, all));
    }
    ++k;
  }
  return text;
}

}  // namespace moeplan::planner
