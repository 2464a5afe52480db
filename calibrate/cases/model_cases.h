#pragma once

#include <vector>

#include "calibrate/measure/case.h"
#include "sim/workload/model.h"

namespace moeplan::calibrate {

/// What plans of a model ask a profile for, most important first: T = 1,024 to 32,768 tokens of a micro-batch
/// in a tensor-parallel region, tp and ep of 1, 2, 4 and 8 as far as they divide what they split.
///
///     gemm             every linear layer, in three passes, as docs/models/schedule.md lists them: qkv and
///     out
///                      projections, fc1 and fc2 of dense layers and shared experts, up projections of latent
///                      attention, logits and the MTP projection on T tokens with their width over tp; the
///                      router, down projections and latent projections on T/tp tokens
///     grouped_product  fc1 and fc2 of experts/ep experts with T/tp top_k ep/experts rows each (even routing)
///     memory           permute and unpermute of T/tp tokens, activations, and the rest on [T][hidden]
///
/// Order: all of that in bf16 by size of T, the usual ones first; then cublasGemmGroupedBatchedEx; then fp8
/// with one scale a tensor, and with scales of blocks. Router, logits and memory are bf16 alone.
/// Left out: memory kernels of widths that are no multiple of 128, which they cannot do; experts
/// whose weights do not fit (CaseList::kMostWeights).
/// Not among them: attention (scripts/time_torch), host overheads, copies and interference, which do not
/// depend on the model (default_cases).
/// Throws InputError for a model with layers that have no cost: no plan of it can be made.
std::vector<Case> model_cases(const sim::ModelSpec& model);

}  // namespace moeplan::calibrate
