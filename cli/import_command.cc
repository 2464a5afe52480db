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
#include "topology/cluster_import.h"

namespace moeplan::cli {

namespace {

/// Texts "NAME=VALUE" of an option.
std::map<std::string, std::string> read_pairs(const char* option, const std::vector<std::string>& texts) {
  std::map<std::string, std::string> pairs;
  for (const std::string& text : texts) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) throw base::InputError(fmt::format("{}: found \"{}\", expected NAME=VALUE", option, text));
    pairs[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return pairs;
}

std::map<std::string, std::string> read_defines(const std::vector<std::string>& defines) { return read_pairs("--define", defines); }

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

int import_cluster(const ImportOptions& options, Console console) {
  std::optional<topology::ClusterSpec> like;
  if (!options.like.empty()) like = topology::read_cluster_spec(base::load_document(base::resolve_config("clusters", options.like)));
  topology::DraftAdditions additions;
  additions.stated = read_pairs("--set", options.stated);
  additions.like = like ? &*like : nullptr;
  const topology::NodeDraft draft = topology::read_node_topology(base::read_text_file(options.file), options.file);
  const topology::ClusterDraft cluster = topology::import_cluster(draft, options.file, additions);
  if (!options.common.output.empty()) base::write_file_atomically(options.common.output, cluster.text);
  if (options.common.json) {
    base::JsonWriter json;
    json.begin_object();
    json.field("schema", "moeplan.import/1");
    json.field("moeplan_version", base::version());
    json.field("kind", "cluster");
    json.field("origin", draft.origin);
    json.field("cluster", cluster.text);
    write_list(json, "unknown", cluster.unknown);
    write_list(json, "notes", draft.notes);
    json.end_object();
    console.out << json.text();
    return kOk;
  }
  if (options.common.output.empty()) console.out << cluster.text;
  if (options.common.quiet) return kOk;
  for (const std::string& path : cluster.unknown) console.err << "unknown: " << path << '\n';
  for (const std::string& note : draft.notes) console.err << "note: " << note << '\n';
  if (!cluster.unknown.empty()) console.err << "hint: state them in the file or with --set PATH=VALUE, or take them from another cluster with --like\n";
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
  if (options.kind == "cluster") return import_cluster(options, console);
  if (options.kind == "placement") return import_placement(options, console);
  if (options.kind == "load") {
    throw base::InputError("import load: not in this release, expected plan, run, model, cluster or placement",
                           "--load reads the log formats themselves");
  }
  throw base::InputError(fmt::format("import: found \"{}\", expected plan, run, model, cluster or placement", options.kind));
}

}  // namespace moeplan::cli
