#include "planner/placement/baselines.h"

#include "planner/placement/placement.h"
#include "planner/placement/replicas.h"

namespace moeplan::planner {

namespace {

class Contiguous : public PlacementSolver {
 public:
  std::string_view name() const override { return "contiguous"; }
  Slots solve(const LayerProblem& layer) const override {
    Slots slots;
    for (int s = 0; s < layer.shape.slots(); ++s) slots.push_back(s % layer.experts);
    sort_slots_of_gpus(slots, layer.shape.slots_per_gpu);
    return slots;
  }
  std::string find_refusal(const LayerProblem& layer) const override {
    const bool splits =
        layer.shape.groups > 1 && layer.shape.nodes() > 1 && layer.shape.slots() != layer.experts;
    return splits ? "contiguous order with spare slots keeps no group on one node" : "";
  }
};

class RoundRobin : public PlacementSolver {
 public:
  std::string_view name() const override { return "round_robin"; }
  Slots solve(const LayerProblem& layer) const override {
    const int gpus = layer.shape.gpus;
    Slots slots(static_cast<std::size_t>(layer.shape.slots()));
    for (int i = 0; i < layer.shape.slots(); ++i) {
      const int round = i / gpus;
      const int shift = static_cast<int>(std::int64_t{round} * gpus / layer.experts % gpus);
      const int gpu = (i % gpus + shift) % gpus;
      slots[static_cast<std::size_t>(gpu) * static_cast<std::size_t>(layer.shape.slots_per_gpu) +
            static_cast<std::size_t>(round)] = i % layer.experts;
    }
    sort_slots_of_gpus(slots, layer.shape.slots_per_gpu);
    return slots;
  }
  std::string find_refusal(const LayerProblem& layer) const override {
    return layer.shape.groups > 1 ? "round robin keeps no group on one node" : "";
  }
};

class LongestFirst : public PlacementSolver {
 public:
  std::string_view name() const override { return "lpt"; }
  Slots solve(const LayerProblem& layer) const override {
    return replicate_greedily(layer.mean, layer.shape.gpus, layer.shape.slots_per_gpu);
  }
  std::string find_refusal(const LayerProblem& layer) const override {
    return layer.shape.groups > 1 ? "longest processing time first keeps no group on one node" : "";
  }
};

}  // namespace

std::unique_ptr<PlacementSolver> make_contiguous() { return std::make_unique<Contiguous>(); }
std::unique_ptr<PlacementSolver> make_round_robin() { return std::make_unique<RoundRobin>(); }
std::unique_ptr<PlacementSolver> make_lpt() { return std::make_unique<LongestFirst>(); }

}  // namespace moeplan::planner
