#include "planner/placement/study.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "planner/placement/checker.h"
#include "planner/placement/lower_bound.h"
#include "planner/placement/system_slots.h"

namespace moeplan::planner {

namespace {

constexpr double kNormalQuantile = 1.645;  // 90 %, two-sided

double mean_of(const std::vector<double>& values) {
  return values.empty()
             ? 0.0
             : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// Lower bound of max/mean, layer by layer.
std::vector<double> bounds(const PlacementProblem& problem) {
  std::vector<double> result;
  for (int l = 0; l < problem.layers; ++l) {
    const LayerProblem layer = problem.layer(l);
    const double mean = std::accumulate(layer.mean.begin(), layer.mean.end(), 0.0) / layer.shape.gpus;
    result.push_back(mean > 0 ? std::max(1.0, lower_bound(layer) / mean) : 1.0);
  }
  return result;
}

/// Adds one window to a solver's sums.
void score_window(const PlacementProblem& train, const PlacementProblem& score,
                  const sim::Placement& placement, SolverStudy& study) {
  double planned = 0;
  double scored = 0;
  for (int l = 0; l < train.layers; ++l) {
    const Slots& slots = placement.slots[static_cast<std::size_t>(l)];
    const LayerScore before = check_layer(train.shape, train.experts, train.layer(l).load, slots);
    const LayerScore after = check_layer(score.shape, score.experts, score.layer(l).load, slots);
    MOEPLAN_CHECK(before.fault.empty(), study.name + ": " + before.fault);
    planned += before.max_over_mean / train.layers;
    scored += after.max_over_mean / train.layers;
    study.by_case.push_back(after.max_over_mean);
    study.worst = std::max(study.worst, after.max_over_mean);
    study.duplicates += static_cast<double>(after.duplicates) / train.layers;
    study.avoidable += static_cast<double>(after.avoidable_duplicates) / train.layers;
  }
  study.planned += planned;
  study.by_window.push_back(scored);
}

/// Adds one of `windows` windows to the costs by a solver's own model, where it has one.
void add_own_cost(const PlacementSolver& solver, const PlacementProblem& train,
                  const sim::Placement& placement, double windows, SolverStudy& study) {
  for (int l = 0; l < train.layers; ++l) {
    const LayerProblem layer = train.layer(l);
    const auto cost = solver.own_cost(layer, placement.slots[static_cast<std::size_t>(l)]);
    if (!cost) return;
    const auto start = solver.own_cost(layer, home_slots(layer));
    const double weight = 1.0 / (windows * train.layers);
    study.own_cost = study.own_cost.value_or(0.0) + weight * *cost;
    study.own_cost_start = study.own_cost_start.value_or(0.0) + weight * start.value_or(0.0);
  }
}

}  // namespace

std::vector<Window> roll_windows(const Window& first, int step, int iterations) {
  std::vector<Window> windows;
  for (Window w = first; w.train.last <= iterations && w.score.last <= iterations;) {
    windows.push_back(w);
    if (step <= 0) break;
    for (int* bound : {&w.train.first, &w.train.last, &w.score.first, &w.score.last}) *bound += step;
  }
  return windows;
}

PlacementProblem make_problem(const sim::ExpertLoads& loads, IterationRange range, const SlotShape& shape,
                              const SystemJob& job) {
  PlacementProblem problem{shape, loads.moe_layers(), loads.experts(), range.size(), {}, {}, job};
  problem.load.reserve(static_cast<std::size_t>(problem.layers) *
                       static_cast<std::size_t>(problem.iterations) *
                       static_cast<std::size_t>(problem.experts));
  for (int l = 0; l < problem.layers; ++l) {
    for (int i = range.first; i < range.last; ++i) {
      const std::span<const double> share = loads.mean_share(i, l);
      problem.load.insert(problem.load.end(), share.begin(), share.end());
    }
  }
  problem.fill_means();
  return problem;
}

Study run_study(const sim::ExpertLoads& loads, const SlotShape& shape, const std::vector<Window>& windows,
                const std::vector<std::string>& solvers, int threads, const SystemJob& job) {
  MOEPLAN_CHECK(!windows.empty(), "a study has a window");
  Study study;
  study.windows = windows;
  study.bound = 0;
  study.scored_bound = 0;
  for (const std::string& name : solvers) {
    study.solvers.push_back({});
    study.solvers.back().name = name;
    study.solvers.back().planned = 0;
  }
  const auto count = static_cast<double>(windows.size());
  for (const Window& window : windows) {
    const PlacementProblem train = make_problem(loads, window.train, shape, job);
    const PlacementProblem score = make_problem(loads, window.score, shape);
    const std::vector<double> scored_bounds = bounds(score);
    if (study.layer_bound.empty()) study.layer_bound = scored_bounds;
    study.bound += mean_of(bounds(train)) / count;
    study.scored_bound += mean_of(scored_bounds) / count;
    for (SolverStudy& one : study.solvers) {
      const auto solver = make_solver(one.name);
      one.refusal = solver->find_refusal(train.layer(0));
      if (!one.refusal.empty()) continue;
      const auto begin = std::chrono::steady_clock::now();
      sim::Placement placement = solve_all_layers(*solver, train, threads);
      one.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() / count;
      score_window(train, score, placement, one);
      add_own_cost(*solver, train, placement, count, one);
      if (one.placement.slots.empty()) one.placement = std::move(placement);
    }
  }
  for (SolverStudy& one : study.solvers) {
    one.planned /= count;
    one.duplicates /= count;
    one.avoidable /= count;
    one.scored = mean_of(one.by_window);
    one.gap = one.planned / study.bound - 1.0;
  }
  return study;
}

SolverStudy study_placement(const sim::ExpertLoads& loads, const SlotShape& shape, const Window& window,
                            const std::string& name, sim::Placement placement, double bound) {
  SolverStudy study;
  study.name = name;
  study.planned = 0;
  score_window(make_problem(loads, window.train, shape), make_problem(loads, window.score, shape), placement,
               study);
  study.scored = mean_of(study.by_window);
  study.gap = study.planned / bound - 1.0;
  study.placement = std::move(placement);
  return study;
}

PairedGain paired_gain(const std::vector<double>& baseline, const std::vector<double>& ours) {
  MOEPLAN_CHECK(baseline.size() == ours.size(), "paired values");
  std::vector<double> gain(ours.size());
  for (std::size_t i = 0; i < ours.size(); ++i) gain[i] = baseline[i] / ours[i] - 1.0;
  PairedGain result{mean_of(gain), 0.0};
  if (gain.size() < 2) return result;
  double squares = 0;
  for (const double g : gain) squares += (g - result.mean) * (g - result.mean);
  const auto n = static_cast<double>(gain.size());
  result.half_width = kNormalQuantile * std::sqrt(squares / (n - 1) / n);
  return result;
}

}  // namespace moeplan::planner
