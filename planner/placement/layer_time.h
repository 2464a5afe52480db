#pragma once

#include <memory>
#include <string_view>

#include "planner/placement/problem.h"
#include "sim/schedule/moe_times.h"
#include "sim/schedule/simulate.h"

namespace moeplan::planner {

/// Which of an expert's replicas a token goes to.
enum class TokenSplit {
  kEven,      ///< all of them alike
  kLocality,  ///< those on the source's node alike; where there is none, all alike (LAER's "lite routing")
  kWeighted,  ///< such shares that the busiest GPU of this micro-batch has least (weighted_split.h), from all
              ///< sources alike
};

/// Where the tokens of one micro-batch go in one layer. Rank i of the EP group is source i. What does not
/// divide goes round from replica (source mod c) on.
sim::MoeTraffic split_tokens(const sim::RoutingMatrix& routing, const SlotShape& shape, const Slots& slots,
                             TokenSplit split);

/// Simulated time of the routed part of one MoE layer, seconds.
struct LayerTime {
  double dispatch = 0, experts = 0, combine = 0;  ///< forward, each on the slowest rank
  double combine_gradient = 0, experts_backward = 0, dispatch_gradient = 0;
  double communication() const { return dispatch + combine + combine_gradient + dispatch_gradient; }
  double total() const { return communication() + experts + experts_backward; }
};

/// Times layers of one EP group that starts at rank 0 of the cluster, one micro-batch of one sequence a GPU.
///
/// Model:   all ranks wait for the slowest at each of dispatch, experts and combine, forward and backward:
/// the
///          grouped products of the profile on the slots' tokens, the all-to-all of the plan's dispatcher on
///          the cluster's links (bound or flow)
/// Not modelled: what replicas cost outside of the layer (their gradients' reduction and weight refresh each
/// step,
///          optimizer memory), overlap of dispatch and experts
/// Cost:    four all-to-alls of gpus^2 flows
class LayerTimeModel {
 public:
  /// The job outlives the model. Throws InputError where the job cannot run on such a group.
  LayerTimeModel(const sim::Job& job, int gpus, sim::NetworkMode network);
  /// Layers as this plan runs them: its micro-batches, dispatcher and all EP groups of its first stage.
  /// Traffic then names all ranks of the stage. Requires: find_faults() empty; chunk_degree 1.
  LayerTimeModel(const sim::Job& job, const sim::PlanSpec& plan, sim::NetworkMode network);
  ~LayerTimeModel();
  LayerTimeModel(const LayerTimeModel&) = delete;
  LayerTimeModel& operator=(const LayerTimeModel&) = delete;

  /// Tokens that each GPU routes in a micro-batch.
  std::int64_t tokens() const;
  LayerTime time(const sim::MoeTraffic& traffic) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace moeplan::planner
