#include "cli/replay_report.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/files.h"
#include "base/json_writer.h"
#include "base/quantity_text.h"

namespace moeplan::cli {

namespace {

/// How much longer `other` takes: what `track` gains over it.
double gain_over(const planner::ReplayTrack& other, const planner::ReplayTrack& track) {
  return other.mean_step() / track.mean_step() - 1.0;
}

std::string percent(double fraction) { return fmt::format("{:+.2f} %", 100 * fraction); }

/// Quoted where a comma or quote makes it necessary.
std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

void write_track(base::JsonWriter& json, const planner::ReplayResult& result,
                 const planner::ReplayTrack& track) {
  json.begin_object();
  json.field("policy", track.name);
  json.field("replan", track.rule);
  json.field("solver", track.solver);
  json.field("predictor", track.predictor);
  json.field("layer_time_s", track.mean_layer().s());
  json.field("step_time_s", track.mean_step().s());
  json.field("max_over_mean", track.mean_max_over_mean());
  json.field("gain_over_contiguous", gain_over(result.contiguous(), track));
  json.field("gain_over_planned", gain_over(result.planned(), track));
  json.field("gain_over_oracle", gain_over(result.oracle(), track));
  json.field("plannings", track.plannings);
  json.field("changes", track.changes());
  json.field("layers_changed", track.layers_changed());
  json.field("moved_bytes", track.moved().count());
  json.field("migration_s", track.migration().s());
  json.field("planning_s", track.planning().s());
  json.field("replicas_s", track.mean_replicas().s());
  json.end_object();
}

}  // namespace

std::string write_replay_table(const ReplayReport& report) {
  const planner::ReplayResult& r = report.result;
  std::string text = fmt::format(
      "load {}\n{} layers in {} slots on {} GPUs, {} micro-batches a step; iterations {} to {} are scored{}\n"
      "a step takes {} beside what placement changes\n\n",
      report.load, r.layers, r.shape.slots(), r.shape.gpus, r.micro_batches, r.first, r.last - 1,
      r.stride > 1 ? fmt::format(", each for {} steps", r.stride) : "", base::pretty(r.rest));
  std::size_t width = 10;
  for (const planner::ReplayTrack& track : r.tracks) width = std::max(width, track.name.size());
  text += fmt::format("{:<{}} {:>8} {:>11} {:>11} {:>11} {:>10} {:>10} {:>8} {:>10} {:>10}\n", "policy",
                      width, "max/mean", "layer", "step", "contiguous", "planned", "oracle", "changes",
                      "moved", "migration");
  for (const planner::ReplayTrack& track : r.tracks) {
    text += fmt::format(
        "{:<{}} {:>8.4f} {:>11} {:>11} {:>11} {:>10} {:>10} {:>8} {:>10} {:>10}\n", track.name, width,
        track.mean_max_over_mean(), fmt::format("{:.4f} ms", track.mean_layer().ms()),
        fmt::format("{:.2f} ms", track.mean_step().ms()), percent(gain_over(r.contiguous(), track)),
        percent(gain_over(r.planned(), track)), percent(gain_over(r.oracle(), track)),
        fmt::format("{}/{}", track.changes(), track.plannings),
        track.moved().count() > 0 ? base::pretty(track.moved()) : "0",
        fmt::format("{:.2f} s", track.migration().s()));
  }
  return text +
         "\nlayer: routed part of a layer, one micro-batch; step: with migration, planning and replicas\n"
         "contiguous, planned, oracle: how much longer a step takes with those\n"
         "changes: iterations before which layers changed / how often the solver was asked\n";
}

std::string write_replay_json(const ReplayReport& report) {
  const planner::ReplayResult& r = report.result;
  base::JsonWriter json;
  json.begin_object();
  json.field("schema", "moeplan.replay/1");
  json.field("moeplan_version", base::version());
  json.field("status", r.memory.fits() ? "ok" : "infeasible");
  json.field("load", report.load);
  json.field("layers", r.layers);
  json.field("gpus", r.shape.gpus);
  json.field("slots_per_gpu", r.shape.slots_per_gpu);
  json.field("micro_batches", r.micro_batches);
  json.field("first_iteration", r.first);
  json.field("iterations", r.last - r.first);
  json.field("stride", r.stride);
  json.field("rest_s", r.rest.s());
  json.key("policies");
  json.begin_array();
  for (const planner::ReplayTrack& track : r.tracks) write_track(json, r, track);
  json.end_array();
  json.end_object();
  return json.text();
}

std::string write_replay_csv(const planner::ReplayResult& result) {
  std::string text =
      "policy,iteration,max_over_mean,layer_time_s,routed_s,replicas_s,migration_s,planning_s,step_time_s,"
      "layers_"
      "changed,moved_bytes\n";
  for (const planner::ReplayTrack& track : result.tracks) {
    for (const planner::ReplayRow& row : track.rows) {
      text += fmt::format("{},{},{},{},{},{},{},{},{},{},{}\n", csv_cell(track.name), row.iteration,
                          row.max_over_mean, row.layer_time.s(), row.routed.s(), row.replicas.s(),
                          row.migration.s(), row.planning.s(), row.step_time.s(), row.layers_changed,
                          row.moved.count());
    }
  }
  return text;
}

}  // namespace moeplan::cli
