#include "planner/sweep/point_runner.h"

#include <cmath>

#include <fmt/format.h>

#include "base/quantity_text.h"
#include "planner/sweep/figures.h"

namespace moeplan::sweep {

namespace {

void take_figures(const Outcome& outcome, Verb verb, PointResult& result) {
  for (const Figure& figure : all_figures()) {
    if (figure.of_plan_only && verb != Verb::kPlan) continue;
    const double value = figure.value(outcome);
    if (std::isfinite(value)) result.figures[figure.name] = value;  // else there is none
  }
}

std::string overflow_text(const sim::MemoryResult& memory) {
  return fmt::format("stage {} needs {}, {} more than the {} of a GPU", memory.worst_stage,
                     base::pretty(memory.reserved), base::pretty(memory.reserved - memory.limit),
                     base::pretty(memory.limit));
}

/// The first line that says something: reasons of a table are one line.
std::string one_line(const std::string& text) {
  const std::size_t begin = text.find_first_not_of("\n ");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find('\n', begin) - begin);
}

}  // namespace

std::string_view name(PointStatus status) {
  switch (status) {
    case PointStatus::kOk:
      return "ok";
    case PointStatus::kInfeasible:
      return "infeasible";
    case PointStatus::kRefused:
      return "refused";
  }
  return "?";
}

PointResult PointRunner::run(std::size_t point) {
  try {
    take_inputs(point);
    return verb_ == Verb::kSimulate ? simulate(point) : search();
  } catch (const base::InputError& error) {
    held_.reset();  // some of the inputs may be of the point before
    PointResult refused;
    refused.status = PointStatus::kRefused;
    for (const base::Diagnostic& fault : error.diagnostics())
      refused.reason += (refused.reason.empty() ? "" : "; ") + fault.message;
    return refused;
  }
}

void PointRunner::take_inputs(std::size_t point) {
  const InputSet::Variants wanted = inputs_.variants(point);
  const auto differs = [&](Input input) { return !held_ || (*held_)[index(input)] != wanted[index(input)]; };
  const bool options = differs(Input::kOptions);
  const bool model = options || differs(Input::kModel);
  const bool run = options || differs(Input::kRun);
  const bool loads = model || differs(Input::kLoad);
  const bool cluster = differs(Input::kCluster);
  const bool profile = differs(Input::kProfile);
  if (options) options_ = inputs_.options(point);
  if (cluster) cluster_.emplace(inputs_.cluster(point));
  if (profile) profile_.emplace(inputs_.profile(point));
  if (model) model_.emplace(inputs_.model(point));
  if (run) run_.emplace(inputs_.run(point));
  if (loads) loads_ = inputs_.loads(point, *model_);
  // Costs are kept for plans of one job.
  if (model || run || loads || cluster || profile) cache_ = sim::make_cost_cache();
  held_ = wanted;
}

PointResult PointRunner::simulate(std::size_t point) {
  PointResult result;
  const sim::PlanSpec plan = inputs_.plan(point);
  result.plan = sim::short_name(plan);
  for (const sim::PlanFault& fault : sim::find_faults(job(), plan))
    result.reason += fmt::format("{}{}: {}", result.reason.empty() ? "" : "; ", fault.rule, fault.message);
  if (!result.reason.empty()) {
    result.status = PointStatus::kInfeasible;
    return result;
  }
  const sim::StepResult step = sim::simulate_step(job(), plan, options_.simulate, cache_.get()).result;
  if (!step.memory.fits()) {
    result.status = PointStatus::kInfeasible;
    result.reason = overflow_text(step.memory);
  }
  take_figures({step, plan.layout.world()}, verb_, result);
  return result;
}

PointResult PointRunner::search() {
  PointResult result;
  const planner::SearchResult search = planner::search_plans(job(), options_.search);
  if (!search.feasible || search.plans.empty()) {
    result.status = PointStatus::kInfeasible;
    result.reason = one_line(search.why);
    result.figures["plans_searched"] = static_cast<double>(search.searched);
    result.figures["plans_simulated"] = static_cast<double>(search.evaluated);
    return result;
  }
  const planner::RankedPlan& best = search.plans.front();
  result.plan = sim::short_name(best.plan);
  result.plan_yaml = sim::write_plan(best.plan);
  take_figures({best.result, best.plan.layout.world(), search.searched, search.evaluated}, verb_, result);
  return result;
}

}  // namespace moeplan::sweep
