#include "cli/plan_command.h"

#include <chrono>
#include <filesystem>
#include <ostream>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/config_files.h"
#include "base/diagnostics.h"
#include "base/document.h"
#include "base/files.h"
#include "base/json_writer.h"
#include "base/quantity_text.h"
#include "cli/plan_check.h"
#include "cli/plan_experiment.h"
#include "cli/plan_json.h"
#include "planner/export/checkpoint_permutation.h"
#include "planner/export/megatron_arguments.h"
#include "planner/search/search.h"
#include "planner/search/space_file.h"
#include "report/plan_page.h"

namespace moeplan::cli {

namespace {

using Files = std::vector<std::pair<std::string, std::string>>;  // name -> content

void require(const std::string& value, const char* flag, const char* example) {
  if (value.empty()) throw base::InputError(fmt::format("{} is missing", flag), fmt::format("e.g. {} {}", flag, example));
}

/// Wall-clock figures, kept out of results.
void write_stats(const std::string& path, std::chrono::steady_clock::duration elapsed, const planner::SearchResult& search) {
  base::JsonWriter json;
  json.begin_object();
  json.field("seconds", std::chrono::duration<double>(elapsed).count());
  json.field("searched", search.searched);
  json.field("simulated", search.evaluated);
  json.end_object();
  base::write_file_atomically(path, json.text());
}

void read_budget(const std::string& text, planner::SearchOptions& search) {
  if (text.empty()) return;
  if (const auto count = base::parse_integer(text); count && *count > 0) {
    search.budget = *count;
    return;
  }
  // "5s" as well as "5 s": a number and its unit.
  const std::size_t unit = text.find_first_not_of("0123456789.");
  const auto time = unit == std::string::npos || unit == 0 ? base::parse_seconds(text) : base::parse_seconds(text.substr(0, unit) + " " + text.substr(text.find_first_not_of(' ', unit)));
  if (!time.value || *time.value <= base::Seconds()) {
    throw base::InputError(fmt::format("--budget: found \"{}\", expected a number of simulations or a time", text), "write 2000, or 5s");
  }
  search.wall_budget = *time.value;
}

planner::SearchOptions search_options(const PlanOptions& options) {
  if (options.framework != "megatron" && options.framework != "any") {
    throw base::InputError(fmt::format("--framework: found \"{}\", expected megatron or any", options.framework));
  }
  if (options.top < 1) throw base::InputError(fmt::format("--top: found {}, expected 1 or more", options.top));
  planner::SearchOptions search;
  search.framework = options.framework;
  search.top = options.top;
  search.threads = options.common.threads;
  read_budget(options.budget, search);
  search.exhaustive = options.exhaustive;
  if (options.exhaustive && !options.budget.empty())
    throw base::InputError("--exhaustive with --budget: expected one of them", "--exhaustive simulates all that no bound rules out");
  if (options.exhaustive && !options.from.empty())
    throw base::InputError("--exhaustive with --from: expected one of them", "--from simulates every plan one axis away anyway");
  if (!options.space.empty()) search.choices = planner::read_space_file(base::load_document(options.space));
  std::string pins;
  for (const std::string& pin : options.pins) pins += (pins.empty() ? "" : ",") + pin;
  search.pins = planner::parse_pins(pins);
  if (!options.open.empty()) search.open = planner::parse_open_axes(fmt::format("{}", fmt::join(options.open, ",")));
  return search;
}

/// What a person reads.
std::string write_text(const JobFiles& files, const planner::SearchResult& search, const PlanAnswers& answers) {
  std::string out;
  for (const auto& [name, value] : files.describe()) out += fmt::format("{:<8} {}\n", name, value);
  out += "\n";
  if (!search.plans.empty()) {
    out += report::write_plan_table(search) + "\n";
    for (std::size_t k = 1; k < search.plans.size(); ++k) out += fmt::format("{:>4}  {}\n", k + 1, search.plans[k].why);
    out += "\n";
    for (const sim::WhatIf& w : search.plans.front().result.what_if) {
      out += fmt::format("rank 1 with {}: {} ({} {:.1f} %){}\n", w.change, base::pretty(w.step_time), w.gain >= 0 ? "gain" : "loss",
                         (w.gain >= 0 ? w.gain : -w.gain) * 100, w.note.empty() ? "" : "; " + w.note);
    }
    out += "\n";
  }
  return out + write_answers_text(answers, search) + search.why;
}

/// Megatron arguments of rank 1, where Megatron can run it.
void add_megatron_files(const sim::Job& job, const sim::PlanSpec& plan, Files& files) {
  const planner::PlanContext context{job.model, job.run, job.cluster.ranks()};
  if (!planner::find_megatron_faults(context, plan).empty()) return;
  const auto arguments = planner::write_megatron_arguments(context, plan);
  files.emplace_back("megatron-1.args", planner::write_argument_lines(arguments));
  files.emplace_back("megatron-1.sh", planner::write_launch_script(arguments, context, plan, job.cluster.gpus_per_node()));
  if (!plan.placement.is_contiguous()) {
    files.emplace_back("expert-permutation-1.json", planner::write_checkpoint_permutation(job.model, plan));
  }
}

/// Everything is made before the first file is written.
Files make_files(const JobFiles& inputs, const planner::SearchResult& search) {
  const sim::Job job = inputs.job();
  Files files;
  for (const planner::RankedPlan& ranked : search.plans) files.emplace_back(ranked.plan.name + ".yaml", sim::write_plan(ranked.plan));
  sim::Simulation simulation;
  if (!search.plans.empty()) {
    sim::SimulateOptions options;
    options.what_if = false;
    options.trace = true;
    options.view = true;
    simulation = sim::simulate_step(job, search.plans.front().plan, options);
    if (simulation.trace) files.emplace_back("trace-1.json", sim::write_chrome_trace(*simulation.trace));
    add_megatron_files(job, search.plans.front().plan, files);
  }
  files.emplace_back("report.html", report::write_plan_page(inputs.provenance(), search,
                                                            simulation.view ? &*simulation.view : nullptr));
  return files;
}

}  // namespace

int run_plan(const PlanOptions& options, Console console) {
  const auto begin = std::chrono::steady_clock::now();
  require(options.job.cluster, "--cluster", "hgx-h100-4n");
  require(options.job.model, "--model", "qwen3-30b-a3b");
  require(options.job.run, "--run", "pretrain-4k");
  const planner::SearchOptions search_for = search_options(options);
  const JobFiles inputs(options.job, options.common.seed);
  const sim::Job job = inputs.job();
  check_questions(options.questions, job.cluster);
  const planner::SearchResult search = options.from.empty() ? planner::search_plans(job, search_for)
                                                            : planner::search_neighbours(job, load_plan_for(options.from, job), search_for);
  const PlanAnswers answers = answer_questions(options.questions, inputs, options.job, search_for, search, options.common.seed);
  if (!options.common.stats.empty()) write_stats(options.common.stats, std::chrono::steady_clock::now() - begin, search);
  if (!options.common.output.empty()) {
    const Files files = make_files(inputs, search);
    for (const auto& [name, content] : files) {
      base::write_file_atomically((std::filesystem::path(options.common.output) / name).string(), content);
    }
  }
  if (!options.experiment.empty() && search.feasible) {
    const std::string told = write_experiment_files(options, inputs, search);
    if (!options.common.quiet) console.err << told;
  }
  console.out << (options.common.json ? write_plan_json(search, answers, inputs.digest(), options.common.seed) : write_text(inputs, search, answers));
  return search.feasible ? kOk : kInfeasible;
}

}  // namespace moeplan::cli
