#include "cli/simulate_command.h"

#include <charconv>
#include <chrono>
#include <limits>
#include <ostream>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "base/files.h"
#include "base/json_writer.h"
#include "base/quantity_text.h"
#include "cli/plan_check.h"
#include "sim/network/sharing.h"
#include "sim/result/json.h"
#include "sim/result/table.h"
#include "sim/schedule/simulate.h"

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

/// "4" or "all" -> how many micro-batches of an iteration route apart.
int parse_matrices(const std::string& text) {
  if (text == "all") return std::numeric_limits<int>::max();
  int count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error == std::errc() && end == text.data() + text.size() && count > 0) return count;
  throw base::InputError(fmt::format("--matrices {}: expected a number above 0, or \"all\"", base::excerpt(text)), "");
}

}  // namespace

int run_simulate(const SimulateVerbOptions& options, Console console) {
  const JobFiles inputs(options.job, options.common.seed);
  const sim::PlanSpec plan = load_plan_for(options.plan, inputs.job());

  sim::SimulateOptions simulate;
  const bool bound = sim::parse_sharing_mode(options.sharing) == sim::SharingMode::kBound;
  simulate.network = bound ? sim::NetworkMode::kBound : sim::NetworkMode::kFlow;
  simulate.max_iterations = options.iterations;
  simulate.micro_batch_samples = parse_matrices(options.matrices);
  simulate.what_if = !options.no_what_if;
  simulate.trace = !options.trace.empty();
  const auto begin = std::chrono::steady_clock::now();
  const sim::Simulation simulation = sim::simulate_step(inputs.job(), plan, simulate);
  if (!options.common.stats.empty()) write_stats(options.common.stats, std::chrono::steady_clock::now() - begin);
  if (simulation.trace) base::write_file_atomically(options.trace, sim::write_chrome_trace(*simulation.trace));

  const sim::StepResult& result = simulation.result;
  std::string text = options.common.json ? write_json(result) : sim::write_table(result);
  if (!options.common.json && !result.memory.fits()) text += "\n" + overflow_text(result.memory);
  if (options.common.output.empty()) {
    console.out << text;
  } else {
    base::write_file_atomically(options.common.output, text);
  }
  return result.memory.fits() ? kOk : kInfeasible;
}

}  // namespace moeplan::cli
