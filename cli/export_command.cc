#include "cli/export_command.h"

#include <filesystem>
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

namespace moeplan::cli {

namespace {

constexpr const char* kReport = "export-report.txt";

const planner::ExportTarget& find_target(const std::string& name) {
  if (const planner::ExportTarget* target = planner::find_export_target(name)) return *target;
  std::vector<std::string> names;
  for (const planner::ExportTarget& target : planner::export_targets()) names.emplace_back(target.name);
  const std::string near = base::nearest_word(name, names);
  throw base::InputError(fmt::format("--to: found \"{}\", expected {}", name, fmt::join(names, ", ")),
                         near.empty() ? "" : fmt::format("did you mean \"{}\"?", near));
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
  if (options.gpus_per_node > 0 && !target.launches)
    throw base::InputError(fmt::format("--gpus-per-node: export to {} starts nothing", target.name));
  if (target.needs_hosts && options.hosts.empty())
    throw base::InputError(fmt::format(
        "export to {} needs --hosts FILE: a host a line, in the order of the cluster's nodes", target.name));
  if (!target.needs_hosts && !options.hosts.empty())
    throw base::InputError(fmt::format("--hosts: export to {} names no hosts", target.name));
}

void write_files(const ExportOptions& options, const planner::ExportTarget& target, const sim::PlanSpec& plan,
                 const planner::Exported& exported, Console console) {
  const std::filesystem::path folder(options.common.output);
  for (const planner::ExportFile& file : exported.files) {
    const std::string path = (folder / file.name).string();
    base::write_file_atomically(path, file.content);
    if (!options.common.quiet && !options.common.json) console.out << path << '\n';
  }
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

}  // namespace

int run_export(const ExportOptions& options, Console console) {
  const planner::ExportTarget& target = find_target(options.to);
  check_options(options, target);
  const sim::PlanSpec plan = sim::load_plan(options.plan);
  std::optional<sim::ModelSpec> model;
  std::optional<sim::RunSpec> run;
  if (!options.model.empty()) model = sim::load_model(base::resolve_config("models", options.model));
  if (!options.run.empty()) run = sim::load_run(base::resolve_config("runs", options.run));
  planner::ExportJob job{plan, model ? &*model : nullptr, run ? &*run : nullptr, 8, {}};
  if (options.gpus_per_node > 0) job.gpus_per_node = options.gpus_per_node;
  if (!options.hosts.empty())
    job.hosts = planner::read_hosts(base::read_text_file(options.hosts), options.hosts, job.gpus_per_node);
  const planner::Exported exported = planner::export_plan(target, job);
  write_files(options, target, plan, exported, console);
  tell(options, target, plan, exported, console);
  return kOk;
}

std::string list_export_targets() {
  std::string text = "Targets:";
  for (const planner::ExportTarget& target : planner::export_targets()) {
    const char* needs = target.needs_run     ? " (needs --model and --run)"
                        : target.needs_model ? " (needs --model)"
                                             : "";
    text += fmt::format("\n  {:<16}{}{}", target.name, target.what, needs);
  }
  return text;
}

}  // namespace moeplan::cli
