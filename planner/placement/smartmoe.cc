#include "planner/placement/smartmoe.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "base/check.h"
#include "planner/placement/system_slots.h"

namespace moeplan::planner {

namespace {

class SmartMoe : public PlacementSolver {
 public:
  std::string_view name() const override { return "smartmoe"; }
  std::string find_refusal(const LayerProblem& layer) const override {
    return find_home_refusal(layer, "SmartMoE");
  }
  Slots solve(const LayerProblem& layer) const override {
    ExpertMapping start(static_cast<std::size_t>(layer.experts));
    std::iota(start.begin(), start.end(), 0);
    const int per_rank = layer.experts / layer.shape.gpus;
    std::vector<std::vector<std::int32_t>> held(static_cast<std::size_t>(layer.shape.gpus));
    const ExpertMapping mapping = remap_smartmoe(layer.mean, start, layer.shape.gpus);
    for (std::size_t e = 0; e < mapping.size(); ++e)
      held[static_cast<std::size_t>(mapping[e] / per_rank)].push_back(static_cast<std::int32_t>(e));
    return fill_slots(layer, std::move(held));
  }
};

}  // namespace

ExpertMapping remap_smartmoe(std::span<const double> history, const ExpertMapping& current, int ranks,
                             TieOrder ties) {
  const auto n = static_cast<std::size_t>(ranks);
  MOEPLAN_CHECK(ranks > 0 && current.size() % n == 0 && current.size() == history.size(),
                fmt::format("{} experts on {} ranks", current.size(), ranks));
  const int room = static_cast<int>(current.size() / n);
  std::vector<double> before(n, 0.0);
  for (std::size_t e = 0; e < current.size(); ++e)
    before[static_cast<std::size_t>(current[e] / room)] += history[e];

  ExpertMapping next(current.size());
  std::vector<double> load(n, 0.0);
  std::vector<int> count(n, 0);
  const std::vector<int> order = rising_order(history, ties);
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    const auto e = static_cast<std::size_t>(*it);
    std::size_t best = n;
    for (std::size_t r = 0; r < n; ++r) {
      if (count[r] < room && (best == n || load[r] < load[best])) best = r;
    }
    const auto home = static_cast<std::size_t>(current[e] / room);
    if (count[home] < room && load[home] <= load[best]) best = home;
    next[e] = static_cast<int>(best) * room + count[best]++;
    load[best] += history[e];
  }
  const bool better =
      *std::max_element(before.begin(), before.end()) > *std::max_element(load.begin(), load.end());
  return better ? next : current;
}

std::unique_ptr<PlacementSolver> make_smartmoe() { return std::make_unique<SmartMoe>(); }

}  // namespace moeplan::planner
