#pragma once

namespace moeplan::planner {

/// What published planners put into their own performance models: the layer's sizes, and how fast they
/// believe the machine to be. All sources (GPUs) route alike.
///
/// Source: sizes of `fmoe/fastermoe/shadow_policy.py` (width 2,048, ratio 2) and of the SmartMoE trace
///         (2,048 tokens, top-2); rates as measured for LAER-MoE (Fizzmy/LAER-MoE-AE 72db5b7, A100: 216.27
///         GB/s in a node, 88.95 GB/s across; 1.484375 us for a token of Mixtral-8x7B's experts, 6 x 4,096
///         x 14,336 FLOP). FasterMoE's variants come with rates of their own.
struct SystemJob {
  double assignments = 4096;              ///< tokens x top-k that a GPU routes in a micro-batch
  double hidden = 2048;                   ///< elements of a token
  double parameters = 2.0 * 2048 * 4096;  ///< of one expert
  double element_bytes = 2;               ///< of activations, parameters and gradients
  double flops_per_s = 6.0 * 4096 * 14336 / 1.484375e-6;
  double node_bytes_per_s = 216.27e9;   ///< between two GPUs of a node
  double fabric_bytes_per_s = 88.95e9;  ///< across nodes

  /// Forward FLOP of an expert on one assignment.
  double flops() const { return 2 * parameters; }
  double token_bytes() const { return hidden * element_bytes; }
  double expert_bytes() const { return parameters * element_bytes; }
};

}  // namespace moeplan::planner
