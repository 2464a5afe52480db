#include "cli/simulate_command.h"

#include <charconv>
#include <chrono>
#include <filesystem>
#include <limits>
#include <ostream>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "base/files.h"
#include "base/json_writer.h"
#include "base/quantity_text.h"
#include "cli/plan_check.h"
#include "report/step_page.h"
#include "sim/result/json.h"
#include "sim/result/table.h"
#include "sim/schedule/simulate.h"
#include "sim/schedule/speed_spread.h"

namespace moeplan::cli {

namespace {

std::string write_json(const sim::StepResult& result) {
  base::JsonWriter json;
  json.begin_object();
  json.field("schema", "moeplan.simulate/1");
  json.field("moeplan_version", base::version());
  json.field("status", result.memory.fits() ? "ok" : "infeasible");
  sim::write_result_fields(json, result);
  json.end_object();
  return json.text();
}

std::string overflow_text(const sim::MemoryResult& memory) {
  return fmt::format("the plan does not fit: stage {} needs {}, {} more than the {} of a GPU\n", memory.worst_stage, base::pretty(memory.reserved),
                     base::pretty(memory.reserved - memory.limit), base::pretty(memory.limit));
}

void write_stats(const std::string& path, std::chrono::steady_clock::duration elapsed) {
  base::JsonWriter json;
  json.begin_object();
  json.field("seconds", std::chrono::duration<double>(elapsed).count());
  json.end_object();
  base::write_file_atomically(path, json.text());
}

/// "1 %", "1%" or "0.01".
double read_spread(const std::string& text) {
  if (text.empty()) return 0.0;
  if (text == kAssumedSpread) return sim::kAssumedSpeedSpread;
  const std::size_t sign = text.find('%');
  const std::string number =
      text.substr(0, sign == std::string::npos ? sign : text.find_last_not_of(" %", sign) + 1);
  const auto value = base::parse_number(number);
  const bool ends = sign == std::string::npos || sign + 1 == text.size();
  const double spread = value ? *value / (sign == std::string::npos ? 1.0 : 100.0) : -1.0;
  // Twice the median and more is a fault, not a spread: that is a slow rank of the cluster file.
  if (!ends || !(spread >= 0.0 && spread <= 0.5)) {
    throw base::InputError(
        fmt::format("--speed-spread: found \"{}\", expected a percentage from 0 % to 50 %", text),
        "write 1%, or --speed-spread alone for the assumed one");
  }
  return spread;
}
/// "4" or "all" -> how many micro-batches of an iteration route apart.
int parse_matrices(const std::string& text) {
  if (text == "all") return std::numeric_limits<int>::max();
  int count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error == std::errc() && end == text.data() + text.size() && count > 0) return count;
  throw base::InputError(fmt::format("--matrices {}: expected a number above 0, or \"all\"", base::excerpt(text)), "");
}


enum class TimelineFormat { kCsv, kJson };

TimelineFormat timeline_format(const std::string& path) {
  const std::string extension = std::filesystem::path(path).extension().string();
  if (extension == ".csv") return TimelineFormat::kCsv;
  if (extension == ".json") return TimelineFormat::kJson;
  throw base::InputError(
      fmt::format("--memory-timeline: found \"{}\", expected a file that ends in .csv or .json", path));
}

sim::SimulateOptions simulate_options(const SimulateVerbOptions& options) {
  sim::SimulateOptions simulate;
  simulate.network = parse_network_mode(options.sharing);
  simulate.max_iterations = options.iterations;
  simulate.micro_batch_samples = parse_matrices(options.matrices);
  simulate.what_if = !options.no_what_if;
  simulate.trace = !options.trace.empty();
  simulate.view = options.why || !options.report.empty() || !options.memory_timeline.empty();
  simulate.speed_spread = read_spread(options.speed_spread);
  simulate.draws = options.draws;
  simulate.seed = options.common.seed;
  if (options.why && options.common.json)
    throw base::InputError("--why is text, --json is not: ask for one of them");
  if (!options.memory_timeline.empty()) timeline_format(options.memory_timeline);
  return simulate;
}

/// Trace, memory timeline and page.
void write_files(const SimulateVerbOptions& options, const JobFiles& inputs, const sim::PlanSpec& plan,
                 const sim::Simulation& simulation) {
  if (simulation.trace)
    base::write_file_atomically(options.trace, sim::write_chrome_trace(*simulation.trace));
  if (!simulation.view) return;
  const sim::StepView& view = *simulation.view;
  if (!options.memory_timeline.empty()) {
    const bool csv = timeline_format(options.memory_timeline) == TimelineFormat::kCsv;
    base::write_file_atomically(options.memory_timeline,
                                csv ? sim::write_memory_csv(view) : sim::write_memory_json(view));
  }
  if (options.report.empty()) return;
  report::Inputs provenance = inputs.provenance();
  provenance.insert(provenance.begin(), {"plan", fmt::format("{}: {}", options.plan, sim::short_name(plan))});
  const report::StepPage page{sim::short_name(plan), plan.layout.world(), simulation.result, view};
  base::write_file_atomically(options.report, report::write_step_page(provenance, page));
}

}  // namespace

int run_simulate(const SimulateVerbOptions& options, Console console) {
  const sim::SimulateOptions simulate = simulate_options(options);
  const JobFiles inputs(options.job, options.common.seed);
  const sim::PlanSpec plan = load_plan_for(options.plan, inputs.job());
  const auto begin = std::chrono::steady_clock::now();
  const sim::Simulation simulation = sim::simulate_step(inputs.job(), plan, simulate);
  if (!options.common.stats.empty()) write_stats(options.common.stats, std::chrono::steady_clock::now() - begin);
  write_files(options, inputs, plan, simulation);

  const sim::StepResult& result = simulation.result;
  std::string text = options.common.json ? write_json(result) : sim::write_table(result);
  if (options.why) text += sim::write_chain(*simulation.view);
  if (!options.common.json && !result.memory.fits()) text += "\n" + overflow_text(result.memory);
  if (options.common.output.empty()) {
    console.out << text;
  } else {
    base::write_file_atomically(options.common.output, text);
  }
  return result.memory.fits() ? kOk : kInfeasible;
}

}  // namespace moeplan::cli
