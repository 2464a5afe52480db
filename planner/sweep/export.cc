#include "planner/sweep/export.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <limits>

#include <fmt/format.h>
#include <unistd.h>

#include "base/csv.h"
#include "base/diagnostics.h"
#include "base/files.h"
#include "base/json_writer.h"
#include "base/quantity_text.h"
#include "planner/sweep/database.h"
#include "planner/sweep/figures.h"

namespace moeplan::sweep {

namespace {

std::optional<double> figure_of(const PointResult& result, const std::string& name) {
  const auto found = result.figures.find(name);
  if (found == result.figures.end()) return std::nullopt;
  return found->second;
}

const std::string& label(const SweepSpec& spec, std::size_t axis, const std::vector<std::size_t>& values) {
  return spec.axes[axis].values[values[axis]].label;
}

std::int64_t count_of(const Collected& results, PointStatus status) {
  return std::count_if(results.rows.begin(), results.rows.end(),
                       [&](const auto& row) { return row && row->status == status; });
}

void write_axes(const SweepSpec& spec, base::JsonWriter& json) {
  json.key("axes");
  json.begin_array();
  for (const Axis& axis : spec.axes) {
    json.begin_object();
    json.field("path", axis.path);
    json.field("group", static_cast<std::int64_t>(axis.group));
    json.key("values");
    json.begin_array();
    for (const AxisValue& value : axis.values) json.value(value.label);
    json.end_array();
    json.end_object();
  }
  json.end_array();
}

void write_figure_list(const SweepSpec& spec, base::JsonWriter& json) {
  json.key("figures");
  json.begin_array();
  for (const std::string& name : spec.figures) {
    const Figure* figure = find_figure(name);
    json.begin_object();
    json.field("name", name);
    json.field("unit", figure->unit);
    json.field("what", figure->what);
    json.end_object();
  }
  json.end_array();
}

void write_counts(const Collected& results, base::JsonWriter& json) {
  json.key("counts");
  json.begin_object();
  json.field("points", static_cast<std::int64_t>(results.rows.size()));
  for (const PointStatus status : {PointStatus::kOk, PointStatus::kInfeasible, PointStatus::kRefused})
    json.field(name(status), count_of(results, status));
  json.field("missing", static_cast<std::int64_t>(results.rows.size() - results.finished));
  json.end_object();
}

void write_point(const Sweep& sweep, std::size_t point, const PointResult& result, base::JsonWriter& json) {
  const SweepSpec& spec = sweep.spec();
  const std::vector<std::size_t> values = sweep.grid().values(point);
  json.begin_object();
  json.field("point", static_cast<std::int64_t>(point) + 1);
  json.key("values");
  json.begin_object();
  for (std::size_t a = 0; a < spec.axes.size(); ++a) json.field(spec.axes[a].path, label(spec, a, values));
  json.end_object();
  json.field("status", name(result.status));
  json.field("reason", result.reason);
  json.field("plan", result.plan);
  json.key("figures");
  json.begin_object();
  for (const std::string& figure : spec.figures) {
    if (const auto value = figure_of(result, figure)) json.field(figure, *value);
  }
  json.end_object();
  json.end_object();
}

std::string sql_name(const std::string& name) {
  std::string quoted = "\"";
  for (const char c : name) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + '"';
}

void fill_database(const Sweep& sweep, const Collected& results, Database& database) {
  const SweepSpec& spec = sweep.spec();
  std::string columns = "point INTEGER PRIMARY KEY";
  for (const Axis& axis : spec.axes) columns += fmt::format(", {} TEXT", sql_name(axis.path));
  columns += ", status TEXT";
  int count = static_cast<int>(spec.axes.size()) + 5;
  for (const Figure& figure : all_figures()) {
    columns += fmt::format(", {} REAL", sql_name(figure.name));
    ++count;
  }
  columns += ", plan TEXT, reason TEXT, plan_yaml TEXT";
  database.execute("BEGIN");
  database.execute(fmt::format("CREATE TABLE points ({})", columns));
  std::string marks = "?";
  for (int c = 1; c < count; ++c) marks += ", ?";
  {
    Statement row = database.prepare(fmt::format("INSERT INTO points VALUES ({})", marks));
    for (std::size_t point = 0; point < results.rows.size(); ++point) {
      if (!results.rows[point]) continue;
      const PointResult& result = *results.rows[point];
      const std::vector<std::size_t> values = sweep.grid().values(point);
      int c = 0;
      row.bind(++c, static_cast<std::int64_t>(point) + 1);
      for (std::size_t a = 0; a < spec.axes.size(); ++a) row.bind(++c, label(spec, a, values));
      row.bind(++c, std::string(name(result.status)));
      for (const Figure& figure : all_figures()) row.bind(++c, figure_of(result, figure.name));
      row.bind(++c, result.plan);
      row.bind(++c, result.reason);
      row.bind(++c, result.plan_yaml);
      row.step();
    }
  }
  database.execute("COMMIT");
}

/// Most tokens a second and GPU at each value of each axis; none where no point is ok. Points may differ in
/// batch and GPUs, so that their step times do not compare. Shape: [axis][value]
std::vector<std::vector<std::optional<double>>> best_rates(const Sweep& sweep, const Collected& results) {
  std::vector<std::vector<std::optional<double>>> best;
  for (const Axis& axis : sweep.spec().axes) best.emplace_back(axis.values.size());
  for (std::size_t point = 0; point < results.rows.size(); ++point) {
    const auto& row = results.rows[point];
    if (!row || row->status != PointStatus::kOk) continue;
    const auto rate = figure_of(*row, "tokens_per_s_per_gpu");
    const std::vector<std::size_t> values = sweep.grid().values(point);
    for (std::size_t a = 0; rate && a < values.size(); ++a) {
      std::optional<double>& most = best[a][values[a]];
      if (!most || *rate > *most) most = rate;
    }
  }
  return best;
}

std::optional<std::size_t> fastest_point(const Collected& results) {
  std::optional<std::size_t> fastest;
  double most = 0.0;
  for (std::size_t point = 0; point < results.rows.size(); ++point) {
    const auto& row = results.rows[point];
    if (!row || row->status != PointStatus::kOk) continue;
    const auto rate = figure_of(*row, "tokens_per_s_per_gpu");
    if (!rate || !(*rate > most)) continue;
    most = *rate;
    fastest = point;
  }
  return fastest;
}

}  // namespace

std::string write_points_csv(const Sweep& sweep, const Collected& results) {
  const SweepSpec& spec = sweep.spec();
  std::string out = "point";
  for (const Axis& axis : spec.axes) out += ',' + base::csv_cell(axis.path);
  out += ",status";
  for (const std::string& figure : spec.figures) out += ',' + figure;
  out += ",plan,reason\n";
  for (std::size_t point = 0; point < results.rows.size(); ++point) {
    if (!results.rows[point]) continue;
    const PointResult& result = *results.rows[point];
    const std::vector<std::size_t> values = sweep.grid().values(point);
    out += fmt::format("{}", point + 1);
    for (std::size_t a = 0; a < spec.axes.size(); ++a) out += ',' + base::csv_cell(label(spec, a, values));
    out += fmt::format(",{}", name(result.status));
    for (const std::string& figure : spec.figures) {
      const auto value = figure_of(result, figure);
      out += value ? fmt::format(",{}", *value) : ",";
    }
    out += ',' + base::csv_cell(result.plan) + ',' + base::csv_cell(result.reason) + '\n';
  }
  return out;
}

std::string write_points_json(const Sweep& sweep, const Collected& results) {
  base::JsonWriter json;
  json.begin_object();
  json.field("schema", "moeplan.sweep/1");
  json.field("moeplan_version", base::version());
  json.field("name", sweep.spec().name);
  json.field("verb", name(sweep.spec().verb));
  json.field("complete", results.is_complete());
  write_counts(results, json);
  write_axes(sweep.spec(), json);
  write_figure_list(sweep.spec(), json);
  json.key("points");
  json.begin_array();
  for (std::size_t point = 0; point < results.rows.size(); ++point) {
    if (results.rows[point]) write_point(sweep, point, *results.rows[point], json);
  }
  json.end_array();
  json.end_object();
  return json.text();
}

void write_points_database(const Sweep& sweep, const Collected& results, const std::string& path) {
  const std::string temporary = fmt::format("{}.{}.tmp", path, ::getpid());
  std::remove(temporary.c_str());
  try {
    Database database(temporary, Database::Mode::kNoJournal);
    fill_database(sweep, results, database);
  } catch (const DatabaseError& error) {
    std::remove(temporary.c_str());
    throw base::EnvironmentError(fmt::format("{}: cannot be written: {}", path, error.what()));
  }
  std::error_code code;
  std::filesystem::rename(temporary, path, code);
  if (code) throw base::EnvironmentError(fmt::format("{}: cannot be written: {}", path, code.message()));
}

std::string write_summary(const Sweep& sweep, const Collected& results) {
  const SweepSpec& spec = sweep.spec();
  std::string out =
      fmt::format("{}: {} of {} points: {} ok, {} infeasible, {} refused\n", spec.name, results.finished,
                  results.rows.size(), count_of(results, PointStatus::kOk),
                  count_of(results, PointStatus::kInfeasible), count_of(results, PointStatus::kRefused));
  const auto fastest = fastest_point(results);
  if (!fastest) return out;
  const PointResult& best = *results.rows[*fastest];
  const std::vector<std::size_t> values = sweep.grid().values(*fastest);
  out += fmt::format("\nfastest point {}: {:.0f} tokens/s/GPU, step {}, {}\n", *fastest + 1,
                     *figure_of(best, "tokens_per_s_per_gpu"),
                     base::pretty(base::Seconds::of(*figure_of(best, "step_time_s"))), best.plan);
  const auto rates = best_rates(sweep, results);
  for (std::size_t a = 0; a < spec.axes.size(); ++a) {
    out += fmt::format("\n{}\n", spec.axes[a].path);
    for (std::size_t v = 0; v < spec.axes[a].values.size(); ++v) {
      const auto& rate = rates[a][v];
      out += fmt::format("  {:<32} {:>10}{}\n", spec.axes[a].values[v].label,
                         rate ? fmt::format("{:.0f}", *rate) : "-", v == values[a] ? "  *" : "");
    }
  }
  return out + "\nmost tokens/s/GPU at each value, other axes free; * is of the fastest point\n";
}

}  // namespace moeplan::sweep
