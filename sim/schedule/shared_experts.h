#pragma once

#include "sim/schedule/moe_times.h"

namespace moeplan::sim {

/// Puts the shared experts of a MoE layer beside the all-to-alls of its routed ones (`overlap:
/// {shared_experts: true}`).
///
///     forward    compute  before | experts       | after        backward  after | experts        | before
///                a2a             | dispatch      | combine                      | combine grad.  | dispatch
///                grad. shared          | gather, fc1,  | fc2,                         | gather, fc2    |
///                activation, fc1
///                                | activation    | scatter
///
/// Model:   a part of the shared experts starts with its all-to-all; what comes next waits for both. A part
/// that
///          is longer than its all-to-all holds the routed experts up: two products on one GPU at once take
///          as long as one after the other. While they run side by side either slows the other
///          (paired_factors)
/// Shape:   fills MoeTimes::shared_*, [rank]
/// Source:  NVIDIA/Megatron-LM megatron/core/transformer/moe/shared_experts.py and token_dispatcher.py
///          (--moe-shared-expert-overlap)
/// Not modelled: TP traffic of the shared experts that competes with the all-to-all; an fc2 that starts
/// before the routed experts are done; small products of two streams that fill a GPU together.
void add_shared_experts(const LayerKernels& kernels, MoeTimes& times);

}  // namespace moeplan::sim
