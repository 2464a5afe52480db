#pragma once

#include "sim/schedule/segment.h"

namespace moeplan::sim {

/// One MoE layer in pieces on one rank: seconds of one piece, and what its communication takes.
struct OverlapInput {
  double dispatch = 0, combine = 0;  ///< s
  double products = 0, memory = 0;   ///< s: the experts' products, and their memory-bound kernels
  int pieces = 1;
  int sms = 0, gpu_sms = 1;    ///< that communication holds, of so many
  double memory_factor = 1.0;  ///< on memory-bound kernels beside communication, and on it beside them
};

/// By how much longer the parts of a piece take because the others run at the same time.
struct OverlapFactors {
  double products = 1.0, memory = 1.0, communication = 1.0;
};

/// Model:   while piece i is with the experts, the other n - 1 pieces' dispatches and combines run: of the
///          experts' time W = n w a share o = min(1, C / W) has communication beside it, C = (n - 1)(dispatch
///          + combine); of the communication that share min(1, W / C). products: 1 + o (S / (S - s) - 1);
///          memory: 1 + o (m - 1); communication: 1 + min(1, W / C) * memory / w * (m - 1), over all n pieces
///          (n - 1)/n of that
/// Symbols: n = pieces; w = products + memory; S, s = SMs of the GPU and of communication; m = memory_factor
/// Not modelled: which piece meets which; the second-order growth of the overlap by the slow-down itself.
OverlapFactors overlap_factors(const OverlapInput& input);

/// Two micro-batches at once: the all-to-alls C of either run beside the kernels W of the other.
/// Model:   as above with o = min(1, C / W) and, of the communication, min(1, W / C); `dispatch` and
/// `combine`
///          are all all-to-alls of both together, `products` and `memory` all kernels; `pieces` is not used
/// Not modelled: all-to-alls that stand beside kernels of one kind more than of the other.
OverlapFactors paired_factors(const OverlapInput& input);

/// Of what a pair could hide, the share that it does hide where the host launches kernel by kernel and not one CUDA
/// graph the whole step. Unit: 1. Source: products and attention hid 36.55 % of the communication in the published
/// profile of one such run (Qwen3-30B-A3B on 16 H100, bf16, HybridEP; NVIDIA-NeMo/Megatron-Bridge 228e9a3,
/// skills/nemo-mbridge-perf-moe-comm-overlap), assumed for all.
inline constexpr double kEagerHiding = 0.37;

/// The kernels of `work` beside communication: products and attention, memory-bound kernels.
Segment slowed(const Segment& work, const OverlapFactors& factors);
/// All parts take `factor` times as long.
Segment stretched(const Segment& segment, double factor);

}  // namespace moeplan::sim
