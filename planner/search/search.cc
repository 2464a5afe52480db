#include "planner/search/search.h"

#include <algorithm>
#include <chrono>
#include <functional>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "base/parallel.h"
#include "planner/export/megatron_rules.h"
#include "planner/search/changes.h"
#include "planner/search/contest.h"
#include "planner/search/evaluator.h"
#include "planner/search/explain.h"
#include "planner/search/joint.h"
#include "planner/search/sieve.h"

namespace moeplan::planner {

namespace {

using base::Seconds;
using sim::PlanSpec;

/// Finalists that are simulated at once, at least, and those that there are.
constexpr std::size_t kLeastTurn = 2;
constexpr std::size_t kLeastFinalists = 8;
/// Draws of routing, over layers and micro-batches, that a plan is ranked by.
constexpr int kRankingDraws = 32;

class Search {
 public:
  Search(const sim::Job& job, const SearchOptions& options)
      : options_(options),
        space_(build_space(job.model,
                           {job.cluster.ranks(), job.cluster.nvlink_domain(), options.framework == "any"},
                           options.pins, options.open, options.choices)),
        evaluator_(job, options.framework, space_.ep),
        started_(std::chrono::steady_clock::now()) {}

  SearchResult run() {
    Sieved sieved =
        sieve_space(space_, evaluator_, options_.framework, options_.threads, out_of_time_after(0.5));
    points_ = std::move(sieved.points);
    result_.searched = sieved.searched;
    result_.pruned = std::move(sieved.pruned);
    const int top = std::max(1, options_.top);
    const ContestOptions contest{top, options_.budget > 0 ? options_.budget : default_budget(options_.open),
                                 options_.exhaustive, ranking_samples(), options_.threads};
    ContestResult ranked =
        run_contest(space_, evaluator_, options_.framework, contest, out_of_time_after(1.0), points_);
    result_.deterministic = options_.wall_budget <= Seconds();
    result_.evaluated = static_cast<std::int64_t>(ranked.simulated.size());
    result_.unseen = ranked.unseen;
    finish(ranked.simulated, static_cast<std::size_t>(top), contest.samples);
    account();
    collect_misfits();
    answer(ranked.simulated, contest.samples);
    if (result_.plans.empty() && !result_.misfits.empty())
      result_.changes_that_fit = find_changes_that_fit(evaluator_.job(), options_);
    explain(result_, evaluator_.job());
    return std::move(result_);
  }

 private:
  PlanSpec plan_at(std::size_t index) const {
    return planner::plan_at(space_, evaluator_, options_.framework, points_[index].candidate);
  }

  /// Routing matrices a layer: one where many layers average the noise of the draws.
  int ranking_samples() const {
    if (options_.exhaustive) return sim::kMicroBatchSamples;
    return std::clamp(kRankingDraws / std::max(1, evaluator_.job().model.moe_layers()), 1,
                      sim::kMicroBatchSamples);
  }

  /// Is this share of the wall budget over? Null without one.
  std::function<bool()> out_of_time_after(double share) const {
    if (options_.wall_budget <= Seconds()) return {};
    return [this, share] {
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count() >
             share * options_.wall_budget.s();
    };
  }

  /// The best of the ranking again with all iterations and micro-batches, in turns of `top` (at least 2)
  /// until the next one is further behind than the ranking errs; then the best of each family with their
  /// counterfactuals.
  void finish(std::vector<RankedPlan> simulated, std::size_t top, int samples) {
    sort_by_time(simulated);
    std::vector<RankedPlan> candidates = keep_distinct(simulated, std::max(3 * top, kLeastFinalists), 2);
    if (!options_.pins.placement) {
      result_.placed =
          place_jointly(evaluator_, options_.framework == "any", samples, options_.threads, candidates);
      sort_by_time(candidates);
    }
    std::vector<RankedPlan> finalists;
    while (finalists.size() < candidates.size()) {
      const std::size_t first = finalists.size();
      std::vector<RankedPlan> best = finalists;
      sort_by_time(best);
      best = keep_distinct(best, top, 1);
      if (best.size() == top &&
          candidates[first].result.step_time > best.back().result.step_time * (1 + kNoise))
        break;
      finalists.insert(finalists.end(), candidates.begin() + static_cast<std::ptrdiff_t>(first),
                       candidates.begin() + static_cast<std::ptrdiff_t>(std::min(
                                                candidates.size(), first + std::max(top, kLeastTurn))));
      simulate(finalists, first, false);
    }
    sort_by_time(finalists);
    finalists = keep_distinct(finalists, top, 1);
    if (!finalists.empty()) show(finalists);
    for (std::size_t k = 0; k < finalists.size(); ++k) finalists[k].plan.name = fmt::format("plan-{}", k + 1);
    result_.plans = std::move(finalists);
  }

  /// Those from `first` on, in full.
  void simulate(std::vector<RankedPlan>& plans, std::size_t first, bool what_if) const {
    base::parallel_for(plans.size() - first, options_.threads, [&](std::size_t k) {
      plans[first + k].result = evaluator_.simulate(plans[first + k].plan, options_.iterations, what_if);
    });
  }

  /// What people ask next.
  void answer(const std::vector<RankedPlan>& simulated, int samples) {
    if (result_.plans.empty()) return;
    result_.front = pareto_front(simulated, space_.gpus);
    result_.alternatives = find_alternatives(
        {space_, evaluator_, options_.framework, points_, simulated, samples, options_.threads},
        result_.plans.front());
    std::vector<Seconds> times;
    for (const RankedPlan& ranked : result_.plans) times.push_back(ranked.result.step_time);
    result_.chance = chance_of_best(times);
  }

  void account() {
    for (const Point& point : points_) {
      if (!point.rule.empty()) ++result_.pruned[std::string(point.rule)];
    }
  }

  /// Plans that do not fit, those first that miss by least: where some plan fits, only such as would beat
  /// rank 1 by their estimate.
  void collect_misfits() {
    Seconds limit = Seconds::infinity();
    if (!result_.plans.empty()) limit = evaluator_.estimate(result_.plans.front().plan).time;
    std::vector<std::size_t> misfits;
    for (std::size_t i = 0; i < points_.size(); ++i) {
      if (points_[i].rule == "memory" && points_[i].estimate < limit) misfits.push_back(i);
    }
    std::stable_sort(misfits.begin(), misfits.end(),
                     [this](std::size_t a, std::size_t b) { return points_[a].over < points_[b].over; });
    std::vector<std::size_t> shown;
    for (const std::size_t i : misfits) {
      if (shown.size() == 3) break;
      const bool seen = std::any_of(shown.begin(), shown.end(), [&](std::size_t k) {
        return same_family(points_[k].candidate, points_[i].candidate);
      });
      if (!seen) shown.push_back(i);
    }
    for (const std::size_t i : shown) add_misfit(i);
  }

  void add_misfit(std::size_t i) {
    const Point& point = points_[i];
    PlanSpec plan = plan_at(i);
    const sim::MemoryResult memory = evaluator_.memory(plan);
    const auto stage = static_cast<std::size_t>(memory.worst_stage);
    const std::string part = stage < memory.per_stage.size() ? largest_part(memory.per_stage[stage]) : "";
    result_.misfits.push_back({std::move(plan), point.over, memory.worst_stage, part, point.estimate});
  }

  /// A change of rank 1 that the engine can do and the framework cannot.
  struct Change {
    std::string words;
    PlanSpec plan;
    sim::StepResult result;
  };

  std::vector<Change> changes_of(const PlanSpec& best) const {
    std::vector<Change> changes;
    if (!evaluator_.job().model.is_moe() || best.layout.ep < 2) return changes;
    for (const int chunks : {2, 4}) {
      PlanSpec plan = best;
      plan.chunk_degree = chunks;
      changes.push_back(
          {fmt::format("{} token chunks a MoE layer that overlap exchange and experts", chunks), plan, {}});
    }
    PlanSpec replicated = best;
    replicated.placement = evaluator_.replicas(best.layout.ep);
    changes.push_back({"replicas: one spare expert slot on each GPU", replicated, {}});
    std::erase_if(changes, [&](const Change& change) {
      const bool searched = options_.framework == "any" && change.plan.placement == best.placement;
      return searched || !sim::find_faults(evaluator_.job(), change.plan).empty();
    });
    return changes;
  }

  /// The plans that are shown, with their counterfactuals and, of rank 1, what the framework cannot run.
  void show(std::vector<RankedPlan>& plans) const {
    std::vector<Change> changes = changes_of(plans.front().plan);
    base::parallel_for(plans.size() + changes.size(), options_.threads, [&](std::size_t k) {
      if (k < plans.size()) {
        plans[k].result = evaluator_.simulate(plans[k].plan, options_.iterations, true);
      } else {
        Change& change = changes[k - plans.size()];
        change.result = evaluator_.simulate(change.plan, options_.iterations, false);
      }
    });
    RankedPlan& best = plans.front();
    for (const Change& change : changes) {
      const sim::StepResult& result = change.result;
      std::string note =
          fmt::format("{} cannot run it", options_.framework == "any" ? "no exporter" : "Megatron");
      if (!result.memory.fits())
        note += fmt::format("; {:.1f} GiB over the memory limit",
                            (result.memory.reserved - result.memory.limit).gib());
      best.result.what_if.push_back(
          {change.words, result.step_time, 1 - result.step_time / best.result.step_time, note});
    }
  }

  const SearchOptions& options_;
  Space space_;
  Evaluator evaluator_;
  std::chrono::steady_clock::time_point started_;
  std::vector<Point> points_;
  SearchResult result_;
};

/// A pin under which no plan keeps the framework's rules.
void refuse_schedule(const Pins& pins) {
  using sim::PipelineSchedule;
  if (!pins.schedule || *pins.schedule == PipelineSchedule::kOneForwardOneBackward ||
      *pins.schedule == PipelineSchedule::kInterleaved)
    return;
  throw base::InputError(
      fmt::format("--pin schedule: found {}, which Megatron-Core does not have, expected 1f1b or interleaved",
                  sim::name(*pins.schedule)),
      "--framework any plans without its rules");
}

void refuse_what_no_plan_helps(const sim::Job& job, const std::string& framework) {
  std::vector<base::Diagnostic> diagnostics;
  for (const std::string& kind : job.model.kinds_without_cost()) {
    diagnostics.push_back(
        {"",
         {},
         "model",
         fmt::format("{} has layers of kind {}, which have no cost yet", job.model.name, kind),
         fmt::format("--assume {}=attention costs them as full attention and says so", kind)});
  }
  if (framework == "megatron" && diagnostics.empty()) {
    for (const sim::PlanFault& fault : find_megatron_job_faults({job.model, job.run, job.cluster.ranks()})) {
      diagnostics.push_back({"",
                             {},
                             "run",
                             fmt::format("Megatron cannot run this job: {} [{}]", fault.message, fault.rule),
                             "--framework any plans without its rules"});
    }
  }
  if (!diagnostics.empty()) throw base::InputError(diagnostics);
}

}  // namespace

SearchResult search_plans(const sim::Job& job, const SearchOptions& options) {
  refuse_what_no_plan_helps(job, options.framework);
  if (options.framework == "megatron") refuse_schedule(options.pins);
  return Search(job, options).run();
}

}  // namespace moeplan::planner
