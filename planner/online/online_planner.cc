#include "planner/online/online_planner.h"

#include <algorithm>

#include "base/check.h"
#include "base/parallel.h"
#include "planner/online/keep_in_place.h"
#include "planner/online/predictor.h"
#include "planner/placement/checker.h"

namespace moeplan::planner {

namespace {

using base::Seconds;

std::vector<LayerMove> moves_of(const OnlineDecision& decision, const std::vector<Slots>& slots) {
  std::vector<LayerMove> moves;
  for (std::size_t i = 0; i < decision.layers.size(); ++i)
    moves.push_back(
        {decision.layers[i], &slots[static_cast<std::size_t>(decision.layers[i])], &decision.placement[i]});
  return moves;
}

/// Leaves those that `keep` names.
void filter(OnlineDecision& decision, const std::vector<bool>& keep) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < keep.size(); ++i) {
    if (!keep[i]) continue;
    decision.layers[kept] = decision.layers[i];
    if (kept != i) decision.placement[kept] = std::move(decision.placement[i]);
    ++kept;
  }
  decision.layers.resize(kept);
  decision.placement.resize(kept);
}

}  // namespace

double compute_imbalance(const sim::ExpertLoads& loads, int iteration, const SlotShape& shape,
                         const std::vector<Slots>& slots) {
  double sum = 0;
  for (std::size_t l = 0; l < slots.size(); ++l) {
    const LayerScore score =
        check_layer(shape, loads.experts(), loads.mean_share(iteration, static_cast<int>(l)), slots[l]);
    MOEPLAN_CHECK(score.fault.empty(), score.fault);
    sum += score.max_over_mean;
  }
  return sum / static_cast<double>(slots.size());
}

OnlinePlanner::OnlinePlanner(const OnlinePolicy& policy, const sim::ExpertLoads& loads,
                             const SlotShape& shape, const RoutedTime& time, const ExpertMoves& moves,
                             int stride, int threads)
    : policy_(policy),
      loads_(loads),
      shape_(shape),
      time_(time),
      moves_(moves),
      stride_(stride),
      threads_(threads),
      solver_(make_solver(policy.solver)) {}

bool OnlinePlanner::is_time_to_look(int now, const std::vector<Slots>& slots) const {
  if (now < next_look_) return false;
  return policy_.rule != ReplanRule::kTrigger ||
         compute_imbalance(loads_, now - 1, shape_, slots) > policy_.imbalance;
}

bool OnlinePlanner::is_lighter(const LayerProblem& layer, const Slots& old, const Slots& fresh) const {
  const double before = check_layer(shape_, layer.experts, layer.load, old).objective;
  const double after = check_layer(shape_, layer.experts, layer.load, fresh).objective;
  return after < before * (1 - policy_.hysteresis);
}

std::vector<Seconds> OnlinePlanner::savings(const PlacementProblem& expected, const std::vector<Slots>& slots,
                                            const OnlineDecision& decision) const {
  std::vector<Seconds> saved(decision.layers.size());
  base::parallel_for(saved.size(), threads_, [&](std::size_t i) {
    const int l = decision.layers[i];
    const Slots& old = slots[static_cast<std::size_t>(l)];
    const Slots& fresh = decision.placement[i];
    const std::span<const double> share = expected.layer(l).mean;
    const Seconds routed = time_.layer(share, old) - time_.layer(share, fresh);
    saved[i] = routed * static_cast<double>(time_.micro_batches()) + moves_.sync_replicas(l, old) -
               moves_.sync_replicas(l, fresh);
  });
  return saved;
}

void OnlinePlanner::keep_worthwhile(const PlacementProblem& expected, const std::vector<Slots>& slots,
                                    OnlineDecision& decision) const {
  std::vector<Seconds> saved = savings(expected, slots, decision);
  const double steps = static_cast<double>(policy_.horizon) * stride_;
  std::vector<bool> keep(saved.size());
  for (std::size_t i = 0; i < saved.size(); ++i) keep[i] = saved[i] > Seconds();
  bool settled = false;
  while (!settled) {
    filter(decision, keep);
    std::size_t next = 0;
    for (std::size_t i = 0; i < keep.size(); ++i) {
      if (keep[i]) saved[next++] = saved[i];
    }
    saved.resize(next);
    keep.assign(next, true);
    settled = true;
    const std::vector<LayerMove> moves = moves_of(decision, slots);
    decision.migration = moves_.migrate(moves);
    for (std::size_t i = 0; i < next; ++i) {
      const base::Bytes mine = moves_.migrate({&moves[i], 1}).bytes;
      const double part = decision.migration.bytes.count() > 0 ? mine / decision.migration.bytes : 0.0;
      if (saved[i] * steps > decision.migration.time * (part * (1 + policy_.hysteresis))) continue;
      keep[i] = false;
      settled = false;
    }
  }
  Seconds sum;
  for (const Seconds one : saved) sum += one;
  if (sum * steps > decision.migration.time * (1 + policy_.hysteresis) + policy_.planning_time) return;
  decision.layers.clear();
  decision.placement.clear();
  decision.migration = {};
}

OnlineDecision OnlinePlanner::decide(int now, const std::vector<Slots>& slots) {
  OnlineDecision decision;
  if (next_look_ < 0) next_look_ = now + (policy_.rule == ReplanRule::kEvery ? policy_.period : 0);
  if (!is_time_to_look(now, slots)) return decision;
  next_look_ = now + policy_.period;
  decision.planned = true;
  const PlacementProblem expected = predict_loads(loads_, now, policy_, shape_);
  sim::Placement fresh = solve_all_layers(*solver_, expected, threads_);
  for (int l = 0; l < expected.layers; ++l) {
    const auto i = static_cast<std::size_t>(l);
    if (!is_lighter(expected.layer(l), slots[i], fresh.slots[i]) && policy_.rule != ReplanRule::kGain)
      continue;
    decision.layers.push_back(l);
    decision.placement.push_back(keep_in_place(slots[i], fresh.slots[i], shape_));
  }
  if (policy_.rule == ReplanRule::kGain) {
    keep_worthwhile(expected, slots, decision);
  } else {
    decision.migration = moves_.migrate(moves_of(decision, slots));
  }
  return decision;
}

}  // namespace moeplan::planner
