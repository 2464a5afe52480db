#include "planner/search/sieve.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <string_view>

#include "base/parallel.h"

namespace moeplan::planner {

namespace {

using sim::PlanSpec;

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
  static constexpr std::array<std::string_view, 23> kRules = {"context-mla",
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
                                                              "schedule",
                                                              "schedule-chunks",
                                                              "schedule-needs-pipeline",
                                                              "dualpipe-stages",
                                                              "dualpipe-chunks",
                                                              "whole-step-graph"};
  return is_one_of(kRules, rule);
}

/// The points of one layout: those that keep the rules, and how many the rules leave out.
struct Listed {
  std::vector<Candidate> points;
  std::map<std::string, std::int64_t> pruned;
  std::int64_t searched = 0;
};

class Lister {
 public:
  Lister(const Space& space, const Evaluator& evaluator, const std::string& framework)
      : space_(space), evaluator_(evaluator), framework_(framework) {}

  Listed list(const sim::ParallelLayout& layout) const {
    Listed listed;
    const std::vector<Candidate> variants = space_.variants_of(layout);
    if (variants.empty()) return listed;
    const sim::ModelSpec& model = evaluator_.job().model;
    const auto each = static_cast<std::int64_t>(space_.points_of(variants.front(), model).size());
    if (each == 0) return listed;
    listed.searched = each * static_cast<std::int64_t>(variants.size());
    if (const std::string rule = find_broken_rule(variants.front()); is_rule_of_layouts(rule, framework_)) {
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

 private:
  std::string find_broken_rule(const Candidate& candidate) const {
    return evaluator_.find_broken_rule(plan_of(space_, candidate, framework_));
  }

  const Space& space_;
  const Evaluator& evaluator_;
  const std::string& framework_;
};

std::vector<Listed> list_layouts(const Space& space, const Evaluator& evaluator, const std::string& framework,
                                 int threads) {
  const std::vector<sim::ParallelLayout> layouts = space.layouts();
  std::vector<Listed> listed(layouts.size());
  const Lister lister(space, evaluator, framework);
  base::parallel_for(layouts.size(), threads, [&](std::size_t i) { listed[i] = lister.list(layouts[i]); });
  return listed;
}

/// 0: what is searched anyway; 1: something opened on a layout of these; 2: another layout.
int distance_from_closed(const Space& space, const Candidate& candidate) {
  if (space.is_closed(candidate)) return 0;
  return candidate.layout.cp == space.cp.front() && candidate.layout.etp == space.etp.front() ? 1 : 2;
}

/// With a wall budget points of closed axes come first, then what is opened on their layouts, then the other
/// layouts. Those are spread over the space and are taken whole, because points of a layout share the costs
/// of its layers. closed: how many come first.
std::vector<std::size_t> spread_order(const Space& space, const std::vector<Point>& points,
                                      std::size_t& closed) {
  const auto same_layout = [&points](std::size_t a, std::size_t b) {
    return points[a].candidate.layout == points[b].candidate.layout;
  };
  std::vector<std::size_t> firsts, order;
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (i == 0 || !same_layout(i, i - 1)) firsts.push_back(i);
  }
  std::size_t stride = firsts.size() * 5 / 8 + 1;
  while (std::gcd(stride, firsts.size()) > 1) ++stride;
  for (const int pass : {0, 1, 2}) {
    for (std::size_t k = 0; k < firsts.size(); ++k) {
      const std::size_t first = firsts[k * stride % firsts.size()];
      for (std::size_t i = first; i < points.size() && same_layout(i, first); ++i) {
        if (distance_from_closed(space, points[i].candidate) == pass) order.push_back(i);
      }
    }
    if (pass == 0) closed = order.size();
  }
  return order;
}

/// Points that one thread estimates in a row: their plans share what is costly to copy.
constexpr std::size_t kBlock = 64;

}  // namespace

PlanSpec plan_at(const Space& space, const Evaluator& evaluator, const std::string& framework,
                 const Candidate& candidate) {
  PlanSpec plan = plan_of(space, candidate, framework);
  if (candidate.greedy) plan.placement = evaluator.greedy(candidate.layout.ep);
  if (candidate.stages == StageRule::kBalanced) plan.split = evaluator.balanced_split(plan);
  return plan;
}

std::vector<Candidate> list_points(const Space& space, const Evaluator& evaluator,
                                   const std::string& framework, int threads) {
  std::vector<Candidate> points;
  for (const Listed& one : list_layouts(space, evaluator, framework, threads))
    points.insert(points.end(), one.points.begin(), one.points.end());
  return points;
}

Sieved sieve_space(const Space& space, const Evaluator& evaluator, const std::string& framework, int threads,
                   const std::function<bool()>& out_of_time) {
  Sieved sieved;
  for (Listed& one : list_layouts(space, evaluator, framework, threads)) {
    sieved.searched += one.searched;
    for (const auto& [rule, count] : one.pruned) sieved.pruned[rule] += count;
    for (const Candidate& candidate : one.points) sieved.points.push_back({candidate, "", {}, {}, {}, false});
    one = {};
  }

  const int layers = static_cast<int>(evaluator.job().model.layers.size());
  std::vector<Point>& points = sieved.points;
  std::size_t closed = points.size();
  std::vector<std::size_t> order;
  if (out_of_time) {
    order = spread_order(space, points, closed);
  } else {
    order.resize(points.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
  }
  base::parallel_for((order.size() + kBlock - 1) / kBlock, threads, [&](std::size_t block) {
    PlanSpec plan;
    int placed_for = 0;  // EP degree whose greedy placement the plan holds
    for (std::size_t k = block * kBlock; k < std::min(order.size(), (block + 1) * kBlock); ++k) {
      Point& point = points[order[k]];
      const Candidate& candidate = point.candidate;
      if (k >= closed && out_of_time()) {
        point.rule = "wall-budget";
        continue;
      }
      if (candidate.greedy && !evaluator.greedy_gains(candidate.layout.ep)) {
        point.rule = "placement-gains-nothing";
        continue;
      }
      sim::Placement placement = std::move(plan.placement);
      const int wanted = candidate.greedy ? candidate.layout.ep : 0;
      plan = plan_of(space, candidate, framework);
      if (wanted != placed_for) placement = wanted > 0 ? evaluator.greedy(wanted) : sim::Placement();
      placed_for = wanted;
      plan.placement = std::move(placement);
      if (candidate.stages == StageRule::kBalanced) {
        plan.split = evaluator.balanced_split(plan);
        if (plan.split == sim::even_split(layers, plan.layout.pp, plan.layout.vp)) {
          point.rule = "stages-even-already";
          continue;
        }
      }
      const sim::StepEstimate estimate = evaluator.estimate(plan);
      point.estimate = estimate.time;
      point.lower = estimate.lower;
    }
  });
  return sieved;
}

}  // namespace moeplan::planner
