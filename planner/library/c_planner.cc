#include "planner/library/c_planner.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/check.h"
#include "planner/online/keep_in_place.h"
#include "planner/placement/baselines.h"
#include "planner/placement/checker.h"
#include "planner/placement/eplb.h"
#include "planner/placement/moeplan_solver.h"

namespace moeplan::planner {

namespace {

constexpr std::int64_t kMaxLayers = 100'000;
constexpr std::int64_t kMaxHistory = 10'000;
constexpr std::int64_t kMaxNumbers = std::int64_t{1} << 30;  ///< loads that a planner remembers, at most

std::unique_ptr<PlacementSolver> solver_of(moeplan_solver solver) {
  switch (solver) {
    case MOEPLAN_SOLVER_EPLB:
      return make_eplb(true);
    case MOEPLAN_SOLVER_LPT:
      return make_lpt();
    case MOEPLAN_SOLVER_SEARCH:
      break;
  }
  return make_moeplan_solver();
}

}  // namespace

std::string CPlanner::find_fault(const moeplan_options& o) {
  if (o.version != MOEPLAN_API_VERSION)
    return fmt::format("found version {} of the options, expected {} as moeplan_options_init writes it",
                       o.version, MOEPLAN_API_VERSION);
  if (o.layers < 1 || o.layers > kMaxLayers)
    return fmt::format("found {} layers, expected 1 to {}", o.layers, kMaxLayers);
  if (o.experts < 1 || o.experts > kMaxExperts)
    return fmt::format("found {} experts, expected 1 to {}", o.experts, kMaxExperts);
  if (o.ranks < 1) return fmt::format("found {} ranks, expected at least 1", o.ranks);
  if (o.slots < o.experts || o.slots > kMaxSlots || o.slots % o.ranks != 0)
    return fmt::format("found {} slots of a layer, expected a multiple of the {} ranks from {} to {}",
                       o.slots, o.ranks, o.experts, kMaxSlots);
  if (o.history < 1 || o.history > kMaxHistory)
    return fmt::format("found a history of {}, expected 1 to {}", o.history, kMaxHistory);
  if (std::int64_t{o.layers} * o.experts > kMaxNumbers / o.history ||
      std::int64_t{o.layers} * o.slots > kMaxNumbers)
    return fmt::format("found {} layers of {} experts in {} slots and a history of {}, expected fewer",
                       o.layers, o.experts, o.slots, o.history);
  if (!(o.hysteresis >= 0 && o.hysteresis < 1))
    return fmt::format("found a hysteresis of {}, expected 0 to below 1", o.hysteresis);
  const int solver = static_cast<int>(o.solver);
  if (solver < MOEPLAN_SOLVER_SEARCH || solver > MOEPLAN_SOLVER_LPT)
    return fmt::format("found solver {}, expected one of moeplan_solver", solver);
  return "";
}

CPlanner::CPlanner(const moeplan_options& options)
    : shape_{options.ranks, options.ranks, options.slots / options.ranks, 1},
      layers_(static_cast<std::size_t>(options.layers)),
      experts_(static_cast<std::size_t>(options.experts)),
      per_layer_(static_cast<std::size_t>(options.slots)),
      history_(static_cast<std::size_t>(options.history)),
      hysteresis_(options.hysteresis),
      solver_(solver_of(options.solver)),
      load_(layers_ * history_ * experts_),
      next_load_(load_.size()),
      next_mean_(layers_ * experts_),
      slots_(layers_ * per_layer_),
      next_slots_(slots_.size()) {
  for (std::size_t s = 0; s < slots_.size(); ++s)
    slots_[s] = static_cast<std::int32_t>(s % per_layer_ % experts_);
  message.reserve(512);
}

std::string CPlanner::find_load_fault(const double* loads) const {
  for (std::size_t i = 0; i < layers_ * experts_; ++i) {
    if (std::isfinite(loads[i]) && loads[i] >= 0) continue;
    return fmt::format("found a load of {} for expert {} of layer {}, expected a number of at least 0",
                       loads[i], i % experts_, i / experts_);
  }
  return "";
}

/// next_load_ = the last history_ - 1 iterations and these.
void CPlanner::append(const double* loads) {
  const std::size_t kept = std::min(seen_, history_ - 1);
  next_seen_ = kept + 1;
  for (std::size_t l = 0; l < layers_; ++l) {
    const double* old = load_.data() + l * seen_ * experts_ + (seen_ - kept) * experts_;
    double* fresh = next_load_.data() + l * next_seen_ * experts_;
    std::copy(old, old + kept * experts_, fresh);
    std::copy(loads + l * experts_, loads + (l + 1) * experts_, fresh + kept * experts_);
    double* mean = next_mean_.data() + l * experts_;
    std::fill(mean, mean + experts_, 0.0);
    for (std::size_t i = 0; i < next_seen_; ++i) {
      for (std::size_t e = 0; e < experts_; ++e)
        mean[e] += fresh[i * experts_ + e] / static_cast<double>(next_seen_);
    }
  }
}

LayerProblem CPlanner::layer(std::size_t index) const {
  const std::size_t rows = next_seen_ * experts_;
  return {shape_, static_cast<int>(experts_), static_cast<int>(next_seen_),
          std::span(next_load_).subspan(index * rows, rows),
          std::span(next_mean_).subspan(index * experts_, experts_)};
}

int CPlanner::plan(const double* loads) {
  append(loads);
  int changed = 0;
  Slots now(per_layer_);
  for (std::size_t l = 0; l < layers_; ++l) {
    const LayerProblem problem = layer(l);
    const auto mine = std::span(slots_).subspan(l * per_layer_, per_layer_);
    std::copy(mine.begin(), mine.end(), now.begin());
    const Slots fresh = solver_->solve(problem);
    const LayerScore before = check_layer(shape_, problem.experts, problem.load, now);
    const LayerScore after = check_layer(shape_, problem.experts, problem.load, fresh);
    MOEPLAN_CHECK(after.fault.empty(), after.fault);
    const bool better = after.objective < before.objective * (1 - hysteresis_);
    const Slots kept = better ? keep_in_place(now, fresh, shape_) : now;
    changed += kept != now ? 1 : 0;
    std::copy(kept.begin(), kept.end(), next_slots_.begin() + static_cast<std::ptrdiff_t>(l * per_layer_));
  }
  std::swap(load_, next_load_);
  std::swap(slots_, next_slots_);
  seen_ = next_seen_;
  return changed;
}

std::string CPlanner::set_placement(const std::int32_t* slots) {
  const std::vector<double> none(experts_, 0.0);
  for (std::size_t l = 0; l < layers_; ++l) {
    const LayerScore score =
        check_layer(shape_, static_cast<int>(experts_), none, {slots + l * per_layer_, per_layer_});
    if (!score.fault.empty()) return fmt::format("layer {}: {}", l, score.fault);
  }
  std::copy(slots, slots + slots_.size(), slots_.begin());
  return "";
}

double CPlanner::imbalance(const double* loads) const {
  double sum = 0;
  for (std::size_t l = 0; l < layers_; ++l) {
    sum += check_layer(shape_, static_cast<int>(experts_), {loads + l * experts_, experts_},
                       std::span(slots_).subspan(l * per_layer_, per_layer_))
               .max_over_mean;
  }
  return sum / static_cast<double>(layers_);
}

}  // namespace moeplan::planner
