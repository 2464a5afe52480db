#pragma once

#include "base/units.h"

namespace moeplan::sim {

/// Constants of the memory model that no document derives; docs/models/memory.md says why.
struct MemoryConstants {
  /// CUDA context, module code and cuBLAS workspaces of a rank. Assumed; typical of H100 with CUDA 12.
  static constexpr base::Bytes kContext = base::Bytes::from_mib(900);
  /// Buffers of one NCCL communicator. Assumed: NCCL_BUFFSIZE 4 MiB x 2 directions x 16 channels, and its
  /// proxies.
  static constexpr base::Bytes kCommunicator = base::Bytes::from_mib(160);
  /// Share of activations and temporary buffers that PyTorch's caching allocator holds beyond what is
  /// allocated. Assumed.
  static constexpr double kFragmentation = 0.06;
  /// Bytes kept per logit at the loss: bf16 logits and their gradient (fused), or bf16 logits, fp32 logits
  /// and fp32 softmax (not fused).
  static constexpr double kLogitBytesFused = 4.0;
  static constexpr double kLogitBytesUnfused = 10.0;
  /// Bytes kept per logit of an MTP block until its own backward.
  static constexpr double kMtpLogitBytesFused = 2.0;
  static constexpr double kMtpLogitBytesUnfused = 6.0;
  /// Weight gradients before they are added to the main gradients: bf16, and the copy that autograd stores.
  /// Holds for stacks without fused accumulation; with it, an overestimate. Fitted by eye on the intercept
  /// over sequence lengths of SimuMax's rows (3.2 to 4 found), so those rows judge it only in part.
  static constexpr double kWeightGradientBytes = 4.0;
};

}  // namespace moeplan::sim
