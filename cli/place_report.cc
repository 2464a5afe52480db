#include "cli/place_report.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/files.h"
#include "base/json_writer.h"
#include "base/units.h"
#include "base/quantity_text.h"

namespace moeplan::cli {

namespace {

constexpr double kRounding = 1e-9;

const planner::SolverStudy& chosen_study(const PlaceReport& report) {
  return *std::find_if(report.study.solvers.begin(), report.study.solvers.end(),
                       [&](const planner::SolverStudy& one) { return one.name == report.chosen; });
}

std::string range_text(const planner::IterationRange& range) { return fmt::format("{}:{}", range.first, range.last); }

/// In how many of all windows and layers the chosen solver's largest load is higher than this one's.
std::size_t count_lost(const planner::SolverStudy& one, const planner::SolverStudy& chosen) {
  std::size_t lost = 0;
  for (std::size_t i = 0; i < one.by_case.size(); ++i)
    lost += chosen.by_case[i] > one.by_case[i] * (1 + kRounding) ? 1U : 0U;
  return lost;
}

/// "+13.2 % +- 0.4": how much higher the largest load of this solver is than that of the chosen one.
std::string gain_text(const planner::SolverStudy& one, const planner::SolverStudy& chosen) {
  if (one.name == chosen.name) return "chosen";
  const planner::PairedGain gain = planner::paired_gain(one.by_window, chosen.by_window);
  return one.by_window.size() < 2 ? fmt::format("{:+.2f} %", 100 * gain.mean)
                                  : fmt::format("{:+.2f} % +- {:.2f}", 100 * gain.mean, 100 * gain.half_width);
}

void write_solver(base::JsonWriter& json, const planner::SolverStudy& one, const planner::SolverStudy& chosen) {
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
    json.field("chosen_lost", static_cast<std::int64_t>(count_lost(one, chosen)));
    json.field("cases", static_cast<std::int64_t>(one.by_case.size()));
  }
  json.end_object();
}

void write_layer(base::JsonWriter& json, const PlaceReport& report, std::size_t l) {
  const PlacedLayerReport& layer = report.layers[l];
  const std::vector<std::int32_t>& slots = report.placement.slots[l];
  std::vector<std::int64_t> gpu(slots.size());
  for (std::size_t s = 0; s < gpu.size(); ++s) gpu[s] = static_cast<std::int64_t>(s) / report.shape.slots_per_gpu;
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

}  // namespace

std::string write_place_table(const PlaceReport& report) {
  const planner::SlotShape& shape = report.shape;
  const planner::Study& study = report.study;
  const planner::Window& first = study.windows.front();
  std::string text = fmt::format("load {}\n{} experts in {} slots on {} GPUs ({} a node){}; objective: {}\n", report.load,
                                 report.experts, shape.slots(), shape.gpus, shape.gpus_per_node,
                                 shape.groups > 1 ? fmt::format(", {} groups kept on nodes", shape.groups) : "",
                                 report.objective);
  text += fmt::format("planned on iterations {}, scored on {}{}\n\n", range_text(first.train), range_text(first.score),
                      study.windows.size() > 1
                          ? fmt::format(", and so on: {} windows", study.windows.size())
                          : "");
  const bool times = !report.layer_times.empty();
  text += fmt::format("{:<12} {:>8} {:>8} {:>8} {:>8} {:>11}{} {:>12}  {}\n", "solver", "planned", "gap", "scored", "worst",
                      "duplicates", times ? fmt::format(" {:>12}", "layer time") : "", "chosen lost", "against chosen");
  const planner::SolverStudy& chosen = chosen_study(report);
  for (std::size_t i = 0; i < study.solvers.size(); ++i) {
    const planner::SolverStudy& one = study.solvers[i];
    if (!one.refusal.empty()) {
      text += fmt::format("{:<12} {}\n", one.name, one.refusal);
      continue;
    }
    text += fmt::format("{:<12} {:>8.4f} {:>7.2f}% {:>8.4f} {:>8.4f} {:>11.2f}{} {:>12}  {}\n", one.name, one.planned,
                        100 * one.gap, one.scored, one.worst, one.duplicates,
                        times ? fmt::format(" {:>12}", base::pretty(base::Seconds::of(report.layer_times[i]))) : "",
                        fmt::format("{}/{}", count_lost(one, chosen), one.by_case.size()), gain_text(one, chosen));
  }
  text += fmt::format("{:<12} {:>8.4f} {:>8} {:>8.4f}\n", "lower bound", study.bound, "", study.scored_bound);
  return text +
         "\nplanned, scored: largest load of a GPU over the mean, mean over iterations and layers; worst: of one layer\n"
         "chosen lost: windows x layers in which the chosen solver scored higher than this one\n"
         "against chosen: how much higher this one scored, mean over windows and 90 % interval\n";
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
  for (const planner::SolverStudy& one : report.study.solvers) write_solver(json, one, chosen_study(report));
  json.end_array();
  json.key("layers");
  json.begin_array();
  for (std::size_t l = 0; l < report.layers.size(); ++l) write_layer(json, report, l);
  json.end_array();
  json.end_object();
  return json.text();
}

}  // namespace moeplan::cli
