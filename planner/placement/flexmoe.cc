#include "planner/placement/flexmoe.h"

#include <algorithm>
#include <numeric>

#include "planner/placement/replicas.h"

namespace moeplan::planner {

namespace {

constexpr double kAllToAlls = 4;      ///< dispatch and combine, forward and backward
constexpr double kComputeRounds = 3;  ///< forward and twice as much backward
constexpr double kThreshold = 1.2;    ///< of max / mean load, as re-implementations have it
constexpr int kMigrations = 10;
constexpr double kRounding = 1e-9;  ///< a gain below this is none

/// What one GPU carries and costs.
struct GpuCosts {
  std::vector<double> load;
  std::vector<double> seconds;

  double worst() const { return *std::max_element(seconds.begin(), seconds.end()); }
  std::size_t busiest() const {
    return static_cast<std::size_t>(std::max_element(seconds.begin(), seconds.end()) - seconds.begin());
  }
};

using Holders = std::vector<std::vector<int>>;

/// Costs by FlexMoE's model; holds what does not change from one placement to the next.
class CostModel {
 public:
  explicit CostModel(const LayerProblem& layer)
      : layer_(layer), assignments_(layer.mean.begin(), layer.mean.end()) {
    const double total = std::accumulate(assignments_.begin(), assignments_.end(), 0.0);
    const double scale = total > 0 ? layer.job.assignments * layer.shape.gpus / total : 0.0;
    for (double& a : assignments_) a *= scale;
  }

  double assignments(std::size_t expert) const { return assignments_[expert]; }

  /// The GPU of each of an expert's slots, in rising order. Shape: [expert][vExpert]
  Holders holders(const Slots& slots) const {
    Holders at(assignments_.size());
    for (std::size_t s = 0; s < slots.size(); ++s)
      at[static_cast<std::size_t>(slots[s])].push_back(static_cast<int>(s) / layer_.shape.slots_per_gpu);
    return at;
  }

  GpuCosts costs(const Holders& at) const {
    const auto gpus = static_cast<std::size_t>(layer_.shape.gpus);
    GpuCosts result{std::vector<double>(gpus, 0.0), std::vector<double>(gpus, 0.0)};
    for (std::size_t e = 0; e < at.size(); ++e) add_expert(e, at[e], 1, result);
    return result;
  }

  /// `sign` 1 adds an expert, -1 takes it away.
  void add_expert(std::size_t expert, const std::vector<int>& at, double sign, GpuCosts& costs) const {
    const double each = sign * assignments_[expert] / static_cast<double>(at.size());
    const double synchronised = sign * sync_seconds(at);
    const double reached = kComputeRounds * layer_.job.flops() / layer_.job.flops_per_s + transfer_seconds();
    for (std::size_t i = 0; i < at.size(); ++i) {
      const auto g = static_cast<std::size_t>(at[i]);
      costs.load[g] += each;
      costs.seconds[g] += each * reached;
      if (i == 0 || at[i - 1] != at[i]) costs.seconds[g] += synchronised;
    }
  }

 private:
  /// All-to-alls of one assignment, mean over the GPUs that it may come from.
  double transfer_seconds() const {
    const SystemJob& job = layer_.job;
    const double near = (layer_.shape.gpus_per_node - 1) / job.node_bytes_per_s;
    const double far = (layer_.shape.gpus - layer_.shape.gpus_per_node) / job.fabric_bytes_per_s;
    return kAllToAlls * job.token_bytes() * (near + far) / layer_.shape.gpus;
  }

  double sync_seconds(const std::vector<int>& at) const {
    int members = 1;
    for (std::size_t i = 1; i < at.size(); ++i) members += at[i] != at[i - 1] ? 1 : 0;
    const bool one_node = at.front() / layer_.shape.gpus_per_node == at.back() / layer_.shape.gpus_per_node;
    const double bandwidth = one_node ? layer_.job.node_bytes_per_s : layer_.job.fabric_bytes_per_s;
    return layer_.job.expert_bytes() * 2 * (members - 1) / members / bandwidth;
  }

  const LayerProblem& layer_;
  std::vector<double> assignments_;
};

/// Slot `slot` gets `expert`; where `other` is a slot too, that one gets what stood there.
struct Change {
  std::size_t slot = 0;
  std::int32_t expert = -1;
  std::size_t other = kNone;
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);
};

/// One plan in the making.
class PolicyMaker {
 public:
  explicit PolicyMaker(const LayerProblem& layer)
      : layer_(layer),
        model_(layer),
        slots_(make_solver("contiguous")->solve(layer)),
        at_(model_.holders(slots_)),
        now_(model_.costs(at_)) {}

  Slots run() {
    for (std::size_t round = 0; round < slots_.size() && is_unbalanced(); ++round) {
      if (!expand() && !migrate()) break;
    }
    sort_slots_of_gpus(slots_, layer_.shape.slots_per_gpu);
    return slots_;
  }

 private:
  bool is_unbalanced() const {
    const double mean = std::accumulate(now_.load.begin(), now_.load.end(), 0.0) / layer_.shape.gpus;
    return *std::max_element(now_.load.begin(), now_.load.end()) > kThreshold * mean;
  }
  int gpu_of(std::size_t slot) const { return static_cast<int>(slot) / layer_.shape.slots_per_gpu; }

  /// Cost after a change: only the two experts are counted anew.
  double seconds_after(const Change& change) const {
    const auto in = static_cast<std::size_t>(change.expert);
    const auto out = static_cast<std::size_t>(slots_[change.slot]);
    std::vector<int> more = at_[in];
    std::vector<int> less = at_[out];
    less.erase(std::find(less.begin(), less.end(), gpu_of(change.slot)));
    more.push_back(gpu_of(change.slot));
    if (change.other != Change::kNone) {
      more.erase(std::find(more.begin(), more.end(), gpu_of(change.other)));
      less.push_back(gpu_of(change.other));
    }
    std::sort(more.begin(), more.end());
    std::sort(less.begin(), less.end());
    GpuCosts costs = now_;
    model_.add_expert(in, at_[in], -1, costs);
    model_.add_expert(out, at_[out], -1, costs);
    model_.add_expert(in, more, 1, costs);
    model_.add_expert(out, less, 1, costs);
    return costs.worst();
  }

  /// Carries out the cheapest of some changes, if it lowers the cost.
  bool take_best(const std::vector<Change>& changes) {
    const Change* best = nullptr;
    double least = now_.worst() * (1 - kRounding);
    for (const Change& change : changes) {
      const double seconds = seconds_after(change);
      if (seconds >= least) continue;
      least = seconds;
      best = &change;
    }
    if (best == nullptr) return false;
    if (best->other != Change::kNone) slots_[best->other] = slots_[best->slot];
    slots_[best->slot] = best->expert;
    at_ = model_.holders(slots_);
    now_ = model_.costs(at_);
    return true;
  }

  /// A vExpert of the coldest expert that has several becomes one of the hottest.
  bool expand() {
    const auto capacity = [&](std::size_t e) {
      return model_.assignments(e) / static_cast<double>(at_[e].size());
    };
    std::size_t hottest = 0;
    std::size_t coldest = at_.size();
    for (std::size_t e = 0; e < at_.size(); ++e) {
      if (capacity(e) > capacity(hottest)) hottest = e;
      if (at_[e].size() > 1 && (coldest == at_.size() || capacity(e) < capacity(coldest))) coldest = e;
    }
    if (coldest == at_.size() || coldest == hottest) return false;
    std::vector<Change> changes;
    for (std::size_t s = 0; s < slots_.size(); ++s) {
      if (static_cast<std::size_t>(slots_[s]) == coldest)
        changes.push_back({s, static_cast<std::int32_t>(hottest)});
    }
    return take_best(changes);
  }

  /// Swaps a slot of the busiest GPU with one of another.
  bool migrate() {
    if (migrations_++ == kMigrations) return false;
    const auto per_gpu = static_cast<std::size_t>(layer_.shape.slots_per_gpu);
    const std::size_t first = now_.busiest() * per_gpu;
    std::vector<Change> changes;
    for (std::size_t a = first; a < first + per_gpu; ++a) {
      for (std::size_t b = 0; b < slots_.size(); ++b) {
        if (b / per_gpu != a / per_gpu && slots_[a] != slots_[b]) changes.push_back({a, slots_[b], b});
      }
    }
    return take_best(changes);
  }

  const LayerProblem& layer_;
  CostModel model_;
  Slots slots_;
  Holders at_;
  GpuCosts now_;
  int migrations_ = 0;
};

class FlexMoe : public PlacementSolver {
 public:
  std::string_view name() const override { return "flexmoe"; }
  std::string find_refusal(const LayerProblem& layer) const override {
    return layer.shape.groups > 1 ? "FlexMoE keeps no group on one node" : "";
  }
  Slots solve(const LayerProblem& layer) const override {
    if (layer.shape.slots_per_gpu >= layer.experts) return fill_every_gpu(layer.shape, layer.experts);
    return PolicyMaker(layer).run();
  }
  std::optional<double> own_cost(const LayerProblem& layer, const Slots& slots) const override {
    return flexmoe_seconds(layer, slots);
  }
};

}  // namespace

double flexmoe_seconds(const LayerProblem& layer, const Slots& slots) {
  const CostModel model(layer);
  return model.costs(model.holders(slots)).worst();
}

std::unique_ptr<PlacementSolver> make_flexmoe() { return std::make_unique<FlexMoe>(); }

}  // namespace moeplan::planner
