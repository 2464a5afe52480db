#include "cli/calibrate_command.h"

#include <filesystem>
#include <map>
#include <ostream>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/config_files.h"
#include "base/csv.h"
#include "base/diagnostics.h"
#include "base/files.h"
#include "base/json_writer.h"
#include "base/quantity_text.h"
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
    json.field("repeats", result.repeats);
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
  if (options.common.verbose == 0 && result.skipped.size() > kShownSkips)
    console.err << fmt::format("... and {} more (-v names them)\n", result.skipped.size() - kShownSkips);
  if (result.repeats > 0)
    console.err << fmt::format("{} samples repeat a point above; a fit takes their median\n", result.repeats);
  console.err << fmt::format("{} samples, {} rows skipped\n", result.samples.size(), result.skipped.size());
}

std::vector<calibrate::DeviceFacts> load_devices() {
  return calibrate::load_devices(base::configs_folder() + "/devices.yaml");
}

calibrate::DeviceFacts find_device(const std::string& name,
                                   const std::vector<calibrate::DeviceFacts>& devices) {
  std::vector<std::string> names;
  for (const calibrate::DeviceFacts& device : devices) {
    if (device.name == name) return device;
    names.push_back(device.name);
  }
  const std::string near = base::nearest_word(name, names);
  throw base::InputError(fmt::format("--device: found no \"{}\" in configs/devices.yaml", name),
                         near.empty() ? "" : fmt::format("did you mean \"{}\"?", near));
}

calibrate::ImportFacts import_facts(const CalibrateImportOptions& options) {
  calibrate::ImportFacts facts;
  facts.gpu = options.gpu;
  facts.software = options.software;
  facts.source = options.source;
  facts.method = sim::parse_timing_method(options.method).value_or(sim::TimingMethod::kBurst);
  if (options.power_limit_w > 0.0) facts.power_limit_w = options.power_limit_w;
  if (options.nodes > 0) facts.log.nodes = options.nodes;
  if (options.gpus_per_node > 0) facts.log.gpus_per_node = options.gpus_per_node;
  facts.log.cluster = options.cluster;
  facts.log.test = sim::parse_nccl_test(options.collective);
  if (!options.collective.empty() && !facts.log.test)
    throw base::InputError(fmt::format("--collective: found {}, expected a collective of nccl-tests",
                                       base::excerpt(options.collective)),
                           "all_gather, reduce_scatter, all_reduce, alltoall, sendrecv, broadcast or reduce");
  if (!options.nic.empty()) {
    const auto rate = base::parse_bytes_per_second(options.nic);
    if (!rate.value || !(rate.value->bytes_per_s() > 0.0))
      throw base::InputError("--nic: " + (rate.value ? "expected a data rate above 0" : rate.message),
                             rate.hint);
    facts.log.nic = rate.value;
  }
  for (const std::string& index : options.indexes) facts.index.add(base::load_csv(index));
  for (const calibrate::DeviceFacts& device : load_devices()) facts.gpus.add(device.name, device.gpu);
  return facts;
}

/// The files of the command line, else those that the index names and that are there.
std::vector<std::string> files_to_import(const CalibrateImportOptions& options,
                                         const calibrate::LogIndex& index, calibrate::ImportResult& result) {
  if (!options.files.empty()) return options.files;
  std::vector<std::string> files;
  for (const calibrate::LogIndex::Named& named : index.files()) {
    if (std::filesystem::is_regular_file(named.path)) {
      files.push_back(named.path);
    } else {
      result.skipped.push_back({named.table, named.line, fmt::format("{} is not there", named.path)});
    }
  }
  if (files.empty())
    throw base::InputError("found no file to import, expected measurements or an --index that names some");
  return files;
}

void tell_fit(const CalibrateFitOptions& options, Console console, const calibrate::FitReport& report,
              const std::string& base_name) {
  if (options.common.json) {
    base::JsonWriter json;
    json.begin_object();
    json.field("schema", "moeplan.calibrate_fit/1");
    json.field("moeplan_version", base::version());
    json.key("fitted");
    json.begin_array();
    for (const calibrate::FittedPart& part : report.parts) {
      json.begin_object();
      json.field("section", part.section);
      json.field("what", part.what);
      json.field("evidence", sim::name(part.evidence));
      json.field("samples", static_cast<std::int64_t>(part.fitted));
      json.field("median_error", part.fitted_error);
      json.field("predicted", static_cast<std::int64_t>(part.predicted));
      json.field("predicted_median_error", part.predicted_error);
      if (part.p95_error) json.field("predicted_p95_error", *part.p95_error);
      json.field("source", part.source);
      json.end_object();
    }
    json.end_array();
    for (const auto& [key, lines] : {std::pair("kept", &report.kept), {"remarks", &report.remarks}}) {
      json.key(key);
      json.begin_array();
      for (const std::string& line : *lines) json.value(line);
      json.end_array();
    }
    json.end_object();
    console.out << json.text();
  }
  if (options.common.quiet) return;
  for (const calibrate::FittedPart& part : report.parts) console.err << describe(part) << '\n';
  for (const std::string& line : report.fitted) console.err << line << '\n';
  for (const std::string& line : report.remarks) console.err << line << '\n';
  for (const std::string& line : report.kept)
    console.err << "kept from " << base_name << ": " << line << '\n';
}

}  // namespace

int run_calibrate_import(const CalibrateImportOptions& options, Console console) {
  const calibrate::ImportFacts facts = import_facts(options);
  calibrate::ImportResult result;
  std::vector<base::Diagnostic> faults;  // of all files, told together
  for (const std::string& file : files_to_import(options, facts.index, result)) {
    try {
      calibrate::import_file(file, facts, result);
    } catch (const base::InputError& error) {
      faults.insert(faults.end(), error.diagnostics().begin(), error.diagnostics().end());
    }
  }
  if (!faults.empty() && !options.keep_going) throw base::InputError(std::move(faults));
  for (const base::Diagnostic& fault : faults)
    result.skipped.push_back({fault.file, fault.at.line, "the whole file: " + fault.message});
  if (result.samples.empty()) throw base::InputError("found no usable measurement in these files");
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
  calibrate::FitOptions fit_options;
  fit_options.threads = options.common.threads;
  fit_options.devices = load_devices();
  fit_options.cluster = options.cluster;
  fit_options.all_rows = options.all_rows;
  if (!options.device.empty())
    calibrate::apply_device(profile, find_device(options.device, fit_options.devices));
  const calibrate::FitReport report = calibrate::fit_profile(profile, samples, fit_options);
  const std::string header = fmt::format(
      "{}. Made by `moeplan calibrate fit` (scripts/make_profiles); do not edit by hand.\n"
      "Models and symbols: docs/models/compute.md. Efficiencies are shares of the dense data sheet peak.",
      profile.gpu);
  const std::string text = sim::write_profile(profile, header);
  sim::parse_profile(text, options.common.output);  // what is written can be read
  base::write_file_atomically(options.common.output, text);
  tell_fit(options, console, report, base_name);
  return kOk;
}

}  // namespace moeplan::cli
