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
  if (options.gpus_per_node < 1)
    throw base::InputError(
        fmt::format("--gpus-per-node: found {}, expected 1 or more", options.gpus_per_node));
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
  for (const planner::ExportRemark& remark : exported.not_expressed)
    console.out << fmt::format("not expressed: {} ({}): {}\n", remark.part, remark.value, remark.done);
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
  const planner::ExportJob job{plan, model ? &*model : nullptr, run ? &*run : nullptr, options.gpus_per_node};
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
