#include "planner/placement/eplb.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <functional>
#include <numeric>
#include <utility>
#include <vector>

#include "planner/placement/replicas.h"

namespace moeplan::planner {

namespace {

using Weights = std::vector<float>;

/// Where an item went: pack and place in it.
struct Packed {
  std::vector<std::int32_t> pack;
  std::vector<std::int32_t> place;
};

/// A load and a number as one key: floats that are not negative order as their bits do.
std::uint64_t key_of(float load, std::size_t index) {
  return std::uint64_t{std::bit_cast<std::uint32_t>(load)} << 32U | static_cast<std::uint64_t>(index);
}
std::size_t index_of(std::uint64_t key) { return static_cast<std::size_t>(key & 0xffffffffU); }

/// Restores a heap whose top was changed. `before(a, b)`: a belongs above b.
template <class Before>
void sift_down(std::vector<std::uint64_t>& heap, Before before) {
  for (std::size_t at = 0, child = 1; child < heap.size(); child = 2 * at + 1) {
    if (child + 1 < heap.size() && before(heap[child + 1], heap[child])) ++child;
    if (!before(heap[child], heap[at])) return;
    std::swap(heap[child], heap[at]);
    at = child;
  }
}

/// Heaviest first to the lightest pack with room.
Packed pack_evenly(const Weights& weight, int packs) {
  const auto room = static_cast<std::int32_t>(weight.size() / static_cast<std::size_t>(packs));
  Packed result{std::vector<std::int32_t>(weight.size()), std::vector<std::int32_t>(weight.size())};
  if (room == 1) {
    std::iota(result.pack.begin(), result.pack.end(), 0);
    return result;
  }
  std::vector<std::uint64_t> order(weight.size());  // heaviest first: the lowest key of the negative order
  for (std::size_t i = 0; i < weight.size(); ++i)
    order[i] = key_of(weight[i], i) ^ (~std::uint64_t{0} << 32U);
  std::sort(order.begin(), order.end());
  // Packs with room, the lightest on top of the heap (ties: the lowest).
  std::vector<std::uint64_t> heap;
  for (std::size_t p = 0; p < static_cast<std::size_t>(packs); ++p) heap.push_back(key_of(0.0F, p));
  std::vector<float> load(heap.size(), 0.0F);
  std::vector<std::int32_t> items(heap.size(), 0);
  for (const std::uint64_t key : order) {
    const std::size_t i = index_of(key);
    const std::size_t p = index_of(heap.front());
    result.pack[i] = static_cast<std::int32_t>(p);
    result.place[i] = items[p]++;
    load[p] += weight[i];
    if (items[p] == room) {
      heap.front() = heap.back();
      heap.pop_back();
    } else {
      heap.front() = key_of(load[p], p);
    }
    sift_down(heap, std::less<>());
  }
  return result;
}

/// Which expert each slot holds: all once, then the copies in the order they were given.
std::vector<std::int32_t> replicate(const Weights& weight, std::size_t slots, std::vector<int>& copies) {
  std::vector<std::int32_t> expert_of(weight.size());
  std::iota(expert_of.begin(), expert_of.end(), 0);
  copies.assign(weight.size(), 1);
  // The largest load / copies on top; ties to the lower expert, hence the number turned round.
  const std::size_t last = weight.size() - 1;
  std::vector<std::uint64_t> heap;
  for (std::size_t e = 0; e < weight.size(); ++e) heap.push_back(key_of(weight[e], last - e));
  std::make_heap(heap.begin(), heap.end());
  while (expert_of.size() < slots) {
    const std::size_t e = last - index_of(heap.front());
    expert_of.push_back(static_cast<std::int32_t>(e));
    heap.front() = key_of(weight[e] / static_cast<float>(++copies[e]), last - e);
    sift_down(heap, std::greater<>());
  }
  return expert_of;
}

/// Steps 2 and 3 on some GPUs. `experts`: the numbers that weight's entries stand for.
void place_on_gpus(const Weights& weight, const std::vector<std::int32_t>& experts, int gpus,
                   int slots_per_gpu, Slots& slots) {
  std::vector<int> copies;
  const auto per_gpu = static_cast<std::size_t>(slots_per_gpu);
  const std::vector<std::int32_t> held = replicate(weight, static_cast<std::size_t>(gpus) * per_gpu, copies);
  Weights load(held.size());
  for (std::size_t s = 0; s < held.size(); ++s) {
    const auto e = static_cast<std::size_t>(held[s]);
    load[s] = weight[e] / static_cast<float>(copies[e]);
  }
  const Packed packed = pack_evenly(load, gpus);
  const std::size_t first = slots.size();
  slots.resize(first + held.size());
  for (std::size_t s = 0; s < held.size(); ++s) {
    slots[first + static_cast<std::size_t>(packed.pack[s]) * per_gpu +
          static_cast<std::size_t>(packed.place[s])] = experts[static_cast<std::size_t>(held[s])];
  }
}

class Eplb : public PlacementSolver {
 public:
  explicit Eplb(bool global) : global_(global) {}

  std::string_view name() const override { return global_ ? "eplb_global" : "eplb"; }

  std::string find_refusal(const LayerProblem& layer) const override {
    return global_ && layer.shape.groups > 1 ? "global EPLB keeps no group on one node" : "";
  }

  Slots solve(const LayerProblem& layer) const override {
    const SlotShape& shape = layer.shape;
    Weights weight(layer.mean.size());
    std::transform(layer.mean.begin(), layer.mean.end(), weight.begin(),
                   [](double w) { return static_cast<float>(w); });
    std::vector<std::int32_t> experts(weight.size());
    std::iota(experts.begin(), experts.end(), 0);
    Slots slots;
    if (global_ || shape.groups == 1) {
      place_on_gpus(weight, experts, shape.gpus, shape.slots_per_gpu, slots);
    } else {
      solve_by_node(weight, shape, slots);
    }
    sort_slots_of_gpus(slots, shape.slots_per_gpu);
    return slots;
  }

 private:
  static void solve_by_node(const Weights& weight, const SlotShape& shape, Slots& slots) {
    const std::size_t size = weight.size() / static_cast<std::size_t>(shape.groups);
    Weights group(static_cast<std::size_t>(shape.groups), 0.0F);
    for (std::size_t e = 0; e < weight.size(); ++e) group[e / size] += weight[e];
    const Packed packed = pack_evenly(group, shape.nodes());
    const std::size_t per_node = group.size() / static_cast<std::size_t>(shape.nodes());
    std::vector<std::vector<std::int32_t>> held(static_cast<std::size_t>(shape.nodes()),
                                                std::vector<std::int32_t>(per_node));
    for (std::size_t g = 0; g < group.size(); ++g) {
      held[static_cast<std::size_t>(packed.pack[g])][static_cast<std::size_t>(packed.place[g])] =
          static_cast<std::int32_t>(g);
    }
    for (const std::vector<std::int32_t>& groups : held) {
      std::vector<std::int32_t> experts;
      Weights node;
      for (const std::int32_t g : groups) {
        for (std::size_t e = 0; e < size; ++e) {
          experts.push_back(static_cast<std::int32_t>(static_cast<std::size_t>(g) * size + e));
          node.push_back(weight[static_cast<std::size_t>(experts.back())]);
        }
      }
      place_on_gpus(node, experts, shape.gpus_per_node, shape.slots_per_gpu, slots);
    }
  }

  bool global_;
};

}  // namespace

std::unique_ptr<PlacementSolver> make_eplb(bool global) { return std::make_unique<Eplb>(global); }

}  // namespace moeplan::planner
