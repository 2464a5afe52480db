#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "base/parallel.h"
#include "base/quantity_text.h"
#include "planner/search/evaluator.h"
#include "planner/search/explain.h"
#include "planner/search/search.h"

namespace moeplan::planner {

namespace {

using sim::PlanSpec;

constexpr int kMaxSteps = 6;  // of the climb to the best combination
constexpr int kMaxNodesOfClimb = 200;

/// `plan` with every exchange of context parallelism.
void add_exchanges(const PlanSpec& plan, const Space& space, std::vector<PlanSpec>& plans) {
  for (std::size_t c = 0; c < space.context.size(); ++c) {
    if (plan.layout.cp == 1 && c > 0) return;
    const auto exchange = fit_to_layout(space.context[c], plan.layout, space.nvlink_domain);
    if (!exchange) continue;
    plans.push_back(plan);
    plans.back().stated_cp_comm = exchange->kind;
    plans.back().cp_a2a_size = exchange->a2a_size;
  }
}

/// Changes along axes that were opened and have no degree of their own.
void add_opened_axes(const PlanSpec& base, const Space& space, const Evaluator& evaluator,
                     std::vector<PlanSpec>& plans) {
  const std::size_t before = plans.size();
  if (space.given.overlap) {
    for (const sim::LayerOverlap& overlap : space.overlap) {
      plans.push_back(base);
      plans.back().overlap = overlap;
    }
  }
  if (space.given.cp) add_exchanges(base, space, plans);
  if (space.given.sharding) {
    for (const ShardingValue& value : space.sharding) {
      const auto shared = fit_to_layout(value, base.layout, space.nvlink_domain);
      if (!shared) continue;
      plans.push_back(base);
      apply_sharding(*shared, plans.back());
    }
  }
  if (space.given.schedule) {
    for (const ScheduleValue& schedule : space.schedule) {
      if (!fits_chunks(schedule, base.layout.pp, base.layout.vp)) continue;
      plans.push_back(base);
      plans.back().stated_schedule = schedule;
    }
  }
  if (space.given.stages && base.layout.pp > 1) {
    for (const StageRule rule : space.stages) {
      plans.push_back(base);
      plans.back().split = rule == StageRule::kBalanced ? evaluator.balanced_split(base) : sim::StageSplit();
    }
  }
  if (space.given.dispatcher && base.layout.ep > 1) {
    for (const sim::Dispatcher dispatcher : space.dispatcher) {
      plans.push_back(base);
      plans.back().dispatcher = dispatcher;
      if (dispatcher != base.dispatcher) plans.back().dispatcher_sms = 0;
    }
  }
  const auto same = std::remove(plans.begin() + static_cast<std::ptrdiff_t>(before), plans.end(), base);
  plans.erase(same, plans.end());
}

/// Every plan one axis away from `base`. A change of TP or PP changes DP and EDP with it.
std::vector<PlanSpec> one_axis_away(const PlanSpec& base, const Space& space, const Evaluator& evaluator) {
  std::vector<PlanSpec> plans;
  const auto with_layout = [&](auto change) {
    PlanSpec plan = base;
    change(plan.layout);
    sim::ParallelLayout& l = plan.layout;
    const int dense = l.tp * l.pp * l.cp;
    const int expert = l.etp * l.ep * l.pp;
    if (space.gpus % dense != 0 || space.gpus % expert != 0) return;
    l.dp = space.gpus / dense;
    l.edp = space.gpus / expert;
    if (l.pp != base.layout.pp || l.vp != base.layout.vp) plan.split = {};
    if (l.ep != base.layout.ep) plan.placement = {};
    if (l == base.layout) return;
    if (l.cp == base.layout.cp) {
      plans.push_back(plan);
    } else {
      add_exchanges(plan, space, plans);
    }
  };
  for (const int tp : space.tp) with_layout([tp](auto& l) { l.tp = tp; });
  for (const int pp : space.pp) with_layout([pp](auto& l) { l.pp = pp, l.vp = pp == 1 ? 1 : l.vp; });
  for (const int vp : space.vp) with_layout([vp](auto& l) { l.vp = vp; });
  for (const int ep : space.ep) with_layout([ep](auto& l) { l.ep = ep; });
  for (const int cp : space.cp) with_layout([cp, &space](auto& l) { l.cp = space.given.cp ? cp : l.cp; });
  for (const int etp : space.etp) with_layout([etp](auto& l) { l.etp = etp; });
  const auto with = [&](auto change) {
    PlanSpec plan = base;
    change(plan);
    plans.push_back(plan);
  };
  for (const int mb : space.micro_batch) {
    if (mb != base.micro_batch) with([mb](PlanSpec& p) { p.micro_batch = mb; });
  }
  for (const sim::Recompute& recompute : space.recompute) {
    if (!(recompute == base.recompute)) with([&recompute](PlanSpec& p) { p.recompute = recompute; });
  }
  for (const int chunks : space.chunk_degree) {
    if (chunks != base.chunk_degree) with([chunks](PlanSpec& p) { p.chunk_degree = chunks; });
  }
  add_opened_axes(base, space, evaluator, plans);
  if (!base.distributed_optimizer) with([](PlanSpec& p) { p.distributed_optimizer = true; });
  if (!base.overlap_grad_reduce) with([](PlanSpec& p) { p.overlap_grad_reduce = true; });
  if (base.distributed_optimizer && base.overlap_grad_reduce && !base.overlap_param_gather)
    with([](PlanSpec& p) { p.overlap_param_gather = true; });
  if (!base.split.layers_per_chunk.empty()) with([](PlanSpec& p) { p.split = {}; });
  if (base.placement.is_contiguous() && base.layout.ep > 1 && evaluator.greedy_gains(base.layout.ep)) {
    with([&evaluator](PlanSpec& p) { p.placement = evaluator.greedy(p.layout.ep); });
  }
  return plans;
}

class Climb {
 public:
  Climb(const sim::Job& job, const PlanSpec& base, const SearchOptions& options)
      : options_(options),
        base_(base),
        space_(build_space(job.model,
                           {job.cluster.ranks(), job.cluster.nvlink_domain(), options.framework == "any"},
                           options.pins, options.open, options.choices)),
        evaluator_(job, options.framework, space_.ep),
        budget_(options.budget > 0 ? options.budget
                                   : kMaxNodesOfClimb + kBudgetOfAnAxis * options.open.count()) {}

  SearchResult run() {
    base_result_ = evaluator_.simulate(base_, options_.iterations, false);
    std::vector<RankedPlan> singles = evaluate(one_axis_away(base_, space_, evaluator_));
    sort(singles);
    std::vector<RankedPlan> shown = singles;
    if (!singles.empty() && gains(singles.front(), base_result_)) combine(singles.front(), shown);
    finish(std::move(shown));
    return std::move(result_);
  }

 private:
  static void sort(std::vector<RankedPlan>& plans) {
    std::stable_sort(plans.begin(), plans.end(), [](const RankedPlan& a, const RankedPlan& b) {
      return a.result.step_time < b.result.step_time;
    });
  }

  static bool gains(const RankedPlan& plan, const sim::StepResult& over) {
    return plan.result.step_time < over.step_time;
  }

  /// Simulates those that keep the rules and fit; counts the others.
  std::vector<RankedPlan> evaluate(const std::vector<PlanSpec>& plans) {
    std::vector<PlanSpec> fresh;
    for (const PlanSpec& plan : plans) {
      if (seen_.insert(sim::write_plan(plan)).second) fresh.push_back(plan);
    }
    std::vector<std::string> rules(fresh.size());
    std::vector<RankedPlan> ranked(fresh.size());
    const std::int64_t left = budget_ - result_.evaluated;
    base::parallel_for(fresh.size(), options_.threads, [&](std::size_t i) {
      rules[i] = evaluator_.find_broken_rule(fresh[i]);
      if (rules[i].empty() && static_cast<std::int64_t>(i) >= left) rules[i] = "budget";
      if (!rules[i].empty()) return;
      if (!evaluator_.memory(fresh[i]).fits()) {
        rules[i] = "memory";
        return;
      }
      ranked[i] = {fresh[i], evaluator_.simulate(fresh[i], options_.iterations, false), ""};
    });
    std::vector<RankedPlan> kept;
    result_.searched += static_cast<std::int64_t>(fresh.size());
    for (std::size_t i = 0; i < fresh.size(); ++i) {
      if (!rules[i].empty()) {
        ++result_.pruned[rules[i]];
      } else {
        ++result_.evaluated;
        kept.push_back(std::move(ranked[i]));
      }
    }
    return kept;
  }

  /// Repeats from the best plan so far until nothing gains.
  void combine(RankedPlan best, std::vector<RankedPlan>& shown) {
    for (int step = 0; step < kMaxSteps; ++step) {
      std::vector<RankedPlan> next = evaluate(one_axis_away(best.plan, space_, evaluator_));
      sort(next);
      if (next.empty() || !gains(next.front(), best.result)) break;
      best = next.front();
      combination_ = true;
      if (step + 1 == kMaxSteps || result_.evaluated >= budget_) break;
    }
    if (combination_) shown.push_back(best);
  }

  void finish(std::vector<RankedPlan> shown) {
    sort(shown);
    shown.resize(std::min(shown.size(), static_cast<std::size_t>(std::max(1, options_.top))));
    for (std::size_t k = 0; k < shown.size(); ++k) {
      RankedPlan& ranked = shown[k];
      const double gain = 1 - ranked.result.step_time / base_result_.step_time;
      const std::string deltas = describe_deltas(ranked.result.breakdown, base_result_.breakdown);
      ranked.why = fmt::format("{} {:.1f} % against the plan one has{}: {}", gain >= 0 ? "gains" : "loses",
                               std::abs(gain) * 100, deltas.empty() ? "" : " (" + deltas + ")",
                               describe_difference(ranked.plan, base_));
      if (gain >= 0 && gain < kNoise) ranked.why += "; within the noise of measurements";
      ranked.plan.why = ranked.why;
      ranked.plan.name = fmt::format("plan-{}", k + 1);
    }
    const sim::MemoryResult memory = evaluator_.memory(base_);
    result_.why =
        fmt::format("{} takes {} a step{}.\n", sim::short_name(base_), base::pretty(base_result_.step_time),
                    memory.fits() ? ""
                                  : fmt::format(" (and is {:.1f} GiB over the memory limit by our count)",
                                                (memory.reserved - memory.limit).gib()));
    if (!shown.empty() && gains(shown.front(), base_result_)) {
      result_.why +=
          fmt::format("Best {}: {} {}.\n", combination_ ? "combination of changes" : "single change",
                      sim::short_name(shown.front().plan), shown.front().why);
    } else {
      result_.why += "No change of one axis gains.\n";
    }
    result_.feasible = !shown.empty();
    result_.plans = std::move(shown);
  }

  const SearchOptions& options_;
  const PlanSpec& base_;
  Space space_;
  Evaluator evaluator_;
  std::int64_t budget_;
  sim::StepResult base_result_;
  std::set<std::string> seen_;
  bool combination_ = false;
  SearchResult result_;
};

}  // namespace

SearchResult search_neighbours(const sim::Job& job, const sim::PlanSpec& base, const SearchOptions& options) {
  std::vector<base::Diagnostic> diagnostics;
  for (const sim::PlanFault& fault : sim::find_faults(job, base))
    diagnostics.push_back({"", {}, "plan", fmt::format("{} [{}]", fault.message, fault.rule), ""});
  if (!diagnostics.empty()) throw base::InputError(diagnostics);
  return Climb(job, base, options).run();
}

}  // namespace moeplan::planner
