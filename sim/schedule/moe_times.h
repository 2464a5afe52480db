#pragma once

#include <vector>

#include "sim/collective/comm_network.h"
#include "sim/collective/token_copies.h"
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
  /// Of expert tensor parallelism, from the end of the all-to-all before (gathers) or to the start of the one
  /// behind (scatters), see expert_tensor.h. Empty without it.
  CommTimes gather, scatter, gather_gradient, scatter_gradient;

  /// The same without any time, for counterfactuals.
  AllToAllTimes without_time() const;
};

/// How the tokens of one layer travel.
struct Exchange {
  Dispatcher dispatcher = Dispatcher::kFlat;
  int sms = 0;              ///< of the dispatcher; 0 = its default
  int pieces = 1;           ///< the traffic is cut into so many equal parts and one of them is solved
  int backward_pieces = 1;  ///< that of the gradients
  std::int64_t tokens = 0;  ///< that a rank routes
  int top_k = 1;
  GroupLimit limit;           ///< node-limited routing
  double dispatch_bytes = 0;  ///< of one copy
  double combine_bytes = 0;
};
Exchange make_exchange(const PlanSpec& plan, const ModelSpec& model, const LayerKernels& kernels);

/// Solves the all-to-alls of all EP groups of a stage at once. Gradients travel in the combine format, with
/// the probabilities' gradients. A dispatcher that removes duplicates moves the distinct tokens: those that the
/// token sets of the load give, where it has any; else those that the loads of the slots let expect
/// (sim/collective/token_copies.h): copies of source and rank times touched / chosen of the group's mean token.
AllToAllTimes solve_all_to_alls(const CommNetwork& network, const StageRanks& stage,
                                const MoeTraffic& traffic, const Exchange& exchange);

/// One way of the tokens through experts that are fused with their all-to-alls (tile_fused.h). Shape: [rank];
/// empty: they are not.
struct FusedWay {
  std::vector<Segment> first_in, rest_in;      ///< the all-to-all in: its first tile, the others
  std::vector<Segment> most_work, last_work;   ///< on what comes in: all but the last tile, the last one
  std::vector<Segment> first_work, rest_work;  ///< on what goes out
  std::vector<Segment> most_out, last_out;     ///< the all-to-all out
  std::vector<Segment> weights;                ///< weight gradients, which nobody waits for
};

/// The per-rank part of one MoE layer: what differs between ranks. Shape: [rank of the stage]; one piece
/// each.
struct MoeTimes {
  std::vector<Segment> dispatch, experts, combine;
  std::vector<Segment> combine_gradient, experts_backward, dispatch_gradient;
  std::vector<Segment> experts_input, experts_weight;  ///< halves of experts_backward, where asked for
  /// Shared experts beside dispatch, combine, combine gradient and dispatch gradient (shared_experts.h);
  /// empty: they belong to what comes before the dispatch.
  std::vector<Segment> shared_up, shared_down, shared_down_backward, shared_up_backward;
  FusedWay fused_forward, fused_backward;
  int pieces = 1;                     ///< of the forward
  int backward_pieces = 1;            ///< of the backward
  base::BytesPerSecond traffic_rate;  ///< of the mean rank while it dispatches

  /// Fills the halves.
  void split_backward();
};
MoeTimes build_moe_times(const LayerKernels& kernels, const MoeTraffic& traffic, const AllToAllTimes& times,
                         int pieces, int backward_pieces = 0);

}  // namespace moeplan::sim
