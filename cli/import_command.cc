#include "cli/import_command.h"

#include <filesystem>
#include <map>
#include <optional>
#include <ostream>

#include <fmt/format.h>

#include "base/config_files.h"
#include "base/diagnostics.h"
#include "base/document.h"
#include "base/files.h"
#include "base/json_writer.h"
#include "planner/export/checkpoint_permutation.h"
#include "planner/export/plan_import.h"
#include "planner/export/megatron_run.h"
#include "planner/export/model_config.h"
#include "planner/export/placement_import.h"

namespace moeplan::cli {

namespace {

std::map<std::string, std::string> read_defines(const std::vector<std::string>& defines) {
  std::map<std::string, std::string> variables;
  for (const std::string& define : defines) {
    const std::size_t equals = define.find('=');
    if (equals == std::string::npos || equals == 0)
      throw base::InputError(fmt::format("--define: found \"{}\", expected NAME=VALUE", define));
    variables[define.substr(0, equals)] = define.substr(equals + 1);
  }
  return variables;
}

void write_list(base::JsonWriter& json, const char* key, const std::vector<std::string>& lines) {
  json.key(key);
  json.begin_array();
  for (const std::string& line : lines) json.value(line);
  json.end_array();
}

void tell_lines(const ImportOptions& options, Console console, const std::vector<std::string>& not_modelled,
                const std::vector<std::string>& notes) {
  if (options.common.quiet) return;
  for (const std::string& line : not_modelled) console.err << "not modelled: " << line << '\n';
  for (const std::string& line : notes) console.err << "note: " << line << '\n';
}

void tell(const ImportOptions& options, Console console, const planner::PlanImport& imported,
          const std::string& plan_text) {
  if (options.common.json) {
    base::JsonWriter json;
    json.begin_object();
    json.field("schema", "moeplan.import/1");
    json.field("moeplan_version", base::version());
    json.field("kind", "plan");
    json.field("plan", plan_text);
    json.field("gpus", imported.gpus);
    json.field("global_batch", imported.global_batch);
    json.field("seq_len", imported.seq_len);
    write_list(json, "not_modelled", imported.not_modelled);
    write_list(json, "notes", imported.notes);
    json.field("without_influence", imported.without_influence);
    json.end_object();
    console.out << json.text();
    return;
  }
  if (options.common.output.empty()) console.out << plan_text;
  tell_lines(options, console, imported.not_modelled, imported.notes);
}

int import_plan(const ImportOptions& options, Console console) {
  std::optional<sim::ModelSpec> model;
  if (!options.model.empty()) model = sim::load_model(base::resolve_config("models", options.model));
  planner::PlanImportOptions read;
  read.file = options.file;
  read.gpus = options.gpus;
  read.model = model ? &*model : nullptr;
  read.variables = read_defines(options.defines);
  planner::PlanImport imported = planner::import_plan(base::read_text_file(options.file), read);
  if (!options.permutation.empty()) {
    if (!model) throw base::InputError("--permutation needs --model: the file names layers of it");
    imported.plan.placement =
        planner::read_checkpoint_permutation(base::load_document(options.permutation), *model);
  }
  const std::string text = sim::write_plan(imported.plan);
  if (!options.common.output.empty()) base::write_file_atomically(options.common.output, text);
  tell(options, console, imported, text);
  return kOk;
}

int import_run(const ImportOptions& options, Console console) {
  const planner::MegatronRun imported = planner::import_megatron_run(
      base::read_text_file(options.file), options.file, read_defines(options.defines));
  const std::string text = sim::write_run(imported.run);
  if (!options.common.output.empty()) base::write_file_atomically(options.common.output, text);
  if (options.common.json) {
    base::JsonWriter json;
    json.begin_object();
    json.field("schema", "moeplan.import/1");
    json.field("moeplan_version", base::version());
    json.field("kind", "run");
    json.field("run", text);
    write_list(json, "not_modelled", imported.not_modelled);
    write_list(json, "notes", imported.notes);
    json.end_object();
    console.out << json.text();
    return kOk;
  }
  if (options.common.output.empty()) console.out << text;
  tell_lines(options, console, imported.not_modelled, imported.notes);
  return kOk;
}

int import_model(const ImportOptions& options, Console console) {
  const sim::ModelSpec model = sim::load_model(options.file);
  const std::string text = planner::write_model_config(model);
  if (options.common.output.empty() || options.common.json) {
    console.out << text;
  }
  if (!options.common.output.empty()) base::write_file_atomically(options.common.output, text);
  if (!options.common.quiet) {
    for (const std::string& note : model.notes) console.err << "note: " << note << '\n';
  }
  return kOk;
}

void tell_placement(const ImportOptions& options, Console console, const planner::PlacementImport& imported,
                    const std::string& text) {
  if (options.common.json) {
    base::JsonWriter json;
    json.begin_object();
    json.field("schema", "moeplan.import/1");
    json.field("moeplan_version", base::version());
    json.field("kind", "placement");
    json.field("format", imported.kind);
    json.field(options.plan.empty() ? "placement" : "plan", text);
    json.field("experts", imported.experts);
    json.field("slots", imported.slots);
    json.field("layers", imported.layers);
    json.key("ep");
    if (imported.ranks > 0)
      json.value(imported.ranks);
    else
      json.null();
    write_list(json, "notes", imported.notes);
    json.end_object();
    console.out << json.text();
    return;
  }
  if (options.common.output.empty()) console.out << text;
  if (options.common.quiet) return;
  console.err << fmt::format("{}: {} experts in {} slots of {} layers\n", imported.kind, imported.experts,
                             imported.slots, imported.layers);
  for (const std::string& note : imported.notes) console.err << "note: " << note << '\n';
}

int import_placement(const ImportOptions& options, Console console) {
  std::optional<sim::ModelSpec> model;
  if (!options.model.empty()) model = sim::load_model(base::resolve_config("models", options.model));
  std::optional<sim::PlanSpec> plan;
  if (!options.plan.empty()) plan = sim::load_plan(options.plan);
  if (plan && options.ep > 0 && plan->layout.ep != options.ep)
    throw base::InputError(fmt::format("--ep {}: {} has EP {}", options.ep, options.plan, plan->layout.ep));
  planner::PlacementImportOptions read;
  read.file = options.file;
  read.model = model ? &*model : nullptr;
  read.ranks = plan ? plan->layout.ep : options.ep;
  const planner::PlacementImport imported =
      planner::import_placement(base::read_text_file(options.file), read);
  std::string text = sim::write_placement(imported.placement);
  if (plan) {
    plan->placement = imported.placement;
    text = sim::write_plan(*plan);
  }
  if (!options.common.output.empty()) base::write_file_atomically(options.common.output, text);
  tell_placement(options, console, imported, text);
  return kOk;
}

}  // namespace

int run_import(const ImportOptions& options, Console console) {
  if (options.kind == "plan") return import_plan(options, console);
  if (options.kind == "model") return import_model(options, console);
  if (options.kind == "run") return import_run(options, console);
  if (options.kind == "placement") return import_placement(options, console);
  if (options.kind == "cluster" || options.kind == "load") {
    throw base::InputError(
        fmt::format("import {}: not in this release, expected plan, run, model or placement", options.kind),
        options.kind == "load" ? "--load reads the log formats themselves" : "");
  }
  throw base::InputError(
      fmt::format("import: found \"{}\", expected plan, run, model or placement", options.kind));
}

}  // namespace moeplan::cli
