#include "planner/sweep/evaluate.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "base/check.h"
#include "base/quantity_text.h"
#include "planner/search/axes.h"
#include "planner/search/search.h"

namespace moeplan::planner {

namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

const std::vector<std::string> kStepColumns{"step_time_s",
                                            "band_low_s",
                                            "band_high_s",
                                            "p50_s",
                                            "p95_s",
                                            "tokens_per_s_per_gpu",
                                            "model_tflops_per_gpu",
                                            "mfu",
                                            "memory_reserved_gib",
                                            "memory_limit_gib",
                                            "compute_s",
                                            "exposed_comm_s",
                                            "bubble_s",
                                            "imbalance_s",
                                            "host_s",
                                            "optimizer_s",
                                            "other_s",
                                            "load_max_over_mean"};
const std::vector<std::string> kPlanColumns{"tp", "pp", "vp", "cp", "ep", "etp", "dp", "micro_batch", "gpus"};

void append_step(const sim::StepResult& r, std::vector<double>& out) {
  const sim::Breakdown& b = r.breakdown;
  for (const double value :
       {r.step_time.s(), r.band_low.s(), r.band_high.s(), r.p50.s(), r.p95.s(), r.tokens_per_s_per_gpu,
        r.model_flops_per_s_per_gpu * 1e-12, r.mfu, r.memory.reserved.gib(), r.memory.limit.gib(),
        b.compute.s(), b.exposed_comm.s(), b.bubble.s(), b.imbalance.s(), b.host.s(), b.optimizer.s(),
        b.other.s(), r.load_max_over_mean})
    out.push_back(value);
}

void append_plan(const sim::PlanSpec& plan, std::vector<double>& out) {
  const sim::ParallelLayout& l = plan.layout;
  for (const double value : {double(l.tp), double(l.pp), double(l.vp), double(l.cp), double(l.ep),
                             double(l.etp), double(l.dp), double(plan.micro_batch), double(l.world())})
    out.push_back(value);
}

SweepRow row_without_figures(SweepVerb verb, std::string status, std::string reason) {
  return {std::move(status), std::move(reason), "", std::vector<double>(sweep_columns(verb).size(), kNone)};
}

SweepRow simulate_point(const SweepSpec& spec, const PointInputs& inputs) {
  if (inputs.plan == nullptr) return row_without_figures(spec.verb, "refused", inputs.refusal);
  const sim::Job job = inputs.job();
  const std::vector<sim::PlanFault> faults = sim::find_faults(job, *inputs.plan);
  if (!faults.empty()) {
    SweepRow row = row_without_figures(spec.verb, "refused",
                                       fmt::format("{}: {}", faults.front().rule, faults.front().message));
    row.plan = sim::short_name(*inputs.plan);
    return row;
  }
  sim::SimulateOptions options;
  options.network = spec.sharing == "bound" ? sim::NetworkMode::kBound : sim::NetworkMode::kFlow;
  options.max_iterations = spec.iterations;
  options.what_if = false;
  options.seed = spec.seed;
  const sim::StepResult result = sim::simulate_step(job, *inputs.plan, options).result;
  SweepRow row{"ok", "", sim::short_name(*inputs.plan), {}};
  if (!result.memory.fits()) {
    row.status = "infeasible";
    row.reason = fmt::format("memory: stage {} needs {}, {} more than a GPU has", result.memory.worst_stage,
                             base::pretty(result.memory.reserved),
                             base::pretty(result.memory.reserved - result.memory.limit));
  }
  append_step(result, row.figures);
  append_plan(*inputs.plan, row.figures);
  return row;
}

SweepRow plan_point(const SweepSpec& spec, const PointInputs& inputs) {
  SearchOptions options;
  options.framework = spec.framework;
  options.top = 1;
  options.budget = spec.budget;
  options.pins = parse_pins(spec.pins);
  if (!spec.open.empty()) options.open = parse_open_axes(spec.open);
  options.threads = 1;
  options.iterations = spec.iterations;
  const SearchResult search = search_plans(inputs.job(), options);
  if (!search.feasible || search.plans.empty())
    return row_without_figures(spec.verb, "infeasible", search.why.substr(0, search.why.find('\n')));
  const RankedPlan& best = search.plans.front();
  SweepRow row{"ok", "", sim::short_name(best.plan), {}};
  append_step(best.result, row.figures);
  append_plan(best.plan, row.figures);
  return row;
}

}  // namespace

const std::vector<std::string>& sweep_columns(SweepVerb) {
  static const std::vector<std::string> kColumns = [] {
    std::vector<std::string> all = kStepColumns;
    all.insert(all.end(), kPlanColumns.begin(), kPlanColumns.end());
    return all;
  }();
  return kColumns;
}

std::size_t column_of(const std::string& name) {
  const std::vector<std::string>& columns = sweep_columns(SweepVerb::kSimulate);
  const auto at = std::find(columns.begin(), columns.end(), name);
  MOEPLAN_CHECK(at != columns.end(), "no such figure");
  return static_cast<std::size_t>(at - columns.begin());
}

SweepRow evaluate_point(const SweepSpec& spec, const PointInputs& inputs) {
  try {
    return spec.verb == SweepVerb::kSimulate ? simulate_point(spec, inputs) : plan_point(spec, inputs);
  } catch (const base::InputError& error) {
    // The inputs are sound each by itself, and no plan or model of theirs can run: a result, not a slip of
    // the pen.
    return row_without_figures(spec.verb, "refused", error.diagnostics().front().message);
  }
}

}  // namespace moeplan::planner
