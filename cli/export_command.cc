#include "cli/export_command.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <ostream>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/config_files.h"
#include "base/diagnostics.h"
#include "base/files.h"
#include "planner/export/export_report.h"
#include "planner/export/export_target.h"
#include "planner/export/launch_files.h"
#include "sim/workload/loads.h"
#include "topology/cluster.h"

namespace moeplan::cli {

namespace {

constexpr int kGpusPerNode = 8;
constexpr const char* kReport = "export-report.txt";

const planner::ExportTarget& find_target(const std::string& name) {
  if (const planner::ExportTarget* target = planner::find_export_target(name)) return *target;
  std::vector<std::string> names;
  for (const planner::ExportTarget& target : planner::export_targets()) names.emplace_back(target.name);
  const std::string near = base::nearest_word(name, names);
  throw base::InputError(fmt::format("--to: found \"{}\", expected {}", name, fmt::join(names, ", ")),
                         near.empty() ? "" : fmt::format("did you mean \"{}\"?", near));
}

/// What one target needs and another would pass over.
void check_more(const ExportOptions& options, const planner::ExportTarget& target) {
  const auto unused = [&target](bool given, bool used, const char* flag, const char* why) {
    if (given && !used) throw base::InputError(fmt::format("{}: export to {} {}", flag, target.name, why));
  };
  unused(options.gpus_per_node > 0, target.launches, "--gpus-per-node", "starts nothing");
  unused(!options.hosts.empty(), target.needs_hosts, "--hosts", "names no hosts");
  unused(!options.cluster.empty(), target.needs_cluster || target.takes_cluster || target.launches,
         "--cluster", "does not depend on the cluster");
  unused(!options.load.empty(), target.takes_loads, "--load", "holds no loads");
  if (target.needs_hosts && options.hosts.empty())
    throw base::InputError(fmt::format(
        "export to {} needs --hosts FILE: a host a line, in the order of the cluster's nodes", target.name));
  if (target.needs_cluster && options.cluster.empty())
    throw base::InputError(
        fmt::format("export to {} needs --cluster: traces, times and distances depend on it", target.name));
}

void check_options(const ExportOptions& options, const planner::ExportTarget& target) {
  if (target.needs_run && (options.model.empty() || options.run.empty()))
    throw base::InputError(
        fmt::format("export to {} needs --model and --run: what it writes holds the model and the batch too",
                    target.name));
  if (target.needs_model && options.model.empty())
    throw base::InputError(
        fmt::format("export to {} needs --model: its layers and experts are counted there", target.name));
  if (options.common.output.empty()) throw base::InputError("export needs -o DIR");
  if (options.gpus_per_node < 0)
    throw base::InputError(
        fmt::format("--gpus-per-node: found {}, expected 1 or more", options.gpus_per_node));
  check_more(options, target);
}

void write_files(const ExportOptions& options, const planner::ExportTarget& target, const sim::PlanSpec& plan,
                 const planner::Exported& exported, Console console) {
  const std::filesystem::path folder(options.common.output);
  const std::size_t shown = planner::shown_files(exported);
  const bool tells = !options.common.quiet && !options.common.json;
  for (std::size_t i = 0; i < exported.files.size(); ++i) {
    const std::string path = (folder / exported.files[i].name).string();
    base::write_file_atomically(path, exported.files[i].content);
    if (tells && i < shown) console.out << path << '\n';
  }
  if (tells && shown < exported.files.size())
    console.out << fmt::format("and {} more, up to {}\n", exported.files.size() - shown,
                               exported.files.back().name);
  base::write_file_atomically((folder / kReport).string(), planner::describe_export(target, plan, exported));
}

void tell(const ExportOptions& options, const planner::ExportTarget& target, const sim::PlanSpec& plan,
          const planner::Exported& exported, Console console) {
  if (options.common.json) {
    console.out << planner::write_export_json(target, plan, exported, options.common.output);
    return;
  }
  if (options.common.quiet) return;
  for (const std::string& remark : planner::describe_remarks(exported))
    console.out << "not expressed: " << remark << '\n';
  for (const std::string& step : exported.next) console.out << "next: " << step << '\n';
}

/// The files that the options name; what a job points to.
struct Inputs {
  Inputs(const ExportOptions& options, const planner::ExportTarget& target)
      : plan(sim::load_plan(options.plan)) {
    if (!options.model.empty()) model = sim::load_model(base::resolve_config("models", options.model));
    if (!options.run.empty()) run = sim::load_run(base::resolve_config("runs", options.run));
    if (!options.cluster.empty())
      cluster = topology::load_sprayed(base::resolve_config("clusters", options.cluster));
    if (cluster && target.takes_cluster)
      profile = sim::load_profile(base::resolve_config("profiles", cluster->profile())).at_sustained_clocks();
    if (options.load.empty() || !model) return;
    sim::LoadOptions load;
    load.seed = options.common.seed;
    load.moe_layers = model->moe_layers();
    load.experts = model->experts;
    load.top_k = model->top_k;
    load.vocab = model->vocab;
    loads = sim::load_expert_loads(options.load, load);
  }

  sim::PlanSpec plan;
  std::optional<sim::ModelSpec> model;
  std::optional<sim::RunSpec> run;
  std::optional<topology::Cluster> cluster;
  std::optional<sim::Profile> profile;
  std::unique_ptr<sim::ExpertLoads> loads;
};

/// GPUs of a host: as the cluster has them, else as the flag says; both have to agree.
int gpus_per_node(const ExportOptions& options, const Inputs& inputs) {
  if (!inputs.cluster) return options.gpus_per_node > 0 ? options.gpus_per_node : kGpusPerNode;
  const topology::Cluster& cluster = *inputs.cluster;
  if (options.gpus_per_node > 0 && options.gpus_per_node != cluster.gpus_per_node())
    throw base::InputError(fmt::format("--gpus-per-node: found {}, but nodes of {} have {}",
                                       options.gpus_per_node, cluster.name(), cluster.gpus_per_node()));
  if (inputs.plan.layout.world() > cluster.ranks())
    throw base::InputError(fmt::format("{}: a plan of {} GPUs, but {} has {}", options.plan,
                                       inputs.plan.layout.world(), cluster.name(), cluster.ranks()));
  return cluster.gpus_per_node();
}

}  // namespace

int run_export(const ExportOptions& options, Console console) {
  const planner::ExportTarget& target = find_target(options.to);
  check_options(options, target);
  const Inputs inputs(options, target);
  planner::ExportJob job{inputs.plan,
                         inputs.model ? &*inputs.model : nullptr,
                         inputs.run ? &*inputs.run : nullptr,
                         gpus_per_node(options, inputs),
                         inputs.cluster ? &*inputs.cluster : nullptr,
                         inputs.profile ? &*inputs.profile : nullptr,
                         inputs.loads.get(),
                         {}};
  if (!options.hosts.empty())
    job.hosts = planner::read_hosts(base::read_text_file(options.hosts), options.hosts, job.gpus_per_node);
  const planner::Exported exported = planner::export_plan(target, job);
  write_files(options, target, inputs.plan, exported, console);
  tell(options, target, inputs.plan, exported, console);
  return kOk;
}

std::string list_export_targets() {
  std::string text = "Targets (and what they need):";
  for (const planner::ExportTarget& target : planner::export_targets()) {
    std::vector<std::string_view> flags;
    if (target.needs_model) flags.emplace_back("--model");
    if (target.needs_run) flags.emplace_back("--run");
    if (target.needs_cluster) flags.emplace_back("--cluster");
    if (target.needs_hosts) flags.emplace_back("--hosts");
    const std::string needs = flags.empty() ? "" : fmt::format(" ({})", fmt::join(flags, ", "));
    text += fmt::format("\n  {:<16}{}{}", target.name, target.what, needs);
  }
  return text;
}

}  // namespace moeplan::cli
