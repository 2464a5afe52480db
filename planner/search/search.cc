#include "planner/search/search.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <numeric>
#include <string_view>
#include <thread>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "base/parallel.h"
#include "planner/export/megatron_rules.h"
#include "planner/search/evaluator.h"
#include "planner/search/explain.h"

namespace moeplan::planner {

namespace {

using base::Seconds;
using sim::PlanSpec;

/// What two plans have in common that differ in virtual stages, placement, overlap, dispatcher or the
/// exchange of context parallelism alone.
bool same_family(const sim::ParallelLayout& a, const sim::ParallelLayout& b) {
  return a.tp == b.tp && a.pp == b.pp && a.ep == b.ep && a.cp == b.cp && a.etp == b.etp;
}

bool same_family(const Candidate& a, const Candidate& b) {
  return same_family(a.layout, b.layout) && a.micro_batch == b.micro_batch && a.recompute == b.recompute &&
         a.chunk_degree == b.chunk_degree && a.sharding == b.sharding;
}

bool same_family(const PlanSpec& a, const PlanSpec& b) {
  return same_family(a.layout, b.layout) && a.micro_batch == b.micro_batch && a.recompute == b.recompute &&
         a.chunk_degree == b.chunk_degree && a.data_parallel() == b.data_parallel() &&
         a.shard_group == b.shard_group;
}

template <std::size_t N>
bool is_one_of(const std::array<std::string_view, N>& rules, std::string_view rule) {
  return std::find(rules.begin(), rules.end(), rule) != rules.end();
}

/// Rules that a layout breaks or keeps whatever else a plan says. A framework asks them before all others, so
/// where one of them is the first to be broken for one point, it is for all points of the layout.
bool is_rule_of_layouts(std::string_view rule, std::string_view framework) {
  static constexpr std::array<std::string_view, 12> kMegatron = {
      "world-divides",    "expert-world-divides", "ep-needs-experts", "ep-divides-experts",
      "sequence-divides", "context-divides",      "heads-divide",     "kv-heads-divide",
      "ffn-divides",      "expert-ffn-divides",   "vp-needs-pp",      "layers-fill-stages"};
  static constexpr std::array<std::string_view, 2> kAny = {"gpus", "ep-divides-stage"};
  return framework == "megatron" ? is_one_of(kMegatron, rule) : is_one_of(kAny, rule);
}

/// Rules that a variant (Space::variants_of) breaks with every micro-batch, recompute mode, chunk degree and
/// placement once it breaks them with the first of each.
bool is_rule_of_variants(std::string_view rule) {
  static constexpr std::array<std::string_view, 18> kRules = {"context-mla",
                                                              "cp-a2a-size",
                                                              "cp-comm",
                                                              "cp-divides-heads",
                                                              "cp-window",
                                                              "dispatcher",
                                                              "dispatcher-nvlink",
                                                              "dispatcher-profile",
                                                              "etp-dispatcher",
                                                              "overlap-all-to-all",
                                                              "overlap-shared-experts",
                                                              "overlap-tile-fused",
                                                              "overlap-weight-gradients",
                                                              "shard-group",
                                                              "shard-group-experts",
                                                              "sharding-overlap",
                                                              "sharding-pipeline",
                                                              "whole-step-graph"};
  return is_one_of(kRules, rule);
}

/// One point that keeps the rules, on its way through the sieve.
struct Point {
  Candidate candidate;
  std::string_view rule;  // that ruled it out; empty = still in
  base::Bytes over;       // with rule "memory"
  Seconds estimate;
};

/// The points of one layout: those that keep the rules, and how many the rules leave out.
struct Listed {
  std::vector<Candidate> points;
  std::map<std::string, std::int64_t> pruned;
  std::int64_t searched = 0;
};

class Search {
 public:
  Search(const sim::Job& job, const SearchOptions& options)
      : options_(options),
        space_(build_space(job.model,
                           {job.cluster.ranks(), job.cluster.nvlink_domain(), options.framework == "any"},
                           options.pins, options.open)),
        evaluator_(job, options.framework, space_.ep),
        started_(std::chrono::steady_clock::now()) {}

  SearchResult run() {
    list_points();
    sieve();
    std::vector<std::size_t> order = rank_by_estimate();
    order = cut_by_bound(order);
    order = cut_by_budget(order);
    evaluate(order);
    account();
    collect_misfits();
    explain(result_, evaluator_.job());
    if (result_.feasible) add_would_gain(result_.plans.front());
    return std::move(result_);
  }

 private:
  PlanSpec plan_at(std::size_t index) const {
    const Candidate& c = points_[index].candidate;
    PlanSpec plan = plan_of(space_, c, options_.framework);
    if (c.greedy) plan.placement = evaluator_.greedy(c.layout.ep);
    return plan;
  }

  std::string find_broken_rule(const Candidate& candidate) const {
    return evaluator_.find_broken_rule(plan_of(space_, candidate, options_.framework));
  }

  Listed list_points_of(const sim::ParallelLayout& layout) const {
    Listed listed;
    const std::vector<Candidate> variants = space_.variants_of(layout);
    if (variants.empty()) return listed;
    const sim::ModelSpec& model = evaluator_.job().model;
    const auto each = static_cast<std::int64_t>(space_.points_of(variants.front(), model).size());
    if (each == 0) return listed;
    listed.searched = each * static_cast<std::int64_t>(variants.size());
    if (const std::string rule = find_broken_rule(variants.front());
        is_rule_of_layouts(rule, options_.framework)) {
      listed.pruned[rule] = listed.searched;
      return listed;
    }
    for (const Candidate& variant : variants) {
      if (variants.size() > 1) {
        const std::string rule = find_broken_rule(variant);
        if (is_rule_of_variants(rule)) {
          listed.pruned[rule] += each;
          continue;
        }
      }
      for (const Candidate& point : space_.points_of(variant, model)) {
        const std::string rule = find_broken_rule(point);
        if (rule.empty()) {
          listed.points.push_back(point);
        } else {
          ++listed.pruned[rule];
        }
      }
    }
    return listed;
  }

  /// Every point that keeps the rules, in the order of the space; the others are counted.
  void list_points() {
    const std::vector<sim::ParallelLayout> layouts = space_.layouts();
    std::vector<Listed> listed(layouts.size());
    base::parallel_for(layouts.size(), options_.threads,
                       [&](std::size_t i) { listed[i] = list_points_of(layouts[i]); });
    for (Listed& one : listed) {
      result_.searched += one.searched;
      for (const auto& [rule, count] : one.pruned) result_.pruned[rule] += count;
      for (const Candidate& candidate : one.points) points_.push_back({candidate, "", {}, {}});
      one = {};
    }
  }

  /// In which order points are estimated: as they stand, or with a wall budget those of closed axes first,
  /// then what is opened on their layouts, then the other layouts. Those are spread over the space, so that
  /// what is reached in time is a sample of it, and are taken whole, because points of a layout share the
  /// costs of its layers.
  std::vector<std::size_t> order_of_sieve(std::size_t& closed) const {
    std::vector<std::size_t> order(points_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    closed = order.size();
    if (options_.wall_budget <= Seconds()) return order;
    const auto same_layout = [this](std::size_t a, std::size_t b) {
      return points_[a].candidate.layout == points_[b].candidate.layout;
    };
    std::vector<std::size_t> firsts;
    for (std::size_t i = 0; i < points_.size(); ++i) {
      if (i == 0 || !same_layout(i, i - 1)) firsts.push_back(i);
    }
    std::size_t stride = firsts.size() * 5 / 8 + 1;
    while (std::gcd(stride, firsts.size()) > 1) ++stride;
    order.clear();
    for (const int pass : {0, 1, 2}) {
      for (std::size_t k = 0; k < firsts.size(); ++k) {
        const std::size_t first = firsts[k * stride % firsts.size()];
        for (std::size_t i = first; i < points_.size() && same_layout(i, first); ++i) {
          if (distance_from_closed(points_[i].candidate) == pass) order.push_back(i);
        }
      }
      if (pass == 0) closed = order.size();
    }
    return order;
  }

  /// 0: what is searched anyway; 1: something opened on a layout of these; 2: another layout.
  int distance_from_closed(const Candidate& candidate) const {
    if (space_.is_closed(candidate)) return 0;
    return candidate.layout.cp == space_.cp.front() && candidate.layout.etp == space_.etp.front() ? 1 : 2;
  }

  /// Memory and estimate of every point; with a wall budget, half of it for those that opened axes add.
  void sieve() {
    std::size_t closed = 0;
    const std::vector<std::size_t> order = order_of_sieve(closed);
    base::parallel_for(order.size(), options_.threads, [&](std::size_t k) {
      Point& point = points_[order[k]];
      if (k >= closed && out_of_time(0.5)) {
        point.rule = "wall-budget";
        return;
      }
      if (point.candidate.greedy && !evaluator_.greedy_gains(point.candidate.layout.ep)) {
        point.rule = "placement-gains-nothing";
        return;
      }
      const PlanSpec plan = plan_at(order[k]);
      const sim::MemoryResult memory = evaluator_.memory(plan);
      if (!memory.fits()) {
        point.rule = "memory";
        point.over = memory.reserved - memory.limit;
      }
      point.estimate = evaluator_.estimate(plan);
    });
  }

  /// Survivors, best estimate first; ties in the order of the space.
  std::vector<std::size_t> rank_by_estimate() const {
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < points_.size(); ++i) {
      if (points_[i].rule.empty()) order.push_back(i);
    }
    std::stable_sort(order.begin(), order.end(), [this](std::size_t a, std::size_t b) {
      return points_[a].estimate < points_[b].estimate;
    });
    return order;
  }

  std::vector<std::size_t> cut_by_bound(const std::vector<std::size_t>& order) {
    if (order.empty()) return order;
    const std::size_t kth = std::min(order.size(), static_cast<std::size_t>(options_.top)) - 1;
    const Seconds bound = points_[order[kth]].estimate * kBoundFactor;
    return cut(order, "bound", [this, bound](std::size_t i) { return points_[i].estimate > bound; });
  }

  /// Half of the budget goes to the best of each family, in the order of estimates, the rest to the best
  /// estimates: near-copies of one plan must not crowd out the others.
  std::vector<std::size_t> cut_by_budget(const std::vector<std::size_t>& order) {
    const auto budget =
        static_cast<std::size_t>(options_.budget > 0 ? options_.budget : default_budget(options_.open));
    std::vector<std::size_t> leaders;
    for (const std::size_t i : order) {
      if (2 * leaders.size() >= budget) break;
      const bool led = std::any_of(leaders.begin(), leaders.end(), [&](std::size_t l) {
        return same_family(points_[l].candidate, points_[i].candidate);
      });
      if (!led) leaders.push_back(i);
    }
    std::size_t left = budget - std::min(budget, leaders.size());
    return cut(order, "budget", [&](std::size_t i) {
      if (std::find(leaders.begin(), leaders.end(), i) != leaders.end()) return false;
      if (left == 0) return true;
      --left;
      return false;
    });
  }

  template <class Test>
  std::vector<std::size_t> cut(const std::vector<std::size_t>& order, const char* rule, Test test) {
    std::vector<std::size_t> kept;
    for (const std::size_t i : order) {
      if (test(i)) {
        points_[i].rule = rule;
      } else {
        kept.push_back(i);
      }
    }
    return kept;
  }

  /// Is this share of the wall budget over?
  bool out_of_time(double share = 1) const {
    if (options_.wall_budget <= Seconds()) return false;
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count() >
           share * options_.wall_budget.s();
  }

  /// Simulates in batches, so that a wall budget can end it, then once more the best with all iterations.
  void evaluate(const std::vector<std::size_t>& order) {
    const int threads = options_.threads > 0
                            ? options_.threads
                            : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
    const std::size_t batch =
        options_.wall_budget > Seconds() ? static_cast<std::size_t>(threads) * 2 : order.size();
    std::vector<RankedPlan> simulated(order.size());
    std::size_t done = 0;
    while (done < order.size()) {
      if (done > 0 && out_of_time()) break;
      const std::size_t count = std::min(batch, order.size() - done);
      base::parallel_for(count, options_.threads, [&](std::size_t k) {
        RankedPlan& ranked = simulated[done + k];
        ranked.plan = plan_at(order[done + k]);
        ranked.result = evaluator_.simulate(ranked.plan, 1, false);
      });
      done += count;
    }
    result_.deterministic = options_.wall_budget <= Seconds();
    for (std::size_t k = done; k < order.size(); ++k) points_[order[k]].rule = "wall-budget";
    simulated.resize(done);
    result_.evaluated = static_cast<std::int64_t>(done);
    finish(std::move(simulated));
  }

  static void sort_by_time(std::vector<RankedPlan>& plans) {
    std::stable_sort(plans.begin(), plans.end(), [](const RankedPlan& a, const RankedPlan& b) {
      return a.result.step_time < b.result.step_time;
    });
  }

  /// Of plans of one family the first `copies` stand.
  static std::vector<RankedPlan> keep_distinct(const std::vector<RankedPlan>& sorted, std::size_t limit,
                                               std::ptrdiff_t copies) {
    std::vector<RankedPlan> kept;
    for (const RankedPlan& ranked : sorted) {
      if (kept.size() == limit) break;
      const auto seen = std::count_if(kept.begin(), kept.end(), [&ranked](const RankedPlan& other) {
        return same_family(ranked.plan, other.plan);
      });
      if (seen < copies) kept.push_back(ranked);
    }
    return kept;
  }

  void finish(std::vector<RankedPlan> simulated) {
    sort_by_time(simulated);
    const auto top = static_cast<std::size_t>(std::max(1, options_.top));
    std::vector<RankedPlan> finalists = keep_distinct(simulated, 3 * top, 2);
    base::parallel_for(finalists.size(), options_.threads, [&](std::size_t k) {
      finalists[k].result = evaluator_.simulate(finalists[k].plan, options_.iterations, false);
    });
    sort_by_time(finalists);
    finalists = keep_distinct(finalists, top, 1);
    base::parallel_for(finalists.size(), options_.threads, [&](std::size_t k) {
      finalists[k].result = evaluator_.simulate(finalists[k].plan, options_.iterations, true);
    });
    for (std::size_t k = 0; k < finalists.size(); ++k) finalists[k].plan.name = fmt::format("plan-{}", k + 1);
    result_.plans = std::move(finalists);
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
    if (!result_.plans.empty()) limit = evaluator_.estimate(result_.plans.front().plan);
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

  /// What the engine can do and the framework cannot, on top of rank 1.
  void add_would_gain(RankedPlan& best) const {
    if (!evaluator_.job().model.is_moe() || best.plan.layout.ep < 2) return;
    std::vector<std::pair<std::string, PlanSpec>> changes;
    for (const int chunks : {2, 4}) {
      PlanSpec plan = best.plan;
      plan.chunk_degree = chunks;
      changes.emplace_back(
          fmt::format("{} token chunks a MoE layer that overlap exchange and experts", chunks), plan);
    }
    PlanSpec replicated = best.plan;
    replicated.placement = evaluator_.replicas(best.plan.layout.ep);
    changes.emplace_back("replicas: one spare expert slot on each GPU", replicated);
    for (const auto& [words, plan] : changes) {
      if (options_.framework == "any" && plan.placement == best.plan.placement)
        continue;  // in the space already
      if (!sim::find_faults(evaluator_.job(), plan).empty()) continue;
      const sim::StepResult result = evaluator_.simulate(plan, options_.iterations, false);
      std::string note =
          fmt::format("{} cannot run it", options_.framework == "any" ? "no exporter" : "Megatron");
      if (!result.memory.fits())
        note += fmt::format("; {:.1f} GiB over the memory limit",
                            (result.memory.reserved - result.memory.limit).gib());
      best.result.what_if.push_back(
          {words, result.step_time, 1 - result.step_time / best.result.step_time, note});
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
