#include "planner/search/contest.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/parallel.h"

namespace moeplan::planner {

namespace {

using base::Seconds;

/// Simulations between two looks at the K-th best time.
constexpr std::size_t kBatch = 16;
/// Points whose memory is counted between two batches.
constexpr std::size_t kMemoryBatch = 128;

class Contest {
 public:
  Contest(const Space& space, const Evaluator& evaluator, const std::string& framework,
          const ContestOptions& options, const std::function<bool()>& out_of_time, std::vector<Point>& points)
      : space_(space),
        evaluator_(evaluator),
        framework_(framework),
        options_(options),
        out_of_time_(out_of_time),
        points_(points) {
    for (std::size_t i = 0; i < points_.size(); ++i) {
      if (points_[i].is_in()) order_.push_back(i);
    }
    std::stable_sort(order_.begin(), order_.end(), [this](std::size_t a, std::size_t b) {
      return points_[a].estimate < points_[b].estimate;
    });
  }

  ContestResult run() {
    const std::int64_t budget = options_.exhaustive ? std::numeric_limits<std::int64_t>::max()
                                                    : std::max<std::int64_t>(1, options_.budget);
    leaders_left_ = budget - budget / 2;
    others_left_ = budget - leaders_left_;
    while (true) {
      const std::vector<std::size_t> batch = next_batch();
      if (batch.empty()) break;
      simulate(batch);
      if (out_of_time_ && out_of_time_()) {
        stopped_ = true;
        break;
      }
    }
    mark_rest();
    sort_by_estimate();
    return {std::move(simulated_), unseen()};
  }

 private:
  sim::PlanSpec plan(std::size_t i) const {
    return plan_at(space_, evaluator_, framework_, points_[i].candidate);
  }

  /// Counts the memory of the next points of the order.
  void weigh() {
    const std::size_t end = std::min(order_.size(), weighed_ + kMemoryBatch);
    base::parallel_for(end - weighed_, options_.threads, [&](std::size_t k) { weigh(order_[weighed_ + k]); });
    weighed_ = end;
  }

  void weigh(std::size_t i) const {
    Point& point = points_[i];
    if (point.memory_known) return;
    const sim::MemoryResult memory = evaluator_.memory(plan(i));
    point.memory_known = true;
    if (memory.fits()) return;
    point.rule = "memory";
    point.over = memory.reserved - memory.limit;
  }

  bool is_proved_slow(const Point& point) const { return point.lower >= limit_; }
  bool is_estimated_slow(const Point& point) const {
    return !options_.exhaustive && point.estimate * least_of_estimate_ >= limit_ && !hides_exchanges(point);
  }
  /// Estimates do not see what paired passes hide.
  bool hides_exchanges(const Point& point) const {
    return space_.overlap[static_cast<std::size_t>(point.candidate.overlap)].all_to_all;
  }

  bool is_first_of_family(std::size_t i) const {
    return std::none_of(leaders_.begin(), leaders_.end(), [&](std::size_t l) {
      return same_family(points_[l].candidate, points_[i].candidate);
    });
  }

  std::vector<std::size_t> next_batch() {
    std::vector<std::size_t> batch;
    while (batch.size() < kBatch && cursor_ < order_.size() && leaders_left_ + others_left_ > 0) {
      if (cursor_ == weighed_) weigh();
      const std::size_t i = order_[cursor_++];
      Point& point = points_[i];
      if (!point.is_in()) continue;
      if (is_proved_slow(point)) {
        point.rule = "bound";
      } else if (is_estimated_slow(point)) {
        point.rule = "estimate";
      } else if (options_.exhaustive) {
        batch.push_back(i);
      } else if (leaders_left_ > 0 && is_first_of_family(i)) {
        --leaders_left_;
        leaders_.push_back(i);
        batch.push_back(i);
      } else if (others_left_ > 0) {
        --others_left_;
        batch.push_back(i);
      } else {
        spare_.push_back(i);
      }
    }
    take_spare(batch);
    return batch;
  }

  /// Where families are few, the budget that they leave goes to the best estimates that were passed over.
  void take_spare(std::vector<std::size_t>& batch) {
    if (cursor_ < order_.size()) return;
    for (std::size_t& i : spare_) {
      if (batch.size() >= kBatch || leaders_left_ <= 0) break;
      if (i == kTaken || is_proved_slow(points_[i]) || is_estimated_slow(points_[i])) continue;
      --leaders_left_;
      batch.push_back(i);
      i = kTaken;
    }
  }

  void simulate(const std::vector<std::size_t>& batch) {
    std::vector<RankedPlan> results(batch.size());
    base::parallel_for(batch.size(), options_.threads, [&](std::size_t k) {
      results[k].plan = plan(batch[k]);
      results[k].point = batch[k];
      results[k].result = evaluator_.simulate(results[k].plan, 1, false, options_.samples);
      results[k].ranked = results[k].result.step_time;
    });
    for (std::size_t k = 0; k < batch.size(); ++k) {
      points_[batch[k]].rule = kSimulated;
      seen_.push_back(batch[k]);
      simulated_.push_back(std::move(results[k]));
    }
    double least = kMostOfEstimate + kEstimateScatter;
    for (std::size_t k = 0; k < simulated_.size(); ++k)
      least = std::min(least, simulated_[k].result.step_time / points_[seen_[k]].estimate);
    least_of_estimate_ = std::max(kLeastOfEstimate, least - kEstimateScatter);
    find_limit();
  }

  /// The K-th best time, of each family its best.
  void find_limit() {
    std::vector<std::size_t> order(simulated_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [this](std::size_t a, std::size_t b) {
      return simulated_[a].result.step_time < simulated_[b].result.step_time;
    });
    std::vector<std::size_t> best;
    for (const std::size_t k : order) {
      const bool known = std::any_of(best.begin(), best.end(), [&](std::size_t other) {
        return same_family(points_[seen_[other]].candidate, points_[seen_[k]].candidate);
      });
      if (!known) best.push_back(k);
      if (best.size() < static_cast<std::size_t>(std::max(1, options_.top))) continue;
      limit_ = simulated_[best.back()].result.step_time;
      return;
    }
  }

  void mark_rest() {
    for (const std::size_t i : order_) {
      Point& point = points_[i];
      if (point.rule == kSimulated || point.rule == "memory") continue;
      if (is_proved_slow(point)) {
        point.rule = "bound";
      } else if (point.is_in()) {
        point.rule = stopped_ ? "wall-budget" : is_estimated_slow(point) ? "estimate" : "budget";
      }
    }
    for (const std::size_t i : seen_) points_[i].rule = "";
  }

  void sort_by_estimate() {
    std::vector<std::size_t> order(seen_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [this](std::size_t a, std::size_t b) {
      return points_[seen_[a]].estimate < points_[seen_[b]].estimate;
    });
    std::vector<RankedPlan> sorted;
    for (const std::size_t k : order) sorted.push_back(std::move(simulated_[k]));
    simulated_ = std::move(sorted);
  }

  /// Points that nobody simulated and no bound rules out. The lowest bound of those that fit: their memory is
  /// counted from the lowest bound on, until one fits; not once a wall budget is over, when all are taken to
  /// fit.
  Unseen unseen() {
    Unseen unseen;
    unseen.limit = limit_;
    std::vector<std::size_t> left;
    for (std::size_t i = 0; i < points_.size(); ++i) {
      const std::string_view rule = points_[i].rule;
      if (rule == "estimate" || rule == "budget") left.push_back(i);
      if (rule == "wall-budget") {
        ++unseen.points;
        unseen.not_estimated = unseen.not_estimated || points_[i].lower <= Seconds();
        unseen.floor = std::min(unseen.floor, points_[i].lower);
      }
    }
    std::stable_sort(left.begin(), left.end(),
                     [this](std::size_t a, std::size_t b) { return points_[a].lower < points_[b].lower; });
    for (std::size_t k = 0; k < left.size(); k += kMemoryBatch) {
      const std::size_t end = std::min(left.size(), k + kMemoryBatch);
      base::parallel_for(end - k, options_.threads, [&](std::size_t n) { weigh(left[k + n]); });
      bool fits = false;
      for (std::size_t n = k; n < end; ++n) {
        const Point& point = points_[left[n]];
        if (point.rule == "memory") continue;
        ++unseen.points;
        unseen.floor = std::min(unseen.floor, point.lower);
        fits = true;
      }
      if (fits) {
        unseen.points += static_cast<std::int64_t>(left.size() - end);
        break;
      }
    }
    return unseen;
  }

  static constexpr std::string_view kSimulated = "simulated";
  static constexpr std::size_t kTaken = std::numeric_limits<std::size_t>::max();

  const Space& space_;
  const Evaluator& evaluator_;
  const std::string& framework_;
  const ContestOptions& options_;
  const std::function<bool()>& out_of_time_;
  std::vector<Point>& points_;
  std::vector<std::size_t> order_;
  std::size_t cursor_ = 0, weighed_ = 0;
  std::int64_t leaders_left_ = 0, others_left_ = 0;
  std::vector<std::size_t> leaders_, spare_, seen_;
  std::vector<RankedPlan> simulated_;  // as seen_
  Seconds limit_ = Seconds::infinity();
  double least_of_estimate_ = kLeastOfEstimate;
  bool stopped_ = false;
};

}  // namespace

ContestResult run_contest(const Space& space, const Evaluator& evaluator, const std::string& framework,
                          const ContestOptions& options, const std::function<bool()>& out_of_time,
                          std::vector<Point>& points) {
  return Contest(space, evaluator, framework, options, out_of_time, points).run();
}

void sort_by_time(std::vector<RankedPlan>& plans) {
  std::stable_sort(plans.begin(), plans.end(), [](const RankedPlan& a, const RankedPlan& b) {
    return a.result.step_time < b.result.step_time;
  });
}

std::vector<RankedPlan> keep_distinct(const std::vector<RankedPlan>& sorted, std::size_t limit, int copies) {
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

}  // namespace moeplan::planner
