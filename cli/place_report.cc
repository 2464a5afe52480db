#include "cli/place_report.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "base/files.h"
#include "base/json_writer.h"

namespace moeplan::cli {

namespace {

constexpr double kRounding = 1e-9;
constexpr std::size_t kNameWidth = 12;

std::string range_text(const planner::IterationRange& range) {
  return fmt::format("{}:{}", range.first, range.last);
}

/// What solvers are compared by, case by case: simulated layer times where there are any, else max/mean.
struct Cases {
  const std::vector<double>& one;
  const std::vector<double>& chosen;

  /// In how many the chosen solver is the worse.
  std::size_t lost() const {
    std::size_t count = 0;
    for (std::size_t i = 0; i < one.size(); ++i) count += chosen[i] > one[i] * (1 + kRounding) ? 1U : 0U;
    return count;
  }
};

std::size_t index_of(const PlaceReport& report, const std::string& solver) {
  std::size_t i = 0;
  while (report.study.solvers[i].name != solver) ++i;
  return i;
}

Cases cases_of(const PlaceReport& report, std::size_t i) {
  const std::size_t chosen = index_of(report, report.chosen);
  if (report.times.empty()) return {report.study.solvers[i].by_case, report.study.solvers[chosen].by_case};
  return {report.times[i], report.times[chosen]};
}

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// "+13.2 % +- 0.4": how much worse this solver is than the chosen one.
std::string gain_text(const PlaceReport& report, std::size_t i) {
  const planner::SolverStudy& one = report.study.solvers[i];
  if (one.name == report.chosen) return "chosen";
  const Cases cases = cases_of(report, i);
  if (!report.times.empty())
    return fmt::format("{:+.2f} %", 100 * (mean_of(cases.one) / mean_of(cases.chosen) - 1));
  const std::size_t chosen = index_of(report, report.chosen);
  const planner::PairedGain gain =
      planner::paired_gain(one.by_window, report.study.solvers[chosen].by_window);
  return one.by_window.size() < 2
             ? fmt::format("{:+.2f} %", 100 * gain.mean)
             : fmt::format("{:+.2f} % +- {:.2f}", 100 * gain.mean, 100 * gain.half_width);
}

void write_solver(base::JsonWriter& json, const PlaceReport& report, std::size_t i) {
  const planner::SolverStudy& one = report.study.solvers[i];
  json.begin_object();
  json.field("solver", one.name);
  if (!one.refusal.empty()) {
    json.field("why", one.refusal);
  } else {
    json.field("planned", one.planned);
    json.field("gap", one.gap);
    json.field("scored", one.scored);
    json.field("worst", one.worst);
    json.field("duplicates", one.duplicates);
    json.field("avoidable_duplicates", one.avoidable);
    if (one.own_cost) json.field("own_cost_s", *one.own_cost);
    if (one.own_cost_start) json.field("own_cost_unplanned_s", *one.own_cost_start);
    if (!report.times.empty()) json.field("layer_time_s", mean_of(report.times[i]));
    json.field("chosen_lost", static_cast<std::int64_t>(cases_of(report, i).lost()));
    json.field("cases", static_cast<std::int64_t>(cases_of(report, i).one.size()));
  }
  json.end_object();
}

void write_layer(base::JsonWriter& json, const PlaceReport& report, std::size_t l) {
  const PlacedLayerReport& layer = report.layers[l];
  const std::vector<std::int32_t>& slots = report.placement.slots[l];
  std::vector<std::int64_t> gpu(slots.size());
  for (std::size_t s = 0; s < gpu.size(); ++s)
    gpu[s] = static_cast<std::int64_t>(s) / report.shape.slots_per_gpu;
  json.begin_object();
  json.field("layer", static_cast<std::int64_t>(l));
  json.key("physical_to_logical");
  json.inline_array(std::vector<std::int64_t>(slots.begin(), slots.end()));
  json.key("gpu_of_slot");
  json.inline_array(gpu);
  json.key("split");
  json.inline_array(layer.split);
  json.field("max_over_mean", layer.max_over_mean);
  json.key("layer_time_s");
  if (layer.layer_time_s > 0) {
    json.value(layer.layer_time_s);
  } else {
    json.null();
  }
  json.field("lower_bound", layer.lower_bound);
  json.key("moved_bytes");
  if (layer.moved_bytes >= 0) {
    json.value(layer.moved_bytes);
  } else {
    json.null();
  }
  json.end_object();
}

/// What published planners believed, by their own models.
std::string own_costs_text(const planner::Study& study, std::size_t width) {
  std::string text;
  for (const planner::SolverStudy& one : study.solvers) {
    if (!one.own_cost) continue;
    if (text.empty()) text = "\na layer by the planner's own model, of its placement and without a plan:\n";
    text +=
        fmt::format("{:<{}} {:>12} {:>12}\n", one.name, width, fmt::format("{:.4f} ms", 1e3 * *one.own_cost),
                    fmt::format("{:.4f} ms", 1e3 * one.own_cost_start.value_or(0.0)));
  }
  return text;
}

}  // namespace

std::string write_place_table(const PlaceReport& report) {
  const planner::SlotShape& shape = report.shape;
  const planner::Study& study = report.study;
  const planner::Window& first = study.windows.front();
  std::string text = fmt::format(
      "load {}\n{} experts in {} slots on {} GPUs ({} a node){}; objective: {}\n", report.load,
      report.experts, shape.slots(), shape.gpus, shape.gpus_per_node,
      shape.groups > 1 ? fmt::format(", {} groups kept on nodes", shape.groups) : "", report.objective);
  text += fmt::format(
      "planned on iterations {}, scored on {}{}\n\n", range_text(first.train), range_text(first.score),
      study.windows.size() > 1 ? fmt::format(", and so on: {} windows", study.windows.size()) : "");
  const bool times = !report.times.empty();
  std::size_t width = kNameWidth;
  for (const planner::SolverStudy& one : study.solvers) width = std::max(width, one.name.size());
  text += fmt::format("{:<{}} {:>8} {:>8} {:>8} {:>8} {:>11}{} {:>12}  {}\n", "solver", width, "planned",
                      "gap", "scored", "worst", "duplicates",
                      times ? fmt::format(" {:>12}", "layer time") : "", "chosen lost", "against chosen");
  for (std::size_t i = 0; i < study.solvers.size(); ++i) {
    const planner::SolverStudy& one = study.solvers[i];
    if (!one.refusal.empty()) {
      text += fmt::format("{:<{}} {}\n", one.name, width, one.refusal);
      continue;
    }
    text += fmt::format(
        "{:<{}} {:>8.4f} {:>7.2f}% {:>8.4f} {:>8.4f} {:>11.2f}{} {:>12}  {}\n", one.name, width, one.planned,
        100 * one.gap, one.scored, one.worst, one.duplicates,
        times ? fmt::format(" {:>12}", fmt::format("{:.4f} ms", 1e3 * mean_of(report.times[i]))) : "",
        fmt::format("{}/{}", cases_of(report, i).lost(), cases_of(report, i).one.size()),
        gain_text(report, i));
  }
  text += fmt::format("{:<{}} {:>8.4f} {:>8} {:>8.4f}\n", "lower bound", width, study.bound, "",
                      study.scored_bound);
  text += own_costs_text(study, width);
  text +=
      "\nplanned, scored: largest load of a GPU over the mean, mean over iterations and layers; worst: of "
      "one layer\n";
  return text +
         (times ? "chosen lost: layers whose simulated time is longer with the chosen solver than with this "
                  "one\n"
                  "against chosen: how much longer this one's layers take\n"
                : "chosen lost: windows x layers in which the chosen solver scored higher than this one\n"
                  "against chosen: how much higher this one scored, mean over windows and 90 % interval\n");
}

std::string write_place_json(const PlaceReport& report) {
  base::JsonWriter json;
  json.begin_object();
  json.field("schema", "moeplan.place/1");
  json.field("moeplan_version", base::version());
  json.field("objective", report.objective);
  json.field("solver", report.chosen);
  json.field("windows", static_cast<std::int64_t>(report.study.windows.size()));
  json.field("lower_bound", report.study.bound);
  json.field("scored_lower_bound", report.study.scored_bound);
  json.key("solvers");
  json.begin_array();
  for (std::size_t i = 0; i < report.study.solvers.size(); ++i) write_solver(json, report, i);
  json.end_array();
  json.key("layers");
  json.begin_array();
  for (std::size_t l = 0; l < report.layers.size(); ++l) write_layer(json, report, l);
  json.end_array();
  json.end_object();
  return json.text();
}

}  // namespace moeplan::cli
