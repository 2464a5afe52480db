#pragma once

#include "sim/cost/profile_data.h"

namespace moeplan::sim {

/// Time of the attention core (fused kernel).
///
/// Model:   t = (launch + max(work + tail * longest, longest)) * exp(c)
///          work    = width batch heads pairs / (peak * efficiency),  width = 2 (qk + v) + 4 softmax_dim
///          longest = width min(128, seq_q) seq_kv * sm_count / (peak * efficiency), one block of queries
///          pairs   = seq_q (seq_kv - (seq_q - 1) / 2) if causal, seq_q seq_kv otherwise
///          c       = by_dim_seq_heads(dim, seq_q, batch heads) + by_dim_group(dim, heads / kv_heads),
///                    dim = (qk + v) / 2, linear in logarithms
///          backward: launch + (t - launch) * flop_ratio / relative_efficiency, which is another where qk !=
///          v
/// Symbols: softmax_dim = head size whose products take as long as the exponential and the sums of a pair,
///          which do not depend on the head size
/// Evidence: measured for causal qk = v inside the grid; another head size, a rectangle (context parallelism)
/// or no
///          mask is interpolated, qk != v (MLA) assumed.
/// Source: fitted on causal forward tables; residuals in the profile.
/// Not modelled: sinks, dropout. Sliding windows and packed documents are shapes of their own (LayerKernels::core_shape,
/// sim/schedule/packing.h).
Estimate attention_time(const ProfileData& profile, const AttentionShape& shape, AttentionPass pass);

/// What the measured operation does beside the core: rotary embedding and KV-cache write, bytes of q, k, v
/// and the output over (hbm * prepare_efficiency), under the same exp(c).
Estimate attention_prepare_time(const ProfileData& profile, const AttentionShape& shape);

}  // namespace moeplan::sim
