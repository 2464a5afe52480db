#include "planner/placement/exact.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "planner/placement/lower_bound.h"
#include "planner/placement/moeplan_solver.h"
#include "planner/placement/replicas.h"

namespace moeplan::planner {

namespace {

constexpr int kMostExperts = 16;
constexpr int kMostGpus = 8;
constexpr int kMostSlots = 48;

class BranchAndBound {
 public:
  BranchAndBound(const LayerProblem& layer, const Slots& start, const ExactOptions& options)
      : layer_(layer),
        options_(options),
        gpus_(static_cast<std::size_t>(layer.shape.gpus)),
        iterations_(static_cast<std::size_t>(layer.iterations)),
        order_(static_cast<std::size_t>(layer.experts)),
        mask_(order_.size(), 0),
        best_mask_(order_.size(), 0),
        room_(gpus_, layer.shape.slots_per_gpu),
        load_((order_.size() + 1) * gpus_ * iterations_, 0.0),
        mean_(iterations_) {
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::stable_sort(order_.begin(), order_.end(),
                     [&](std::size_t a, std::size_t b) { return layer_.mean[a] > layer_.mean[b]; });
    for (std::size_t t = 0; t < iterations_; ++t) {
      const std::span<const double> row = layer.at(static_cast<int>(t));
      mean_[t] = std::accumulate(row.begin(), row.end(), 0.0) / static_cast<double>(gpus_);
    }
    take_start(start);
    floor_ = lower_bound(layer);
  }

  ExactResult run() {
    branch(0, layer_.shape.slots());
    ExactResult result;
    result.objective = best_;
    result.proven = nodes_ <= options_.max_nodes;
    result.nodes = nodes_;
    result.slots = write_slots();
    return result;
  }

 private:
  double* loads(std::size_t depth) { return &load_[depth * gpus_ * iterations_]; }

  void take_start(const Slots& start) {
    const auto per_gpu = static_cast<std::size_t>(layer_.shape.slots_per_gpu);
    for (std::size_t s = 0; s < start.size(); ++s) {
      best_mask_[static_cast<std::size_t>(start[s])] |= 1U << (s / per_gpu);
    }
    double sum = 0;
    for (std::size_t t = 0; t < iterations_; ++t) {
      std::vector<double> load(gpus_, 0.0);
      for (std::size_t e = 0; e < order_.size(); ++e) {
        for (std::size_t g = 0; g < gpus_; ++g) {
          if ((best_mask_[e] >> g & 1U) != 0)
            load[g] += layer_.at(static_cast<int>(t))[e] / std::popcount(best_mask_[e]);
        }
      }
      sum += *std::max_element(load.begin(), load.end());
    }
    best_ = sum / static_cast<double>(iterations_);
  }

  Slots write_slots() const {
    Slots slots;
    for (std::size_t g = 0; g < gpus_; ++g) {
      for (std::size_t e = 0; e < order_.size(); ++e) {
        if ((best_mask_[e] >> g & 1U) != 0) slots.push_back(static_cast<std::int32_t>(e));
      }
    }
    return slots;
  }

  bool done() const { return nodes_ > options_.max_nodes || best_ <= floor_ * (1 + options_.tolerance); }

  double bound(const double* load) const {
    double sum = 0;
    for (std::size_t t = 0; t < iterations_; ++t) {
      double largest = mean_[t];
      for (std::size_t g = 0; g < gpus_; ++g) largest = std::max(largest, load[g * iterations_ + t]);
      sum += largest;
    }
    return sum / static_cast<double>(iterations_);
  }

  /// The GPU before `g` that is its like, or -1.
  int like_before(std::size_t g, const double* load) const {
    for (std::size_t other = g; other-- > 0;) {
      if (room_[other] == room_[g] &&
          std::equal(load + g * iterations_, load + (g + 1) * iterations_, load + other * iterations_))
        return static_cast<int>(other);
    }
    return -1;
  }

  /// Sets of GPUs with room, of `count` members, of likes only the first ones; GPUs that must take this
  /// expert to be filled at all are in each.
  void list_sets(std::size_t depth, const double* load, std::vector<std::uint32_t>& sets) const {
    const auto left = static_cast<int>(order_.size() - depth);
    std::uint32_t must = 0;
    std::uint32_t may = 0;
    std::vector<int> like(gpus_);
    for (std::size_t g = 0; g < gpus_; ++g) {
      if (room_[g] > 0) may |= 1U << g;
      if (room_[g] == left) must |= 1U << g;
      like[g] = like_before(g, load);
    }
    for (std::uint32_t set = 1; set < (1U << gpus_); ++set) {
      if ((set & ~may) != 0 || (must & ~set) != 0) continue;
      bool first = true;
      for (std::size_t g = 0; g < gpus_ && first; ++g) {
        first = (set >> g & 1U) == 0 || like[g] < 0 || (set >> static_cast<unsigned>(like[g]) & 1U) != 0;
      }
      if (first) sets.push_back(set);
    }
  }

  void branch(std::size_t depth, int left) {
    if (done()) return;
    ++nodes_;
    const double* now = loads(depth);
    if (depth == order_.size()) {
      const double objective = bound(now);
      if (objective < best_) {
        best_ = objective;
        best_mask_ = mask_;
      }
      return;
    }
    const std::size_t expert = order_[depth];
    const auto after = static_cast<int>(order_.size() - depth - 1);
    std::vector<std::uint32_t> sets;
    list_sets(depth, now, sets);
    struct Child {
      double bound = 0;
      double lightest = 0;  // mean load of the set's GPUs after this expert
      std::uint32_t set = 0;
    };
    std::vector<Child> children;
    double* next = loads(depth + 1);
    for (const std::uint32_t set : sets) {
      const int count = std::popcount(set);
      if (left - count < after || left - count > after * static_cast<int>(gpus_)) continue;
      fill(next, now, expert, set);
      double sum = 0;
      for (std::size_t g = 0; g < gpus_; ++g) {
        for (std::size_t t = 0; t < iterations_; ++t) {
          const double load = next[g * iterations_ + t];
          sum += load * load;
        }
      }
      children.push_back({bound(next), sum, set});
    }
    std::sort(children.begin(), children.end(), [](const Child& a, const Child& b) {
      return std::pair(a.bound, a.lightest) < std::pair(b.bound, b.lightest) ||
             (a.bound == b.bound && a.lightest == b.lightest && a.set < b.set);
    });
    for (const Child& child : children) {
      if (child.bound >= best_ * (1 - options_.tolerance)) break;
      fill(next, now, expert, child.set);
      mask_[expert] = child.set;
      take_room(child.set, -1);
      branch(depth + 1, left - std::popcount(child.set));
      take_room(child.set, 1);
    }
  }

  void fill(double* next, const double* now, std::size_t expert, std::uint32_t set) const {
    std::copy(now, now + gpus_ * iterations_, next);
    const double portion = 1.0 / std::popcount(set);
    for (std::size_t g = 0; g < gpus_; ++g) {
      if ((set >> g & 1U) == 0) continue;
      for (std::size_t t = 0; t < iterations_; ++t)
        next[g * iterations_ + t] += layer_.at(static_cast<int>(t))[expert] * portion;
    }
  }

  void take_room(std::uint32_t set, int by) {
    for (std::size_t g = 0; g < gpus_; ++g) {
      if ((set >> g & 1U) != 0) room_[g] += by;
    }
  }

  const LayerProblem& layer_;
  ExactOptions options_;
  std::size_t gpus_, iterations_;
  std::vector<std::size_t> order_;
  std::vector<std::uint32_t> mask_, best_mask_;  // [expert] -> GPUs
  std::vector<int> room_;
  std::vector<double> load_;  // [depth][gpu][iteration]
  std::vector<double> mean_;  // [iteration]
  double best_ = 0;
  double floor_ = 0;
  std::int64_t nodes_ = 0;
};

class Exact : public PlacementSolver {
 public:
  std::string_view name() const override { return "exact"; }

  std::string find_refusal(const LayerProblem& layer) const override {
    const SlotShape& s = layer.shape;
    if (s.groups > 1) return "the exact search knows no groups";
    if (layer.experts > kMostExperts || s.gpus > kMostGpus || s.slots() > kMostSlots) {
      return fmt::format(
          "{} experts on {} GPUs with {} slots are too many for the exact search (at most {}, {}, {})",
          layer.experts, s.gpus, s.slots(), kMostExperts, kMostGpus, kMostSlots);
    }
    return "";
  }

  Slots solve(const LayerProblem& layer) const override {
    if (layer.shape.slots_per_gpu >= layer.experts) return fill_every_gpu(layer.shape, layer.experts);
    return solve_exactly(layer, make_moeplan_solver()->solve(layer)).slots;
  }
};

}  // namespace

ExactResult solve_exactly(const LayerProblem& layer, const Slots& start, const ExactOptions& options) {
  MOEPLAN_CHECK(layer.shape.gpus <= kMaxExactGpus && layer.shape.slots_per_gpu <= layer.experts &&
                    layer.shape.groups == 1,
                "the search goes through sets of few GPUs");
  return BranchAndBound(layer, start, options).run();
}

std::unique_ptr<PlacementSolver> make_exact() { return std::make_unique<Exact>(); }

}  // namespace moeplan::planner
