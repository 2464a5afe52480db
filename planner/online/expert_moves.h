#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/units.h"
#include "planner/placement/problem.h"
#include "sim/collective/comm_network.h"
#include "sim/schedule/simulate.h"

namespace moeplan::planner {

/// What one expert of one layer weighs on one rank.
struct ExpertBytes {
  base::Bytes weights;    ///< in the format of the parameter gather
  base::Bytes gradients;  ///< in the format of the gradient reduction
  base::Bytes state;      ///< optimizer state; with the distributed optimizer the rank's part of edp
};
ExpertBytes compute_expert_bytes(const sim::Job& job, const sim::PlanSpec& plan);

/// A layer that changes its placement.
struct LayerMove {
  int layer = 0;
  const Slots* from = nullptr;
  const Slots* to = nullptr;
};

struct Migration {
  base::Bytes bytes;  ///< over all EP groups
  base::Seconds time;
};

/// What moving and replicating experts sends over the cluster's links.
///
/// Model:   migration: every GPU that gets an expert which it did not hold receives its weights and optimizer
/// state
///          from one that held it: on the same node where there is one, among those the GPU that sends least
///          so far (ties: the lower rank); all moves of an iteration run at once, training waits replicas:
///          the c GPUs that hold an expert form a ring in rank order and reduce-scatter its gradients, then
///          all-gather its weights: each sends (c - 1)/c of both to the next one; without the distributed
///          optimizer they all-reduce gradients, 2 (c - 1)/c, and every replica updates its own weights. All
///          experts of a layer at once, layers of a stage one after the other, training waits
/// Every EP group of a stage does the same at the same time. Links as send/recv of the profile.
/// Not modelled: overlap with computation, new holders that pass an expert on, buffers while experts move,
/// optimizer
///          state that the replicas of an expert share out among them
class ExpertMoves {
 public:
  /// The job outlives this. `stages`: [moe layer]
  ExpertMoves(const sim::Job& job, const sim::PlanSpec& plan, const SlotShape& shape, std::vector<int> stages,
              sim::NetworkMode network);

  Migration migrate(std::span<const LayerMove> moves) const;
  /// What the replicas of one layer add to a step.
  base::Seconds sync_replicas(int layer, const Slots& slots) const;
  const ExpertBytes& expert_bytes() const { return bytes_; }

 private:
  using Traffic = std::vector<std::int64_t>;  // [from EP rank][to EP rank] bytes
  base::Seconds solve(std::span<const std::pair<int, const Traffic*>> stage_traffic) const;
  void add_moves(const LayerMove& move, Traffic& traffic) const;

  sim::ParallelLayout layout_;
  bool distributed_optimizer_;
  int experts_;
  SlotShape shape_;
  std::vector<int> stages_;
  ExpertBytes bytes_;
  std::unique_ptr<sim::Sharing> sharing_;
  sim::CommNetwork network_;
};

}  // namespace moeplan::planner
