#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "planner/placement/replicas.h"

namespace moeplan::planner {

/// Replicas on GPUs, [gpu][slot of the GPU], each GPU's heaviest first, and the load of each GPU.
struct PackedGpus {
  int slots_per_gpu = 1;
  std::vector<Replica> held;
  std::vector<double> load;

  std::span<Replica> gpu(std::size_t g) {
    const auto n = static_cast<std::size_t>(slots_per_gpu);
    return std::span(held).subspan(g * n, n);
  }
  std::span<const Replica> gpu(std::size_t g) const {
    const auto n = static_cast<std::size_t>(slots_per_gpu);
    return std::span(held).subspan(g * n, n);
  }
  Slots slots() const;  ///< each GPU's experts in rising order
};

/// Deals sorted replicas out in rounds, one to each GPU a round, the heaviest of a round to the lightest GPU.
///
/// A replica passes over GPUs that hold its expert. Replicas of an expert stand side by side in the order, so
/// that only the first of a round can meet one of the round before; as an expert has at most one replica a
/// GPU, a free GPU is always left for it. Requires: replicas.size() = gpus * slots_per_gpu, sorted
/// (list_replicas), none more often than there are GPUs. Cost:     O(S log gpus)
PackedGpus deal_out(std::span<const Replica> replicas, int gpus);

/// Swaps replicas between the busiest GPU and others while that lowers the larger load of the two.
///
///     repeat: h = busiest GPU; for g from the lightest on:
///               the pair (a on h, b on g) with a - b nearest to half of load(h) - load(g), found by a merge
///               of the two sorted lists; b not on h, a not on g
///               if it brings max(load(h), load(g)) below load(h) by 5 % of load(h) - target: swap, next
///               round
///             until no g is left or load(h) <= target
/// Cost: O(gpus + slots_per_gpu) for a round that finds its swap at the first g; at most 50 rounds a GPU.
void exchange_evenly(PackedGpus& gpus, double target);

/// The same for the busiest GPU, then among the others for the busiest of those, and so on, each towards the
/// mean of what is left. Where one expert rules the busiest GPU, this evens out the rest: loads drift, and
/// the next iteration's busiest may be another.
void exchange_all(PackedGpus& gpus, double tolerance);

}  // namespace moeplan::planner
