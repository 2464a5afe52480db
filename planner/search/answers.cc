#include "planner/search/answers.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include <fmt/format.h>

#include "base/parallel.h"
#include "planner/search/sieve.h"
#include "sim/cost/anchor.h"

namespace moeplan::planner {

namespace {

using base::Seconds;

constexpr std::string_view kPlacementAxis = "placement";

struct AxisWords {
  std::string_view axis;
  std::size_t (*values)(const Space&);
  std::string (*value)(const Space&, const Candidate&);
};

std::string number(int value) { return fmt::format("{}", value); }

/// 1F1B and interleaved are one value: what a plan has that does not say.
std::string schedule_words(const ScheduleValue& value) {
  return value ? std::string(sim::name(*value)) : std::string("1f1b");
}

template <class Value>
const Value& pick(const std::vector<Value>& values, int index) {
  return values[static_cast<std::size_t>(index)];
}

const std::vector<AxisWords>& axes() {
  static const std::vector<AxisWords> kAxes = {
      {"tp", [](const Space& s) { return s.tp.size(); },
       [](const Space&, const Candidate& c) { return number(c.layout.tp); }},
      {"pp", [](const Space& s) { return s.pp.size(); },
       [](const Space&, const Candidate& c) { return number(c.layout.pp); }},
      {"vp", [](const Space& s) { return s.vp.size(); },
       [](const Space&, const Candidate& c) { return number(c.layout.vp); }},
      {"cp", [](const Space& s) { return s.cp.size(); },
       [](const Space&, const Candidate& c) { return number(c.layout.cp); }},
      {"cp_comm", [](const Space& s) { return s.context.size(); },
       [](const Space&, const Candidate& c) {
         return c.layout.cp == 1 ? std::string("none") : context_value_words(c.context);
       }},
      {"ep", [](const Space& s) { return s.ep.size(); },
       [](const Space&, const Candidate& c) { return number(c.layout.ep); }},
      {"etp", [](const Space& s) { return s.etp.size(); },
       [](const Space&, const Candidate& c) { return number(c.layout.etp); }},
      {"mb", [](const Space& s) { return s.micro_batch.size(); },
       [](const Space&, const Candidate& c) { return number(c.micro_batch); }},
      {"recompute", [](const Space& s) { return s.recompute.size(); },
       [](const Space& s, const Candidate& c) { return recompute_words(pick(s.recompute, c.recompute)); }},
      {kPlacementAxis, [](const Space& s) { return s.greedy.size(); },
       [](const Space&, const Candidate& c) { return std::string(c.greedy ? "greedy" : "contiguous"); }},
      {"dispatcher", [](const Space& s) { return s.dispatcher.size(); },
       [](const Space& s, const Candidate& c) {
         return std::string(sim::name(pick(s.dispatcher, c.dispatcher)));
       }},
      {"overlap", [](const Space& s) { return s.overlap.size(); },
       [](const Space& s, const Candidate& c) { return overlap_value_words(pick(s.overlap, c.overlap)); }},
      {"sharding", [](const Space& s) { return s.sharding.size(); },
       [](const Space&, const Candidate& c) { return sharding_value_words(c.sharding); }},
      {"schedule", [](const Space& s) { return s.schedule.size(); },
       [](const Space& s, const Candidate& c) { return schedule_words(pick(s.schedule, c.schedule)); }},
      {"stages", [](const Space& s) { return s.stages.size(); },
       [](const Space&, const Candidate& c) {
         return std::string(c.stages == StageRule::kBalanced ? "balanced" : "even");
       }},
      {"chunks", [](const Space& s) { return s.chunk_degree.size(); },
       [](const Space&, const Candidate& c) { return number(c.chunk_degree); }}};
  return kAxes;
}

/// The fastest simulated plan with another value of the axis; null where there is none.
const RankedPlan* find_fastest_other(const AlternativeSearch& search, const AxisWords& axis,
                                     const std::string& chosen) {
  const RankedPlan* fastest = nullptr;
  for (const RankedPlan& one : search.simulated) {
    if (axis.value(search.space, search.points[one.point].candidate) == chosen) continue;
    if (fastest == nullptr || one.ranked < fastest->ranked) fastest = &one;
  }
  return fastest;
}

/// The plan of the best estimate with another value of the axis that fits, not simulated; its point is
/// kNoPoint where there is none. What was found not to fit has its rule by now, the others are weighed.
RankedPlan find_best_estimate(const AlternativeSearch& search, const AxisWords& axis,
                              const std::string& chosen) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < search.points.size(); ++i) {
    const std::string_view rule = search.points[i].rule;
    const bool open = rule == "bound" || rule == "estimate" || rule == "budget";
    if (open && axis.value(search.space, search.points[i].candidate) != chosen) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&search](std::size_t a, std::size_t b) {
    return search.points[a].estimate < search.points[b].estimate;
  });
  for (const std::size_t i : order) {
    RankedPlan other;
    other.plan = plan_at(search.space, search.evaluator, search.framework, search.points[i].candidate);
    if (!search.points[i].memory_known && !search.evaluator.memory(other.plan).fits()) continue;
    other.point = i;
    return other;
  }
  return {};
}

}  // namespace

std::vector<Alternative> find_alternatives(const AlternativeSearch& search, const RankedPlan& best) {
  // Plans are compared as they were ranked, before any of them was given moeplan's placement.
  const auto ranking = std::find_if(search.simulated.begin(), search.simulated.end(),
                                    [&best](const RankedPlan& one) { return one.point == best.point; });
  if (ranking == search.simulated.end()) return {};
  const bool placed = best.plan.placement != ranking->plan.placement;
  struct Open {
    const AxisWords* axis;
    RankedPlan other;
  };
  std::vector<Open> open;
  for (const AxisWords& axis : axes()) {
    if (axis.values(search.space) < 2) continue;
    const std::string chosen = axis.value(search.space, search.points[best.point].candidate);
    // What moeplan's solver placed was greedy or contiguous before, and could have stayed so.
    const RankedPlan* other =
        placed && axis.axis == kPlacementAxis ? &*ranking : find_fastest_other(search, axis, chosen);
    open.push_back({&axis, other != nullptr ? *other : find_best_estimate(search, axis, chosen)});
  }
  base::parallel_for(open.size(), search.threads, [&](std::size_t k) {
    RankedPlan& other = open[k].other;
    if (other.point == kNoPoint || other.ranked > Seconds()) return;
    other.ranked = search.evaluator.simulate(other.plan, 1, false, search.samples).step_time;
  });
  std::vector<Alternative> alternatives;
  for (Open& one : open) {
    const bool of_placement = placed && one.axis->axis == kPlacementAxis;
    Alternative alternative;
    alternative.axis = one.axis->axis;
    alternative.chosen = of_placement ? best.plan.placement.algorithm
                                      : one.axis->value(search.space, search.points[best.point].candidate);
    if (one.other.point != kNoPoint) {
      const double ratio = one.other.ranked / (of_placement ? best.ranked : ranking->ranked);
      alternative.other = one.axis->value(search.space, search.points[one.other.point].candidate);
      alternative.loss = ratio - 1;
      alternative.step_time = best.result.step_time * ratio;
      alternative.plan = std::move(one.other.plan);
    }
    alternatives.push_back(std::move(alternative));
  }
  std::stable_sort(alternatives.begin(), alternatives.end(), [](const Alternative& a, const Alternative& b) {
    return a.other.empty() != b.other.empty() ? a.other.empty() : a.loss > b.loss;
  });
  return alternatives;
}

std::vector<FrontPlan> pareto_front(std::vector<FrontPlan> plans) {
  const auto at_most = [](const FrontPlan& a, const FrontPlan& b) {
    return a.step_time <= b.step_time && a.reserved <= b.reserved && a.gpus <= b.gpus;
  };
  std::stable_sort(plans.begin(), plans.end(), [](const FrontPlan& a, const FrontPlan& b) {
    if (a.step_time != b.step_time) return a.step_time < b.step_time;
    return a.gpus != b.gpus ? a.gpus < b.gpus : a.reserved < b.reserved;
  });
  std::vector<FrontPlan> front;
  for (FrontPlan& plan : plans) {
    // Only what comes before can be as fast.
    const bool beaten =
        std::any_of(front.begin(), front.end(), [&](const FrontPlan& other) { return at_most(other, plan); });
    if (!beaten) front.push_back(std::move(plan));
  }
  std::reverse(front.begin(), front.end());
  return front;
}

std::vector<FrontPlan> pareto_front(const std::vector<RankedPlan>& plans, int gpus) {
  std::vector<FrontPlan> all;
  for (const RankedPlan& ranked : plans)
    all.push_back({ranked.plan, gpus, ranked.result.step_time, ranked.result.memory.reserved});
  return pareto_front(std::move(all));
}

std::vector<double> chance_of_best(const std::vector<Seconds>& step_times) {
  constexpr int kSteps = 1600;
  constexpr double kReach = 8.0;
  const double h = 2 * kReach / kSteps;
  std::vector<double> chance(step_times.size(), 0.0);
  for (std::size_t k = 0; k < chance.size(); ++k) {
    for (int i = 0; i < kSteps; ++i) {
      const double z = -kReach + (i + 0.5) * h;
      double density = std::exp(-0.5 * z * z) / std::sqrt(2 * std::numbers::pi) * h;
      for (std::size_t j = 0; j < chance.size(); ++j) {
        if (j == k) continue;
        const double ahead = z + std::log(step_times[k] / step_times[j]) / sim::kPlanDeviation;
        density *= 0.5 * std::erfc(ahead / std::numbers::sqrt2);
      }
      chance[k] += density;
    }
  }
  double sum = 0;
  for (const double c : chance) sum += c;
  for (double& c : chance) c /= sum;
  return chance;
}

}  // namespace moeplan::planner
