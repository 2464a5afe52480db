#pragma once

#include <vector>

#include "sim/collective/comm_network.h"
#include "sim/schedule/layer_kernels.h"
#include "sim/schedule/moe_traffic.h"
#include "sim/schedule/segment.h"

namespace moeplan::sim {

/// When each rank is done with the all-to-alls of one MoE layer, counted from the moment when its group is
/// ready; for one piece where the layer works on several.
struct AllToAllTimes {
  CommTimes dispatch;           ///< tokens to experts
  CommTimes combine;            ///< back
  CommTimes dispatch_gradient;  ///< backward of the dispatch: experts to tokens
  CommTimes combine_gradient;   ///< backward of the combine: tokens to experts

  /// The same without any time, for counterfactuals.
  AllToAllTimes without_time() const;
};

/// Solves the all-to-alls of all EP groups of a stage at once.
/// `pieces`: the traffic is cut into so many equal parts and one of them is solved.
/// Payload: bytes per copy of LayerKernels; gradients travel in the combine format, with the probabilities'
/// gradients.
AllToAllTimes solve_all_to_alls(const CommNetwork& network, const StageRanks& stage,
                                const MoeTraffic& traffic, Dispatcher dispatcher, int pieces,
                                double dispatch_bytes, double combine_bytes);

/// The per-rank part of one MoE layer: what differs between ranks. Shape: [rank of the stage]; one piece
/// each.
struct MoeTimes {
  std::vector<Segment> dispatch, experts, combine;
  std::vector<Segment> combine_gradient, experts_backward, dispatch_gradient;
  int pieces = 1;
};
MoeTimes build_moe_times(const LayerKernels& kernels, const MoeTraffic& traffic, const AllToAllTimes& times,
                         int pieces);

}  // namespace moeplan::sim
