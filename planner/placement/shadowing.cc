#include "planner/placement/shadowing.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "base/check.h"
#include "planner/placement/system_slots.h"

namespace moeplan::planner {

namespace {

constexpr double kRounds = 3;     ///< forward and twice as much backward
constexpr double kTransfers = 4;  ///< all-to-alls of a layer, forward and backward
constexpr double kSmartMoeBroadcasts = 8;

struct Rates {
  double flops_per_s;
  double bytes_per_s;
  double element_bytes;
};

Rates rates_of(ShadowPolicy policy) {
  return policy == ShadowPolicy::kSmartMoe ? Rates{112e12, 8e9, 2} : Rates{11.5e12, 50e9 / 8, 4};
}

class FasterMoe : public PlacementSolver {
 public:
  explicit FasterMoe(ShadowPolicy policy) : policy_(policy) {}
  std::string_view name() const override {
    switch (policy_) {
      case ShadowPolicy::kPaper:
        return "fastermoe";
      case ShadowPolicy::kPrototype:
        return "fastermoe_prototype";
      case ShadowPolicy::kFastMoe:
        return "fastermoe_fastmoe";
      case ShadowPolicy::kSmartMoe:
        break;
    }
    return "fastermoe_smartmoe";
  }
  std::string find_refusal(const LayerProblem& layer) const override {
    return find_home_refusal(layer, "FasterMoE");
  }

  Slots solve(const LayerProblem& layer) const override {
    const int gpus = layer.shape.gpus;
    const int home = layer.experts / gpus;
    const int unit = experts_of_unit(layer);
    const std::vector<double> tokens = tokens_of(layer);
    const ShadowModel model(policy_, problem_of(layer, tokens));
    const int count = gpus == 1 ? 0 : model.choose((layer.shape.slots_per_gpu - home) / unit);
    std::vector<std::vector<std::int32_t>> held(static_cast<std::size_t>(gpus));
    for (int e = 0; e < layer.experts; ++e) held[static_cast<std::size_t>(e / home)].push_back(e);
    for (int i = 0; i < count; ++i) {
      const int first = model.order()[static_cast<std::size_t>(i)] * unit;
      for (int e = first; e < first + unit; ++e) {
        for (int g = 0; g < gpus; ++g) {
          if (g != e / home) held[static_cast<std::size_t>(g)].push_back(e);
        }
      }
    }
    return fill_slots(layer, std::move(held));
  }

  std::optional<double> own_cost(const LayerProblem& layer, const Slots& slots) const override {
    std::vector<std::vector<bool>> on(static_cast<std::size_t>(layer.experts),
                                      std::vector<bool>(static_cast<std::size_t>(layer.shape.gpus), false));
    for (std::size_t s = 0; s < slots.size(); ++s)
      on[static_cast<std::size_t>(slots[s])][s / static_cast<std::size_t>(layer.shape.slots_per_gpu)] = true;
    const auto shadows = std::count_if(on.begin(), on.end(), [](const std::vector<bool>& gpus) {
      return gpus.size() > 1 && std::find(gpus.begin(), gpus.end(), false) == gpus.end();
    });
    const std::vector<double> tokens = tokens_of(layer);
    const ShadowModel model(policy_, problem_of(layer, tokens));
    const int count = static_cast<int>(shadows) / experts_of_unit(layer);
    return model.seconds(std::min(count, static_cast<int>(model.order().size()) - 1));
  }

 private:
  int experts_of_unit(const LayerProblem& layer) const {
    return policy_ == ShadowPolicy::kPrototype ? layer.experts / layer.shape.gpus : 1;
  }
  static std::vector<double> tokens_of(const LayerProblem& layer) {
    const double total = std::accumulate(layer.mean.begin(), layer.mean.end(), 0.0);
    std::vector<double> tokens(layer.mean.begin(), layer.mean.end());
    for (double& t : tokens) t *= total > 0 ? layer.job.assignments * layer.shape.gpus / total : 0.0;
    return tokens;
  }
  static ShadowProblem problem_of(const LayerProblem& layer, std::span<const double> tokens) {
    return {tokens, layer.shape.gpus, layer.job.hidden, layer.job.parameters};
  }
  ShadowPolicy policy_;
};

}  // namespace

ShadowModel::ShadowModel(ShadowPolicy policy, const ShadowProblem& problem)
    : policy_(policy), problem_(problem) {
  const auto ranks = static_cast<std::size_t>(problem.ranks);
  MOEPLAN_CHECK(problem.ranks > 0 && problem.tokens.size() % ranks == 0,
                fmt::format("{} experts on {} ranks", problem.tokens.size(), problem.ranks));
  if (policy == ShadowPolicy::kPrototype) {
    load_.assign(ranks, 0.0);
    const std::size_t home = problem.tokens.size() / ranks;
    for (std::size_t e = 0; e < problem.tokens.size(); ++e) load_[e / home] += problem.tokens[e];
  } else if (policy == ShadowPolicy::kFastMoe) {
    load_.assign(ranks, std::accumulate(problem.tokens.begin(), problem.tokens.end(), 0.0) / problem.ranks);
  } else {
    load_.assign(problem.tokens.begin(), problem.tokens.end());
  }
  order_.resize(load_.size());
  std::iota(order_.begin(), order_.end(), 0);
  std::stable_sort(order_.begin(), order_.end(), [this](int a, int b) {
    return load_[static_cast<std::size_t>(a)] > load_[static_cast<std::size_t>(b)];
  });
}

/// What the busiest rank works on once the first `count` are shadowed: their tokens stay with their sources.
double ShadowModel::shadowed_max(int count) const {
  std::vector<double> rank(static_cast<std::size_t>(problem_.ranks), 0.0);
  const std::size_t home = load_.size() / rank.size();
  double everywhere = 0;
  for (std::size_t i = 0; i < order_.size(); ++i) {
    const auto unit = static_cast<std::size_t>(order_[i]);
    if (i < static_cast<std::size_t>(count)) {
      everywhere += load_[unit] / problem_.ranks;
    } else {
      rank[unit / home] += load_[unit];
    }
  }
  return *std::max_element(rank.begin(), rank.end()) + everywhere;
}

double ShadowModel::seconds(int count) const {
  const Rates rates = rates_of(policy_);
  const double ranks = problem_.ranks;
  const double work = kRounds * 2 * problem_.parameters / rates.flops_per_s;
  const double send = kTransfers * problem_.hidden * rates.element_bytes / rates.bytes_per_s;
  const double move = problem_.parameters * rates.element_bytes / rates.bytes_per_s;
  if (policy_ == ShadowPolicy::kPaper || by_rank()) {
    const double busiest = shadowed_max(count);
    const double compute = busiest * work * (by_rank() ? rates.element_bytes : 1.0);
    if (count == 0) return compute + busiest * send;
    const double each =
        by_rank() ? move * static_cast<double>(problem_.tokens.size()) / ranks * (1 + 2 * (ranks - 1) / ranks)
                  : 2 * move;
    return compute + count * each;
  }
  const double next = load_[static_cast<std::size_t>(order_[static_cast<std::size_t>(count)])];
  if (policy_ == ShadowPolicy::kFastMoe) return next * (work + send) + count * move;
  double compute = next;
  for (int i = 0; i < count; ++i)
    compute += load_[static_cast<std::size_t>(order_[static_cast<std::size_t>(i)])] / ranks;
  return compute * work + next * (1 - 1 / ranks) * send + count * kSmartMoeBroadcasts * move;
}

int ShadowModel::choose(int limit) const {
  const int most = std::min(limit, static_cast<int>(order_.size()) - 1);
  int count = 0;
  if (by_rank()) {  // the sum is compared with the start only at its end: a first shadow may make it worse
    while (count < most && (count == 0 || seconds(count + 1) <= seconds(count))) ++count;
    return count > 0 && seconds(count) < seconds(0) ? count : 0;
  }
  while (count < most && seconds(count + 1) < seconds(count)) ++count;
  return count;
}

std::unique_ptr<PlacementSolver> make_fastermoe(ShadowPolicy policy) {
  return std::make_unique<FasterMoe>(policy);
}

}  // namespace moeplan::planner
