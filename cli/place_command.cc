#include "cli/place_command.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <ostream>
#include <set>

#include <fmt/format.h>

#include "base/config_files.h"
#include "base/diagnostics.h"
#include "base/files.h"
#include "base/json_writer.h"
#include "base/parallel.h"
#include "base/quantity_text.h"
#include "cli/place_report.h"
#include "planner/placement/checker.h"
#include "planner/placement/maps.h"
#include "planner/placement/place_by_time.h"
#include "planner/placement/study.h"
#include "planner/placement/weighted_split.h"
#include "sim/workload/model.h"
#include "sim/workload/plan.h"
#include "sim/workload/run.h"
#include "topology/cluster.h"

namespace moeplan::cli {

namespace {

constexpr std::int64_t kBf16Bytes = 2;
constexpr int kTimedIterations = 4;  ///< of those scored on, that layer times are taken of

/// What the files and options name.
struct Inputs {
  topology::Cluster cluster;
  std::optional<sim::ModelSpec> model;
  std::optional<sim::PlanSpec> plan;
  std::unique_ptr<sim::ExpertLoads> loads;
  std::optional<sim::Profile> profile;
  std::optional<sim::RunSpec> run;

  bool has_times() const { return run.has_value(); }
  sim::Job job() const { return {cluster, *profile, *model, *run, *loads}; }
};

[[noreturn]] void refuse(const std::string& message, const std::string& hint = "") {
  throw base::InputError(message, hint);
}

sim::LoadOptions load_options(const PlaceOptions& options, const std::optional<sim::ModelSpec>& model) {
  sim::LoadOptions load;
  load.seed = options.common.seed;
  load.map_layers = options.map_layers;
  if (model) {
    if (!model->is_moe()) refuse(fmt::format("model {} has no experts to place", model->name));
    if (options.experts > 0 || options.layers > 0 || options.top_k > 0)
      refuse("--experts, --layers and --top-k do not go with --model", "the model says them");
    load.moe_layers = model->moe_layers();
    load.experts = model->experts;
    load.top_k = model->top_k;
    load.vocab = model->vocab;
    return load;
  }
  load.moe_layers = options.layers;
  load.experts = options.experts;
  load.top_k = options.top_k;
  if (!std::filesystem::exists(options.load)) {  // a generator
    if (options.experts == 0)
      refuse("a load generator needs to know how many experts it draws for", "add --model M or --experts N");
    load.moe_layers = std::max(1, options.layers);
    load.top_k = options.top_k > 0 ? options.top_k : std::min(8, options.experts);
  }
  return load;
}

void check_sizes(const sim::LoadOptions& load) {
  if (load.experts > planner::kMaxExperts)
    refuse(fmt::format("found {} experts, expected at most {}", load.experts, planner::kMaxExperts));
  if (std::int64_t{load.experts} * std::max(1, load.moe_layers) > planner::kMaxSlots * std::int64_t{64})
    refuse(fmt::format("found {} layers of {} experts, expected fewer", load.moe_layers, load.experts));
  if (load.top_k > load.experts && load.experts > 0)
    refuse(fmt::format("found top-{} of {} experts", load.top_k, load.experts));
}

Inputs load_inputs(const PlaceOptions& options) {
  Inputs inputs{
      topology::load_sprayed(base::resolve_config("clusters", options.cluster)), {}, {}, nullptr, {}, {}};
  if (!options.model.empty()) inputs.model = sim::load_model(base::resolve_config("models", options.model));
  if (!options.plan.empty()) inputs.plan = sim::load_plan(options.plan);
  const sim::LoadOptions load = load_options(options, inputs.model);
  check_sizes(load);
  inputs.loads = sim::load_expert_loads(options.load, load);
  if (options.objective == "layer_time" && (options.model.empty() || options.run.empty()))
    refuse("--objective layer_time needs --model and --run", "they say how long a GPU works on a token");
  if (!options.run.empty()) {
    if (!inputs.model) refuse("--run needs --model", "layer times are simulated with both");
    if (options.roll > 0)
      refuse("--run and --roll do not go together", "layer times are those of one window");
    inputs.run = sim::load_run(base::resolve_config("runs", options.run));
    const std::string profile = options.profile.empty() ? inputs.cluster.profile() : options.profile;
    inputs.profile = sim::load_profile(base::resolve_config("profiles", profile)).at_sustained_clocks();
  } else if (options.split != "even" || !options.profile.empty() || options.sharing != "bound") {
    refuse("--split, --profile and --sharing are of simulated layer times", "add --model M --run R");
  }
  return inputs;
}

int choose_slots(const PlaceOptions& options, int experts, int ep) {
  if (options.slots > 0 && options.slots_per_gpu > 0)
    refuse("--slots and --slots-per-gpu do not go together");
  if (options.slots_per_gpu > 0) return options.slots_per_gpu;
  const int slots = options.slots > 0 ? options.slots : experts;
  if (slots % ep != 0) {
    refuse(fmt::format("{} slots do not divide over {} GPUs", slots, ep),
           options.slots > 0 ? "slots a layer are a multiple of the EP size"
                             : "name --slots N or --slots-per-gpu N to fill the rest with replicas");
  }
  return slots / ep;
}

planner::SlotShape choose_shape(const PlaceOptions& options, const Inputs& inputs) {
  planner::SlotShape shape;
  const int gpus = inputs.cluster.ranks();
  shape.gpus = options.ep > 0 ? options.ep : inputs.plan ? inputs.plan->layout.ep : gpus;
  if (inputs.plan && shape.gpus != inputs.plan->layout.ep)
    refuse(fmt::format("--ep {} is not the plan's ep {}", options.ep, inputs.plan->layout.ep));
  if (shape.gpus > gpus)
    refuse(fmt::format("--ep {} is more than the {} GPUs of cluster {}", shape.gpus, gpus,
                       inputs.cluster.name()));
  shape.gpus_per_node = std::min(shape.gpus, inputs.cluster.gpus_per_node());
  if (shape.gpus % shape.gpus_per_node != 0) {
    refuse(fmt::format("--ep {} is no whole number of nodes of {} GPUs", shape.gpus, shape.gpus_per_node));
  }
  shape.slots_per_gpu = choose_slots(options, inputs.loads->experts(), shape.gpus);
  if (options.keep_groups) {
    if (!inputs.model || inputs.model->groups <= 1)
      refuse("--keep-groups needs a model with group-limited routing", "such as --model deepseek-v3");
    shape.groups = inputs.model->groups;
  }
  return shape;
}

/// "A:B" -> iterations A .. B-1.
planner::IterationRange parse_range(const std::string& flag, const std::string& text, int iterations) {
  const std::size_t colon = text.find(':');
  const auto first = base::parse_integer(text.substr(0, colon));
  const auto last = base::parse_integer(colon == std::string::npos ? std::string() : text.substr(colon + 1));
  if (!first || !last || *first < 0 || *last <= *first) {
    refuse(fmt::format("{} {}: expected A:B, the iterations A to B - 1", flag, base::excerpt(text)),
           "e.g. 0:10");
  }
  if (*last > iterations)
    refuse(fmt::format("{} {} reaches beyond the load's {} iterations", flag, text, iterations));
  return {static_cast<int>(*first), static_cast<int>(*last)};
}

std::vector<planner::Window> choose_windows(const PlaceOptions& options, int iterations) {
  planner::Window window{{0, iterations}, {0, iterations}};
  if (!options.train_on.empty()) window.train = parse_range("--train-on", options.train_on, iterations);
  window.score = window.train;
  if (!options.score_on.empty()) window.score = parse_range("--score-on", options.score_on, iterations);
  return planner::roll_windows(window, options.roll, iterations);
}

std::vector<std::string> choose_solvers(const PlaceOptions& options) {
  planner::make_solver(options.solver);  // throws where there is none of this name
  if (options.no_compare) return {options.solver};
  std::vector<std::string> names = planner::solver_names();
  if (options.solver != "exact") std::erase(names, "exact");
  return names;
}

/// Weights that GPUs do not hold under the contiguous start: experts that are new to them.
std::int64_t count_moved(const planner::SlotShape& shape, int experts,
                         const std::vector<std::int32_t>& slots) {
  std::int64_t moved = 0;
  const auto per_gpu = static_cast<std::size_t>(shape.slots_per_gpu);
  for (std::size_t g = 0; g < static_cast<std::size_t>(shape.gpus); ++g) {
    std::set<std::int32_t> before;
    std::set<std::int32_t> after;
    for (std::size_t s = g * per_gpu; s < (g + 1) * per_gpu; ++s) {
      before.insert(static_cast<std::int32_t>(s % static_cast<std::size_t>(experts)));
      after.insert(slots[s]);
    }
    moved += std::count_if(after.begin(), after.end(), [&](std::int32_t e) { return before.count(e) == 0; });
  }
  return moved;
}

/// Sizes that published planners' models are fed with: the model's and the run's, else their own defaults.
planner::SystemJob system_job(const Inputs& inputs) {
  planner::SystemJob job;
  if (!inputs.model) return job;
  job.hidden = static_cast<double>(inputs.model->dispatch_width);
  job.parameters = static_cast<double>(sim::expert_parameters(*inputs.model));
  if (inputs.run) job.assignments = static_cast<double>(inputs.run->seq_len) * inputs.model->top_k;
  return job;
}

planner::TokenSplit split_of(const PlaceOptions& options) {
  if (options.split == "weighted") return planner::TokenSplit::kWeighted;
  return options.split == "locality" ? planner::TokenSplit::kLocality : planner::TokenSplit::kEven;
}

planner::SolverStudy* find_solver(planner::Study& study, const std::string& name) {
  const auto found = std::find_if(study.solvers.begin(), study.solvers.end(),
                                  [&](const planner::SolverStudy& one) { return one.name == name; });
  return found == study.solvers.end() ? nullptr : &*found;
}

/// Replaces the chosen solver's placement by the one with the shortest layer times.
void place_by_time(const PlaceOptions& options, const Inputs& inputs, PlaceReport& report) {
  if (options.solver != "moeplan")
    refuse(fmt::format("--objective layer_time is of solver moeplan, not of {}", options.solver));
  planner::Study& study = report.study;
  std::vector<const sim::Placement*> candidates;
  for (const planner::SolverStudy& one : study.solvers) {
    if (one.refusal.empty() && one.avoidable <= 0 && !planner::is_system(one.name))
      candidates.push_back(&one.placement);
  }
  const sim::Job job = inputs.job();
  const planner::LayerTimeModel model(job, report.shape.gpus, sim::NetworkMode::kBound);
  const planner::Window& window = study.windows.front();
  const planner::SolverStudy& load_only = *find_solver(study, "moeplan");
  const auto begin = std::chrono::steady_clock::now();
  planner::TimedPlacement timed =
      planner::place_by_layer_time(model, *inputs.loads, window.train, report.shape, load_only.placement,
                                   candidates, split_of(options), options.common.threads);
  study.solvers.push_back(planner::study_placement(*inputs.loads, report.shape, window, "moeplan_time",
                                                   std::move(timed.placement), study.bound));
  study.solvers.back().seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  report.chosen = "moeplan_time";
}

/// Layer times of every solver's placement.
void time_solvers(const PlaceOptions& options, const Inputs& inputs, PlaceReport& report) {
  const sim::Job job = inputs.job();
  const planner::LayerTimeModel model(
      job, report.shape.gpus, options.sharing == "flow" ? sim::NetworkMode::kFlow : sim::NetworkMode::kBound);
  for (const planner::SolverStudy& one : report.study.solvers) {
    std::vector<double> times(one.placement.slots.size());
    base::parallel_for(times.size(), options.common.threads, [&](std::size_t l) {
      times[l] = planner::mean_layer_time(model, *inputs.loads, report.study.windows.front().score,
                                          static_cast<int>(l), report.shape, one.placement.slots[l],
                                          split_of(options), kTimedIterations);
    });
    report.times.push_back(std::move(times));
  }
}

/// Share of its expert's tokens that each slot gets.
std::vector<double> even_split(const std::vector<std::int32_t>& slots, int experts) {
  std::vector<int> count(static_cast<std::size_t>(experts), 0);
  for (const std::int32_t e : slots) ++count[static_cast<std::size_t>(e)];
  std::vector<double> split;
  for (const std::int32_t e : slots) split.push_back(1.0 / count[static_cast<std::size_t>(e)]);
  return split;
}

/// The same where tokens prefer their own node and all nodes send alike.
std::vector<double> local_split(const std::vector<std::int32_t>& slots, int experts,
                                const planner::SlotShape& shape) {
  constexpr std::int32_t kTokens = 1'000'000;
  const sim::RoutingMatrix routing{
      shape.gpus, experts,
      std::vector<std::int32_t>(static_cast<std::size_t>(shape.gpus) * static_cast<std::size_t>(experts),
                                kTokens)};
  const sim::MoeTraffic traffic =
      planner::split_tokens(routing, shape, slots, planner::TokenSplit::kLocality);
  std::vector<double> split;
  for (const std::int64_t tokens : traffic.slot_tokens)
    split.push_back(static_cast<double>(tokens) / kTokens / shape.gpus);
  return split;
}

void fill_layers(const PlaceOptions& options, const Inputs& inputs, PlaceReport& report) {
  const std::size_t chosen =
      static_cast<std::size_t>(find_solver(report.study, report.chosen) - report.study.solvers.data());
  const planner::PlacementProblem score =
      planner::make_problem(*inputs.loads, report.study.windows.front().score, report.shape);
  for (int l = 0; l < score.layers; ++l) {
    const std::vector<std::int32_t>& slots = report.placement.slots[static_cast<std::size_t>(l)];
    PlacedLayerReport layer;
    layer.max_over_mean =
        planner::check_layer(score.shape, score.experts, score.layer(l).load, slots).max_over_mean;
    layer.lower_bound = report.study.layer_bound[static_cast<std::size_t>(l)];
    layer.split = options.split == "locality" ? local_split(slots, score.experts, report.shape)
                  : options.split == "weighted"
                      ? planner::split_by_load(score.layer(l).mean, report.shape, slots).share
                      : even_split(slots, score.experts);
    if (inputs.model) {
      layer.moved_bytes = count_moved(report.shape, score.experts, slots) *
                          sim::expert_parameters(*inputs.model) * kBf16Bytes;
    }
    if (!report.times.empty()) layer.layer_time_s = report.times[chosen][static_cast<std::size_t>(l)];
    report.layers.push_back(std::move(layer));
  }
}

void write_stats(const std::string& path, const planner::Study& study) {
  base::JsonWriter json;
  json.begin_object();
  json.key("seconds");
  json.begin_object();
  for (const planner::SolverStudy& one : study.solvers) {
    if (one.refusal.empty()) json.field(one.name, one.seconds);
  }
  json.end_object();
  json.end_object();
  base::write_file_atomically(path, json.text());
}

void write_files(const PlaceOptions& options, const Inputs& inputs, const PlaceReport& report) {
  std::string text;
  if (inputs.plan) {
    sim::PlanSpec plan = *inputs.plan;
    plan.placement = report.placement;
    text = sim::write_plan(plan);
  } else {
    text = sim::write_placement(report.placement);
  }
  base::write_file_atomically(options.common.output, text);
  const std::filesystem::path maps =
      std::filesystem::path(options.common.output).replace_extension(".eplb.json");
  base::write_file_atomically(maps.string(),
                              planner::write_maps_json(planner::make_maps(report.placement, report.experts)));
}

}  // namespace

int run_place(const PlaceOptions& options, Console console) {
  const Inputs inputs = load_inputs(options);
  PlaceReport report;
  report.objective = options.objective;
  report.chosen = options.solver;
  report.load = inputs.loads->description();
  report.experts = inputs.loads->experts();
  report.shape = choose_shape(options, inputs);
  const std::vector<planner::Window> windows = choose_windows(options, inputs.loads->iterations());
  const std::string fault =
      planner::find_problem_fault(planner::make_problem(*inputs.loads, windows.front().train, report.shape));
  if (!fault.empty()) refuse(fault);
  report.study = planner::run_study(*inputs.loads, report.shape, windows, choose_solvers(options),
                                    options.common.threads, system_job(inputs));
  const planner::SolverStudy& wanted = *find_solver(report.study, options.solver);
  if (!wanted.refusal.empty()) refuse(fmt::format("--solver {}: {}", options.solver, wanted.refusal));
  if (options.objective == "layer_time") place_by_time(options, inputs, report);
  report.placement = find_solver(report.study, report.chosen)->placement;
  if (inputs.has_times()) time_solvers(options, inputs, report);
  fill_layers(options, inputs, report);
  if (!options.common.output.empty()) write_files(options, inputs, report);
  if (!options.common.stats.empty()) write_stats(options.common.stats, report.study);
  console.out << (options.common.json ? write_place_json(report) : write_place_table(report));
  return kOk;
}

}  // namespace moeplan::cli
