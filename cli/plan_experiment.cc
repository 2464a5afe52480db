#include "cli/plan_experiment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>

#include <fmt/format.h>

#include "base/files.h"
#include "base/quantity_text.h"
#include "cli/experiment.h"
#include "planner/export/megatron_arguments.h"
#include "planner/search/explain.h"

namespace moeplan::cli {

namespace {

constexpr std::size_t kRuns = 3;

/// Shares of a step by what an anchor can move apart: compute, exposed communication, all else.
std::array<double, 3> character(const sim::StepResult& result) {
  const double step = result.step_time.s();
  const double compute = result.breakdown.compute.s() / step;
  const double communication = result.breakdown.exposed_comm.s() / step;
  return {compute, communication, 1.0 - compute - communication};
}

double distance(const planner::RankedPlan& a, const planner::RankedPlan& b) {
  const auto x = character(a.result);
  const auto y = character(b.result);
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += (x[i] - y[i]) * (x[i] - y[i]);
  return std::sqrt(sum);
}

}  // namespace

std::vector<std::size_t> choose_experiment(const std::vector<planner::RankedPlan>& plans) {
  if (plans.empty()) return {};
  std::vector<std::size_t> open;
  for (std::size_t k = 1; k < plans.size(); ++k) {
    if (planner::bands_overlap(plans[0].result, plans[k].result)) open.push_back(k);
  }
  std::vector<std::size_t> chosen{0};
  while (chosen.size() < kRuns && !open.empty()) {
    const auto apart = [&](std::size_t k) {
      double nearest = distance(plans[k], plans[chosen.front()]);
      for (const std::size_t other : chosen) nearest = std::min(nearest, distance(plans[k], plans[other]));
      return nearest;
    };
    // Of equally different ones the faster: the first.
    const auto best = std::max_element(open.begin(), open.end(),
                                       [&](std::size_t a, std::size_t b) { return apart(a) < apart(b); });
    chosen.push_back(*best);
    open.erase(best);
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

std::string write_experiment_files(const PlanOptions& options, const JobFiles& inputs,
                                   const planner::SearchResult& search) {
  const std::vector<std::size_t> chosen = choose_experiment(search.plans);
  if (chosen.size() < 2)
    return "experiment: the bands of the plans shown do not overlap rank 1's, so there is nothing to tell "
           "apart\n";
  const sim::Job job = inputs.job();
  const auto path = [&](const std::string& name) {
    return (std::filesystem::path(options.experiment) / name).string();
  };
  Experiment experiment{options.job, options.common.seed, {}};
  std::string told = fmt::format(
      "experiment: run each of these {} plans for 20 to 30 iterations on the whole cluster\n", chosen.size());
  std::vector<std::pair<std::string, std::string>> files;
  for (const std::size_t k : chosen) {
    const planner::RankedPlan& ranked = search.plans[k];
    const std::string name = fmt::format("plan-{}.yaml", k + 1);
    const std::string log = fmt::format("run-{}.log", k + 1);
    files.emplace_back(name, sim::write_plan(ranked.plan));
    const planner::PlanContext context{job.model, job.run, job.cluster.ranks()};
    const bool runs_in_megatron = planner::find_megatron_faults(context, ranked.plan).empty();
    if (runs_in_megatron) {
      const auto arguments = planner::write_megatron_arguments(context, ranked.plan);
      files.emplace_back(
          fmt::format("run-{}.sh", k + 1),
          planner::write_launch_script(arguments, context, ranked.plan, job.cluster.gpus_per_node()));
    }
    experiment.runs.push_back({name, log});
    told += fmt::format("  {:<34} {} to {}{}; log into {}\n", sim::short_name(ranked.plan),
                        base::pretty(ranked.result.band_low), base::pretty(ranked.result.band_high),
                        runs_in_megatron ? fmt::format("; run-{}.sh", k + 1) : "", path(log));
  }
  files.emplace_back("experiment.yaml", write_experiment(experiment, options.experiment));
  for (const auto& [name, content] : files) base::write_file_atomically(path(name), content);
  return told +
         fmt::format("then: moeplan calibrate anchor --experiment {} -o anchored.yaml\n", options.experiment);
}

}  // namespace moeplan::cli
