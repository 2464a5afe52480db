#include "cli/gpu_command.h"

#include <algorithm>
#include <memory>
#include <ostream>
#include <set>

#include <fmt/format.h>

#include "base/config_files.h"
#include "base/diagnostics.h"
#include "base/files.h"
#include "base/json_writer.h"
#include "calibrate/cases/model_cases.h"
#include "calibrate/drift/drift.h"
#include "calibrate/measure/case_list.h"
#include "calibrate/measure/default_cases.h"
#include "calibrate/measure/session.h"
#include "cli/gpu_device.h"

namespace moeplan::cli {

namespace {

/// Cases whose intervals do not overlap that are shown without -v.
constexpr std::size_t kShownCases = 20;
constexpr double kMostSeconds = 1e9;

/// Those of --shapes and of every --for, else the default list; of these the kinds of --cases.
std::vector<calibrate::Case> find_cases(const CalibrateGpuOptions& options) {
  calibrate::CaseList list;
  const auto add = [&](std::vector<calibrate::Case> cases) {
    for (calibrate::Case& what : cases) list.add(std::move(what));
  };
  if (!options.shapes.empty())
    add(calibrate::parse_cases(base::read_text_file(options.shapes), options.shapes));
  for (const std::string& model : options.models)
    add(calibrate::model_cases(sim::load_model(base::resolve_config("models", model))));
  if (options.shapes.empty() && options.models.empty()) add(calibrate::default_cases());
  std::set<std::string> kinds;
  if (!options.kinds.empty()) {
    try {
      kinds = calibrate::parse_kinds(options.kinds);
    } catch (const calibrate::CaseError& error) {
      throw base::InputError(fmt::format("--cases: {}", error.what()));
    }
  }
  std::vector<calibrate::Case> kept = calibrate::keep_kinds(list.take(), kinds);
  if (kept.empty()) throw base::InputError("found no case to measure, expected one at least");
  return kept;
}

void check_positive(const char* option, double value) {
  if (!(value > 0.0) || value > kMostSeconds)
    throw base::InputError(
        fmt::format("{}: found {}, expected a number above 0, at most {}", option, value, kMostSeconds));
}

int list_cases(const CalibrateGpuOptions& options, Console console) {
  for (const calibrate::Case& what : find_cases(options)) console.out << what.key() << '\n';
  return kOk;
}

int measure(const CalibrateGpuOptions& options, Console console) {
  if (options.common.output.empty())
    throw base::InputError("found nothing to do, expected -o FILE.jsonl",
                           "or --list, --self-check, --compare OLD NEW");
  find_cases(options);  // bad input is told before a missing GPU
  try {
    const std::unique_ptr<calibrate::Device> device = open_gpu();
    calibrate::SystemClock clock;
    return measure_cases(*device, clock, options, console);
  } catch (const calibrate::Unsupported& reason) {
    throw base::EnvironmentError(fmt::format("the GPU cannot be prepared: {}", reason.what()));
  }
}

void write_drift_json(const calibrate::Drift& drift, const CalibrateGpuOptions& options,
                      base::JsonWriter& json) {
  json.begin_object();
  json.field("schema", "moeplan.calibrate_compare/1");
  json.field("moeplan_version", base::version());
  json.field("old", options.compare[0]);
  json.field("new", options.compare[1]);
  json.field("only_old", static_cast<std::int64_t>(drift.only_old));
  json.field("only_new", static_cast<std::int64_t>(drift.only_new));
  json.key("provenance_changes");
  json.begin_array();
  for (const calibrate::Drift::Fact& fact : drift.facts) {
    json.begin_object();
    json.field("key", fact.key);
    json.field("old", fact.before);
    json.field("new", fact.after);
    json.end_object();
  }
  json.end_array();
  json.key("kinds");
  json.begin_array();
  for (const calibrate::KindDrift& kind : drift.kinds) {
    json.begin_object();
    json.field("kind", kind.kind);
    json.field("cases", static_cast<std::int64_t>(kind.cases));
    json.field("median_change", kind.median);
    json.field("p95_magnitude", kind.p95);
    json.field("apart", static_cast<std::int64_t>(kind.apart));
    json.end_object();
  }
  json.end_array();
  json.key("apart");
  json.begin_array();
  for (const calibrate::DriftedCase& one : drift.apart) {
    json.begin_object();
    json.field("case", one.name);
    json.field("change", one.change());
    json.field("old_seconds", one.before.seconds);
    json.field("new_seconds", one.after.seconds);
    json.end_object();
  }
  json.end_array();
  json.end_object();
}

void write_drift_table(const calibrate::Drift& drift, const CalibrateGpuOptions& options, Console console) {
  console.out << fmt::format("{:<16} {:>6} {:>10} {:>16} {:>6}\n", "kind", "cases", "median",
                             "95 % are within", "apart");
  for (const calibrate::KindDrift& kind : drift.kinds)
    console.out << fmt::format("{:<16} {:>6} {:>+8.2f} % {:>14.2f} % {:>6}\n", kind.kind, kind.cases,
                               100.0 * kind.median, 100.0 * kind.p95, kind.apart);
  const bool all = options.common.verbose > 0;
  const std::size_t shown = all ? drift.apart.size() : std::min(kShownCases, drift.apart.size());
  for (std::size_t i = 0; i < shown; ++i) {
    const calibrate::DriftedCase& one = drift.apart[i];
    console.out << fmt::format("{:>+8.2f} %  {}: {:.2f} and {:.2f} us\n", 100.0 * one.change(), one.name,
                               one.before.seconds * 1e6, one.after.seconds * 1e6);
  }
  if (shown < drift.apart.size())
    console.out << fmt::format("... and {} more (-v names them)\n", drift.apart.size() - shown);
}

int compare(const CalibrateGpuOptions& options, Console console) {
  const calibrate::Drift drift = calibrate::find_drift(calibrate::load_measured(options.compare[0]),
                                                       calibrate::load_measured(options.compare[1]));
  if (options.common.json) {
    base::JsonWriter json;
    write_drift_json(drift, options, json);
    console.out << json.text();
  } else {
    write_drift_table(drift, options, console);
  }
  if (options.common.quiet) return kOk;
  for (const calibrate::Drift::Fact& fact : drift.facts)
    console.err << fmt::format("{}: \"{}\" became \"{}\"\n", fact.key, fact.before, fact.after);
  if (drift.only_old + drift.only_new > 0)
    console.err << fmt::format("{} cases are in {} alone, {} in {}\n", drift.only_old, options.compare[0],
                               drift.only_new, options.compare[1]);
  return kOk;
}

}  // namespace

int measure_cases(calibrate::Device& device, calibrate::Clock& clock, const CalibrateGpuOptions& options,
                  Console console) {
  const std::vector<calibrate::Case> cases = find_cases(options);
  calibrate::StopRule rule;
  rule.precision = options.precision / 100.0;
  std::ostream nothing(nullptr);
  try {
    calibrate::ResultFile file(options.common.output);
    file.write_provenance(device.facts(), clock.date());
    const calibrate::SessionResult r =
        calibrate::run_session(device, clock, cases, rule, base::Seconds::of(options.budget_s), file,
                               options.common.quiet ? nothing : console.err);
    if (!options.common.quiet)
      console.err << fmt::format(
          "{} cases measured, {} were there, {} not supported, {} failed, {} left for want of time\n",
          r.measured, r.done_before, r.unsupported, r.failed, r.left);
    return r.failed > 0 ? kInfeasible : kOk;
  } catch (const calibrate::DeviceLost& error) {
    throw base::EnvironmentError(fmt::format(
        "the GPU failed: {}\nwhat was measured before is kept; run again with the same -o to go on",
        error.what()));
  }
}

int run_calibrate_gpu(const CalibrateGpuOptions& options, Console console) {
  check_positive("--budget", options.budget_s);
  check_positive("--precision", options.precision);
  try {
    if (!options.compare.empty()) return compare(options, console);
    if (options.is_list) return list_cases(options, console);
    if (!options.is_self_check) return measure(options, console);
    return check_gpu() ? kOk : kInfeasible;
  } catch (const calibrate::CaseError& error) {  // of a --shapes file; names its place
    console.err << error.what() << '\n';
    return kBadInput;
  } catch (const calibrate::DeviceLost& error) {
    throw base::EnvironmentError(fmt::format("the GPU failed: {}", error.what()));
  }
}

}  // namespace moeplan::cli
