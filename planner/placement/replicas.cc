#include "planner/placement/replicas.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "base/check.h"

namespace moeplan::planner {

namespace {

/// What the greedy order compares: the load of a slot, then the lower expert.
struct Next {
  double load = 0;
  std::int32_t expert = 0;
  friend bool operator<(const Next& a, const Next& b) {
    return a.load < b.load || (a.load == b.load && a.expert > b.expert);
  }
};

}  // namespace

std::vector<int> count_replicas(std::span<const double> load, int slots, int cap) {
  const auto experts = static_cast<int>(load.size());
  MOEPLAN_CHECK(experts <= slots && slots <= std::int64_t{experts} * cap,
                fmt::format("{} slots for {} experts, {} at most of one", slots, experts, cap));
  std::vector<int> replicas(load.size(), 1);
  int left = slots - experts;
  const double total = std::accumulate(load.begin(), load.end(), 0.0);
  if (left > experts && total > 0.0) {
    // A hair above the threshold, so that rounding never asks for more slots than there are.
    const double threshold = total / left * (1.0 + 1e-9);
    for (std::size_t e = 0; e < load.size(); ++e) {
      replicas[e] =
          static_cast<int>(std::clamp(std::ceil(load[e] / threshold), 1.0, static_cast<double>(cap)));
      left -= replicas[e] - 1;
    }
    MOEPLAN_CHECK(left >= 0, "the threshold asks for at most all slots");
  }
  if (left == 0) return replicas;
  std::vector<Next> heap;
  heap.reserve(load.size());
  for (std::size_t e = 0; e < load.size(); ++e) {
    if (replicas[e] < cap) heap.push_back({load[e] / replicas[e], static_cast<std::int32_t>(e)});
  }
  std::make_heap(heap.begin(), heap.end());
  for (; left > 0; --left) {
    std::pop_heap(heap.begin(), heap.end());
    Next& top = heap.back();
    const auto e = static_cast<std::size_t>(top.expert);
    if (++replicas[e] == cap) {
      heap.pop_back();
    } else {
      top.load = load[e] / replicas[e];
      std::push_heap(heap.begin(), heap.end());
    }
  }
  return replicas;
}

std::vector<Replica> list_replicas(std::span<const double> load, std::span<const int> replicas) {
  std::vector<Replica> experts(load.size());
  std::size_t slots = 0;
  for (std::size_t e = 0; e < load.size(); ++e) {
    experts[e] = {load[e] / replicas[e], static_cast<std::int32_t>(e)};
    slots += static_cast<std::size_t>(replicas[e]);
  }
  std::sort(experts.begin(), experts.end(), [](const Replica& a, const Replica& b) {
    return a.load > b.load || (a.load == b.load && a.expert < b.expert);
  });
  std::vector<Replica> list;
  list.reserve(slots);
  for (const Replica& one : experts) {
    list.insert(list.end(), static_cast<std::size_t>(replicas[static_cast<std::size_t>(one.expert)]), one);
  }
  return list;
}

void sort_slots_of_gpus(Slots& slots, int slots_per_gpu) {
  for (auto gpu = slots.begin(); gpu != slots.end(); gpu += slots_per_gpu)
    std::sort(gpu, gpu + slots_per_gpu);
}

Slots fill_every_gpu(const SlotShape& shape, int experts) {
  Slots slots;
  slots.reserve(static_cast<std::size_t>(shape.slots()));
  for (int g = 0; g < shape.gpus; ++g) {
    for (int s = 0; s < shape.slots_per_gpu; ++s) slots.push_back(s % experts);
  }
  sort_slots_of_gpus(slots, shape.slots_per_gpu);
  return slots;
}

}  // namespace moeplan::planner
