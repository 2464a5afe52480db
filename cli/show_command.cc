#include "cli/show_command.h"

#include <filesystem>
#include <ostream>

#include "base/config_files.h"
#include "base/diagnostics.h"
#include "base/files.h"
#include "base/json_writer.h"
#include "sim/cost/describe_profile.h"
#include "sim/workload/loads.h"
#include "sim/workload/model.h"
#include "sim/workload/plan.h"
#include "sim/workload/run.h"
#include "topology/cluster.h"

namespace moeplan::cli {

namespace {

/// What `load` holds. A file states its experts itself; a generator takes them from the options.
std::string describe_load(const ShowOptions& options) {
  sim::LoadOptions load;
  load.seed = options.common.seed;
  if (!std::filesystem::exists(options.file)) {
    load.experts = options.experts > 0 ? options.experts : 128;
    load.top_k = options.top_k > 0 ? options.top_k : 8;
    load.moe_layers = options.layers > 0 ? options.layers : 1;
  }
  return sim::describe(*sim::load_expert_loads(options.file, load));
}

std::string describe_file(const ShowOptions& options, const std::string& path) {
  if (options.kind == "cluster") return topology::describe(topology::load_cluster(path));
  if (options.kind == "model") return sim::describe(sim::load_model(path));
  if (options.kind == "run") return sim::describe(sim::load_run(path));
  if (options.kind == "plan") return sim::describe(sim::load_plan(path));
  return sim::describe(sim::load_profile(path));
}

}  // namespace

int run_show(const ShowOptions& options, Console console) {
  const bool load = options.kind == "load";
  const std::string path = load || options.kind == "plan" ? options.file : base::resolve_config(options.kind + "s", options.file);
  const std::string text = load ? describe_load(options) : describe_file(options, path);
  if (!options.common.json) {
    console.out << text << (text.ends_with('\n') ? "" : "\n");
    return kOk;
  }
  base::JsonWriter json;
  json.begin_object();
  json.field("schema", "moeplan.show/1");
  json.field("moeplan_version", base::version());
  json.field("kind", options.kind);
  json.field("file", path);
  json.field("text", text);
  json.end_object();
  console.out << json.text();
  return kOk;
}

}  // namespace moeplan::cli
