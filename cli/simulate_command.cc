#include "cli/simulate_command.h"

#include <chrono>
#include <ostream>

#include <fmt/format.h>

#include "base/config_files.h"
#include "base/diagnostics.h"
#include "base/files.h"
#include "base/json_writer.h"
#include "base/quantity_text.h"
#include "sim/network/sharing.h"
#include "sim/result/json.h"
#include "sim/result/table.h"
#include "sim/schedule/simulate.h"

namespace moeplan::cli {

namespace {

void require(const std::string& value, const char* flag, const char* example) {
  if (value.empty()) throw base::InputError(fmt::format("{} is missing", flag), fmt::format("e.g. {} {}", flag, example));
}

std::unique_ptr<sim::ExpertLoads> load_loads(const SimulateVerbOptions& options, const sim::ModelSpec& model) {
  sim::LoadOptions load;
  load.seed = options.common.seed;
  load.moe_layers = model.moe_layers();
  load.experts = model.experts;
  load.top_k = model.top_k;
  load.map_layers = options.map_layers;
  return sim::load_expert_loads(options.load, load);
}

std::string write_json(const sim::StepResult& result) {
  base::JsonWriter json;
  json.begin_object();
  json.field("schema", "moeplan.simulate/1");
  json.field("moeplan_version", base::version());
  json.field("status", result.memory.fits() ? "ok" : "infeasible");
  sim::write_result_fields(json, result);
  json.end_object();
  return json.text();
}

std::string overflow_text(const sim::MemoryResult& memory) {
  return fmt::format("the plan does not fit: stage {} needs {}, {} more than the {} of a GPU\n", memory.worst_stage, base::pretty(memory.reserved),
                     base::pretty(memory.reserved - memory.limit), base::pretty(memory.limit));
}

void write_stats(const std::string& path, std::chrono::steady_clock::duration elapsed) {
  base::JsonWriter json;
  json.begin_object();
  json.field("seconds", std::chrono::duration<double>(elapsed).count());
  json.end_object();
  base::write_file_atomically(path, json.text());
}

}  // namespace

int run_simulate(const SimulateVerbOptions& options, Console console) {
  require(options.cluster, "--cluster", "hgx-h100-4n");
  require(options.model, "--model", "qwen3-30b-a3b");
  require(options.run, "--run", "pretrain-4k");
  require(options.plan, "--plan", "plan-1.yaml");
  const topology::Cluster cluster = topology::load_cluster(base::resolve_config("clusters", options.cluster));
  const sim::ModelSpec model = sim::load_model(base::resolve_config("models", options.model));
  const sim::RunSpec run = sim::load_run(base::resolve_config("runs", options.run));
  const sim::PlanSpec plan = sim::load_plan(options.plan);
  const sim::Profile profile =
      sim::load_profile(base::resolve_config("profiles", options.profile.empty() ? cluster.profile() : options.profile));
  const std::unique_ptr<sim::ExpertLoads> loads = load_loads(options, model);

  sim::SimulateOptions simulate;
  const bool bound = sim::parse_sharing_mode(options.sharing) == sim::SharingMode::kBound;
  simulate.network = bound ? sim::NetworkMode::kBound : sim::NetworkMode::kFlow;
  simulate.max_iterations = options.iterations;
  simulate.what_if = !options.no_what_if;
  simulate.trace = !options.trace.empty();
  const auto begin = std::chrono::steady_clock::now();
  const sim::Simulation simulation = sim::simulate_step({cluster, profile, model, run, *loads}, plan, simulate);
  if (!options.common.stats.empty()) write_stats(options.common.stats, std::chrono::steady_clock::now() - begin);
  if (simulation.trace) base::write_file_atomically(options.trace, sim::write_chrome_trace(*simulation.trace));

  const sim::StepResult& result = simulation.result;
  std::string text = options.common.json ? write_json(result) : sim::write_table(result);
  if (!options.common.json && !result.memory.fits()) text += "\n" + overflow_text(result.memory);
  if (options.common.output.empty()) {
    console.out << text;
  } else {
    base::write_file_atomically(options.common.output, text);
  }
  return result.memory.fits() ? kOk : kInfeasible;
}

}  // namespace moeplan::cli
