#include "cli/experiment.h"

#include <filesystem>

#include <fmt/format.h>

#include "base/document.h"
#include "base/json_writer.h"
#include "base/object_reader.h"

namespace moeplan::cli {

namespace {

constexpr const char* kSchema = "moeplan.experiment/1";

namespace fs = std::filesystem;

/// A file's path as seen from `folder`; a name that is no file stays.
std::string seen_from(const std::string& folder, const std::string& name) {
  if (name.empty() || !fs::is_regular_file(name)) return name;
  return fs::proximate(fs::absolute(name), fs::absolute(folder)).string();
}

/// The reverse.
std::string resolved(const std::string& folder, const std::string& name) {
  if (name.empty() || fs::path(name).is_absolute()) return name;
  const fs::path path = fs::path(folder) / name;
  return fs::is_regular_file(path) ? path.lexically_normal().string() : name;
}

}  // namespace

std::string write_experiment(const Experiment& experiment, const std::string& folder) {
  const JobOptions& job = experiment.job;
  std::string text =
      "# Short runs that tell the best plans apart. Put each run's log where it belongs, then:\n";
  text += "#   moeplan calibrate anchor --experiment FOLDER -o anchored.yaml\n";
  text += fmt::format("schema: {}\n", kSchema);
  const auto line = [&](const char* key, const std::string& value) {
    if (!value.empty()) text += fmt::format("{}: {}\n", key, base::json_quote(seen_from(folder, value)));
  };
  line("cluster", job.cluster);
  line("model", job.model);
  line("run", job.run);
  line("load", job.load);
  line("profile", job.profile);
  if (job.map_layers) text += "map_layers: true\n";
  if (!job.assume.empty()) {
    text += "assume:\n";
    for (const std::string& assumption : job.assume)
      text += fmt::format("  - {}\n", base::json_quote(assumption));
  }
  text += fmt::format("seed: {}\nruns:\n", experiment.seed);
  for (const Experiment::Run& run : experiment.runs)
    text += fmt::format("  - {{plan: {}, log: {}}}\n", base::json_quote(run.plan), base::json_quote(run.log));
  return text;
}

Experiment read_experiment(const std::string& folder) {
  const base::Document document = base::load_document((fs::path(folder) / "experiment.yaml").string());
  base::DiagnosticSink sink;
  base::ObjectReader top(document, sink, "experiment");
  top.one_of("schema", {kSchema});
  Experiment experiment;
  JobOptions& job = experiment.job;
  job.cluster = resolved(folder, top.required<std::string>("cluster"));
  job.model = resolved(folder, top.required<std::string>("model"));
  job.run = resolved(folder, top.required<std::string>("run"));
  job.load = resolved(folder, top.value_or<std::string>("load", JobOptions{}.load));
  job.profile = resolved(folder, top.value_or<std::string>("profile", ""));
  job.map_layers = top.value_or("map_layers", false);
  job.assume = top.value_or<std::vector<std::string>>("assume", {});
  experiment.seed = static_cast<std::uint64_t>(top.value_or<std::int64_t>("seed", 1));
  for (base::ObjectReader run : top.objects("runs")) {
    const auto in_folder = [&](const std::string& name) {
      return (fs::path(folder) / name).lexically_normal().string();
    };
    experiment.runs.push_back(
        {in_folder(run.required<std::string>("plan")), in_folder(run.required<std::string>("log"))});
    run.finish();
  }
  if (experiment.runs.empty()) top.fault("runs", "found no run, expected at least one");
  top.finish();
  sink.throw_if_any();
  return experiment;
}

}  // namespace moeplan::cli
