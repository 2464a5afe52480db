#include "planner/placement/checker.h"

#include <map>
#include <set>

#include <fmt/format.h>

namespace moeplan::planner {

namespace {

std::string find_fault(const SlotShape& shape, int experts, std::span<const std::int32_t> slots) {
  const std::int64_t wanted = std::int64_t{shape.gpus} * shape.slots_per_gpu;
  if (static_cast<std::int64_t>(slots.size()) != wanted)
    return fmt::format("found {} slots, expected {} GPUs x {}", slots.size(), shape.gpus,
                       shape.slots_per_gpu);
  std::set<std::int32_t> placed;
  for (const std::int32_t expert : slots) {
    if (expert < 0 || expert >= experts) return fmt::format("there is no expert {}", expert);
    placed.insert(expert);
  }
  for (std::int32_t expert = 0; expert < experts; ++expert) {
    if (placed.count(expert) == 0) return fmt::format("expert {} has no slot", expert);
  }
  return "";
}

}  // namespace

LayerScore check_layer(const SlotShape& shape, int experts, std::span<const double> loads,
                       std::span<const std::int32_t> slots) {
  LayerScore score;
  score.fault = find_fault(shape, experts, slots);
  if (!score.fault.empty()) return score;

  std::map<std::int32_t, int> copies;
  std::map<std::int32_t, std::set<int>> nodes_of_group;
  std::vector<std::multiset<std::int32_t>> gpu(static_cast<std::size_t>(shape.gpus));
  for (std::size_t slot = 0; slot < slots.size(); ++slot) {
    const auto g = static_cast<int>(slot) / shape.slots_per_gpu;
    ++copies[slots[slot]];
    gpu[static_cast<std::size_t>(g)].insert(slots[slot]);
    nodes_of_group[slots[slot] / (experts / shape.groups)].insert(g / shape.gpus_per_node);
  }
  for (const auto& held : gpu) {
    const std::set<std::int32_t> different(held.begin(), held.end());
    score.duplicates += static_cast<int>(held.size() - different.size());
  }
  // A GPU with more slots than there are experts (of its node's groups) has to repeat some.
  const int choice = shape.groups > 1 ? experts / shape.nodes() : experts;
  const int forced = shape.slots_per_gpu > choice ? shape.gpus * (shape.slots_per_gpu - choice) : 0;
  score.avoidable_duplicates = score.duplicates > forced ? score.duplicates - forced : 0;
  for (const auto& [group, nodes] : nodes_of_group) score.split_groups += nodes.size() > 1 ? 1 : 0;

  const std::size_t iterations = loads.size() / static_cast<std::size_t>(experts);
  double ratio = 0;
  for (std::size_t i = 0; i < iterations; ++i) {
    double most = 0;
    double all = 0;
    for (const auto& held : gpu) {
      double carried = 0;
      for (const std::int32_t expert : held)
        carried +=
            loads[i * static_cast<std::size_t>(experts) + static_cast<std::size_t>(expert)] / copies[expert];
      most = carried > most ? carried : most;
      all += carried;
    }
    score.largest.push_back(most);
    score.mean.push_back(all / shape.gpus);
    ratio += all > 0 ? most / (all / shape.gpus) : 1.0;
    score.objective += most / static_cast<double>(iterations);
  }
  if (iterations > 0) score.max_over_mean = ratio / static_cast<double>(iterations);
  return score;
}

}  // namespace moeplan::planner
