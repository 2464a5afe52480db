#include "planner/export/fault_list.h"

#include <algorithm>

#include <fmt/format.h>

namespace moeplan::planner {

namespace {

/// With group-limited routing the group of an expert is its place / (experts / groups): whole groups may
/// move, experts only inside their group.
bool keeps_groups(const std::vector<std::int32_t>& slots, int groups) {
  const std::size_t size = slots.size() / static_cast<std::size_t>(groups);
  for (std::size_t s = 0; s < slots.size(); ++s) {
    const auto group = [size](std::int32_t e) { return static_cast<std::size_t>(e) / size; };
    if (group(slots[s]) != group(slots[s / size * size])) return false;
  }
  return true;
}

}  // namespace

void require_permutation(const sim::ModelSpec& model, const sim::Placement& placement, const char* why,
                         FaultList& faults) {
  if (placement.is_contiguous()) return;
  const auto experts = static_cast<std::size_t>(model.experts);
  bool permutation = static_cast<int>(placement.slots.size()) == model.moe_layers();
  bool groups = true;
  for (const std::vector<std::int32_t>& slots : placement.slots) {
    std::vector<std::int32_t> sorted = slots;
    std::sort(sorted.begin(), sorted.end());
    for (std::size_t e = 0; e < sorted.size(); ++e)
      permutation = permutation && sorted[e] == static_cast<std::int32_t>(e);
    permutation = permutation && sorted.size() == experts;
    if (permutation && model.groups > 1) groups = groups && keeps_groups(slots, model.groups);
  }
  faults.require(permutation, "placement-permutes",
                 [&] { return fmt::format("the placement is no permutation of the experts of every MoE layer: {}", why); });
  faults.require(groups, "placement-keeps-groups", [&] {
    return fmt::format("the placement splits routing groups ({} groups): it would change what the router picks",
                       model.groups);
  });
}

}  // namespace moeplan::planner
