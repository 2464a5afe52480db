#pragma once

#include <optional>
#include <string_view>

#include "sim/result/rank_timeline.h"

namespace moeplan::report {

/// What a kernel does: the vocabulary that prediction and trace share. A trace that cannot tell two classes
/// apart has them under the last two (docs/formats/explain.md).
enum class OperationClass {
  kGemm,
  kGroupedGemm,
  kAttention,
  kNorm,
  kRope,
  kActivation,
  kRouter,
  kPermute,
  kQuantise,
  kElementwise,
  kCrossEntropy,
  kEmbedding,
  kOptimizer,
  kTensorParallel,
  kContextParallel,
  kDispatch,
  kCombine,
  kGradientReduce,
  kParameterGather,
  kP2p,
  kHostCopy,
  kOtherCollective,
  kUnmatched,
  kIdle,
  kAllToAll,  ///< dispatch and combine
  kAllGemm,   ///< dense and grouped
};
inline constexpr int kOperationClasses = 26;

/// "gemm", "grouped gemm", "tensor-parallel collectives" ...
std::string_view name(OperationClass operation);
/// Traffic between GPUs or with the host: hidden where kernels run beside it.
bool is_communication(OperationClass operation);
/// Is a predicted operation one kernel, so that calls can be counted against a trace? (A product may be cut
/// into several, an all-to-all of NCCL has a second one for probabilities.)
bool has_counted_calls(OperationClass operation);

/// Of a predicted operation. Waits for the host are idle time.
OperationClass class_of(const sim::RankOperation& operation);

}  // namespace moeplan::report
