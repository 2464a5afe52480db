#include "planner/placement/system_slots.h"

#include <fmt/format.h>

#include "base/check.h"
#include "planner/placement/replicas.h"
#include "planner/placement/solver.h"

namespace moeplan::planner {

std::string find_home_refusal(const LayerProblem& layer, std::string_view system) {
  if (layer.shape.groups > 1) return fmt::format("{} keeps no group on one node", system);
  if (layer.experts % layer.shape.gpus != 0)
    return fmt::format("{} needs as many experts on each GPU: {} on {} do not divide", system, layer.experts,
                       layer.shape.gpus);
  return "";
}

Slots fill_slots(const LayerProblem& layer, std::vector<std::vector<std::int32_t>> held) {
  std::vector<int> copies(static_cast<std::size_t>(layer.experts), 0);
  for (const auto& gpu : held) {
    for (const std::int32_t e : gpu) ++copies[static_cast<std::size_t>(e)];
  }
  Slots slots;
  for (auto& gpu : held) {
    MOEPLAN_CHECK(!gpu.empty(), "a GPU without experts has none to repeat");
    std::int32_t filler = gpu.front();
    const auto is_better = [&](std::int32_t e, std::int32_t than) {
      const auto a = static_cast<std::size_t>(e);
      const auto b = static_cast<std::size_t>(than);
      if ((copies[a] == 1) != (copies[b] == 1)) return copies[a] == 1;
      return layer.mean[a] < layer.mean[b];
    };
    for (const std::int32_t e : gpu) filler = is_better(e, filler) ? e : filler;
    gpu.resize(static_cast<std::size_t>(layer.shape.slots_per_gpu), filler);
    slots.insert(slots.end(), gpu.begin(), gpu.end());
  }
  sort_slots_of_gpus(slots, layer.shape.slots_per_gpu);
  return slots;
}

Slots home_slots(const LayerProblem& layer) {
  if (layer.experts % layer.shape.gpus != 0) return make_solver("contiguous")->solve(layer);
  std::vector<std::vector<std::int32_t>> held(static_cast<std::size_t>(layer.shape.gpus));
  for (int e = 0; e < layer.experts; ++e)
    held[static_cast<std::size_t>(e / (layer.experts / layer.shape.gpus))].push_back(e);
  return fill_slots(layer, std::move(held));
}

}  // namespace moeplan::planner
