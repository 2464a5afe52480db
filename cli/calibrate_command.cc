#include "cli/calibrate_command.h"

#include <map>
#include <ostream>

#include <fmt/format.h>

#include "base/check.h"
#include "base/config_files.h"
#include "base/diagnostics.h"
#include "base/files.h"
#include "base/json_writer.h"
#include "calibrate/fit/fit.h"
#include "calibrate/import/import.h"
#include "sim/cost/profile_writer.h"

namespace moeplan::cli {

namespace {

constexpr std::size_t kShownSkips = 5;

void tell_import(const CalibrateImportOptions& options, Console console,
                 const calibrate::ImportResult& result) {
  if (options.common.json) {
    base::JsonWriter json;
    json.begin_object();
    json.field("schema", "moeplan.calibrate_import/1");
    json.field("moeplan_version", base::version());
    json.key("files");
    json.begin_array();
    for (const auto& [file, kind] : result.kinds) {
      json.begin_object();
      json.field("file", file);
      json.field("kind", kind);
      json.end_object();
    }
    json.end_array();
    json.field("samples", static_cast<std::int64_t>(result.samples.size()));
    json.key("skipped");
    json.begin_array();
    for (const calibrate::SkippedRow& row : result.skipped) {
      json.begin_object();
      json.field("file", row.file);
      json.field("line", row.line);
      json.field("why", row.why);
      json.end_object();
    }
    json.end_array();
    json.end_object();
    console.out << json.text();
  }
  if (options.common.quiet) return;
  for (const auto& [file, kind] : result.kinds) console.err << fmt::format("{}: read as {}\n", file, kind);
  std::size_t shown = 0;
  for (const calibrate::SkippedRow& row : result.skipped) {
    if (++shown > kShownSkips && options.common.verbose == 0) break;
    console.err << fmt::format("{}:{}: row skipped: {}\n", row.file, row.line, row.why);
  }
  console.err << fmt::format("{} samples, {} rows skipped\n", result.samples.size(), result.skipped.size());
}

calibrate::DeviceFacts find_device(const std::string& name) {
  std::vector<std::string> names;
  for (calibrate::DeviceFacts& device : calibrate::load_devices(base::configs_folder() + "/devices.yaml")) {
    if (device.name == name) return std::move(device);
    names.push_back(device.name);
  }
  const std::string near = base::nearest_word(name, names);
  throw base::InputError(fmt::format("--device: found no \"{}\" in configs/devices.yaml", name),
                         near.empty() ? "" : fmt::format("did you mean \"{}\"?", near));
}

}  // namespace

int run_calibrate_import(const CalibrateImportOptions& options, Console console) {
  calibrate::ImportFacts facts;
  facts.gpu = options.gpu;
  facts.software = options.software;
  facts.source = options.source;
  facts.method = sim::parse_timing_method(options.method).value_or(sim::TimingMethod::kBurst);
  if (options.power_limit_w > 0.0) facts.power_limit_w = options.power_limit_w;
  calibrate::ImportResult result;
  for (const std::string& file : options.files) calibrate::import_file(file, facts, result);
  base::write_file_atomically(options.common.output, calibrate::write_samples(result.samples));
  tell_import(options, console, result);
  return kOk;
}

int run_calibrate_fit(const CalibrateFitOptions& options, Console console) {
  if (options.base.empty() && options.device.empty())
    throw base::InputError("expected --base or --device", "--base h100-sxm renews a shipped profile");
  std::vector<calibrate::Sample> samples;
  for (const std::string& file : options.samples) {
    std::vector<calibrate::Sample> part = calibrate::load_samples(file);
    samples.insert(samples.end(), part.begin(), part.end());
  }
  const std::string& base_name = options.base.empty() ? options.device : options.base;
  sim::ProfileData profile = sim::load_profile(base::resolve_config("profiles", base_name)).data();
  if (!options.device.empty()) calibrate::apply_device(profile, find_device(options.device));
  const calibrate::FitReport report = calibrate::fit_profile(profile, samples, options.common.threads);
  const std::string header = fmt::format(
      "{}. Made by `moeplan calibrate fit` (scripts/make_profiles); do not edit by hand.\n"
      "Models and symbols: docs/models/compute.md. Efficiencies are shares of the dense data sheet peak.",
      profile.gpu);
  const std::string text = sim::write_profile(profile, header);
  sim::parse_profile(text, options.common.output);  // what is written can be read
  base::write_file_atomically(options.common.output, text);
  if (options.common.quiet) return kOk;
  for (const std::string& line : report.fitted) console.err << line << '\n';
  for (const std::string& line : report.kept)
    console.err << "kept from " << base_name << ": " << line << '\n';
  return kOk;
}

}  // namespace moeplan::cli
