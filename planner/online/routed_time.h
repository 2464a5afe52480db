#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/units.h"
#include "planner/placement/layer_time.h"
#include "planner/placement/problem.h"
#include "sim/schedule/simulate.h"

namespace moeplan::planner {

/// What expert placement changes of a training step, and what it leaves alone.
///
/// Model:   step = rest + routed;  routed = sum over stages s of S_s + (m - 1) max over s of S_s
///          (m like jobs through a row of stages); rest = the simulated step under perfectly even routing
///          minus `routed` under it
/// Symbols: S_s = routed time of one micro-batch in the MoE layers of pipeline stage s, forward and backward,
/// and
///          forward again where the experts are recomputed (LayerTimeModel); m = micro-batches of a step
/// Micro-batches of an iteration route alike: the first one's matrix stands for all. Later stages stand on
/// the cluster as the first one does. Not modelled: overlap of the routed part with anything else,
/// interleaved stages that fill sooner
class RoutedTime {
 public:
  /// Why replays of such a plan have no answer (token chunks or passes that overlap, experts cut by tensor
  /// parallelism, a gate that balances by force ...); empty = they have.
  static std::string find_refusal(const sim::Job& job, const sim::PlanSpec& plan);
  /// Requires find_faults() and find_refusal() empty. What the job refers to outlives this.
  RoutedTime(const sim::Job& job, const sim::PlanSpec& plan, sim::NetworkMode network);

  /// One micro-batch of a layer on its load of this iteration.
  base::Seconds layer(int iteration, int layer, const Slots& slots) const;
  /// The same on shares alone, every source sending the same. Shape: share[expert]
  base::Seconds layer(std::span<const double> share, const Slots& slots) const;
  /// Of a step. Shape: layers[moe layer]
  base::Seconds routed(std::span<const base::Seconds> layers) const;
  base::Seconds rest() const { return rest_; }

  /// [moe layer] pipeline stage
  const std::vector<int>& stages() const { return stage_of_; }
  std::int64_t micro_batches() const { return micro_batches_; }

 private:
  base::Seconds time(sim::RoutingMatrix routing, const Slots& slots) const;

  sim::Job job_;
  sim::PlanSpec plan_;  // contiguous
  LayerTimeModel model_;
  sim::RoutingShape shape_;
  std::vector<int> stage_of_;
  std::int64_t micro_batches_ = 1;
  base::Seconds rest_;
};

/// Which pipeline stage each MoE layer, MTP blocks included, runs on.
std::vector<int> stages_of_layers(const sim::ModelSpec& model, const sim::PlanSpec& plan);

}  // namespace moeplan::planner
