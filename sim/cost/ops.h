#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/cost/format.h"

namespace moeplan::sim {

/// Which product of a linear layer y = x W: y itself, dx = dy W^T, or dW = x^T dy.
enum class GemmPass { kForward, kDataGradient, kWeightGradient };
inline constexpr int kGemmPasses = 3;

/// What a weight gradient does with its result: adds it to fp32 or bf16 sums of the micro-batches, or writes
/// it.
enum class WeightResult : std::uint8_t { kAddFp32, kAddBf16, kWriteBf16 };
/// Bytes read and written of each value.
double bytes_moved(WeightResult result);
/// "add_fp32", "add_bf16", "write_bf16".
std::string_view name(WeightResult result);
std::optional<WeightResult> parse_weight_result(std::string_view text);

/// C[m][n] = A[m][k] B[k][n]; 2 m n k FLOP. For every pass m, n, k are the sizes of *that* product:
/// a layer with T tokens, `in` and `out` features is forward (T, out, in), data gradient (T, in, out),
/// weight gradient (in, out, T) or (out, in, T).
struct GemmShape {
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  NumberFormat format = NumberFormat::kBf16;
  GemmPass pass = GemmPass::kForward;
  WeightResult result = WeightResult::kAddFp32;  ///< of a weight gradient
};

/// Scaled dot-product attention of `batch` sequences; bf16.
/// FLOP forward: 2 * batch * heads * (qk_dim + v_dim) * pairs, pairs = seq_q*seq_kv, or for causal attention
/// seq_q*(seq_kv - (seq_q - 1)/2): the queries are the last seq_q positions.
struct AttentionShape {
  std::int64_t batch = 1;
  std::int64_t seq_q = 0;
  std::int64_t seq_kv = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t qk_dim = 0;
  std::int64_t v_dim = 0;
  bool causal = true;
};

enum class AttentionPass { kForward, kBackward };

/// Kernels whose time is bytes over memory bandwidth. `moved` is always bytes read plus bytes written.
enum class MemoryOp {
  kPermute,         ///< tokens -> expert order (gather of rows), and chunks of rows sorted by expert
  kUnpermute,       ///< expert order -> tokens, weighted sum of top-k rows
  kRouter,          ///< softmax/sigmoid, top-k, per-expert counts on the logits [tokens][experts]
  kRope,            ///< rotary embedding
  kNorm,            ///< RMSNorm / LayerNorm
  kSwiglu,          ///< gated activation
  kQuantise,        ///< bf16 -> fp8/fp4 with scales
  kTranspose,       ///< cast and transpose
  kAdd,             ///< residual and bias additions, element-wise
  kEmbedding,       ///< table look-up and its gradient scatter
  kCrossEntropy,    ///< loss on the logits
  kOptimizer,       ///< Adam update, all states
  kGradAccumulate,  ///< main gradient += micro-batch gradient
  kReduce,          ///< norms, sums, local reductions
  kCopy,            ///< plain copy on the device
  kCast,            ///< one number format to another without scales: bf16 <-> fp32
  kFill,            ///< zeros, or an index, written: nothing is read
  kLayout,          ///< which ranks a token goes to, from the routing map [tokens][experts]
  kNotify,          ///< counts per rank and expert, exchanged before a dispatch: bytes are few, latency rules
};
inline constexpr int kMemoryOps = 19;

/// Which grouped-GEMM kernel family a time is asked of; a profile may hold several for one format.
enum class GroupedKernel {
  kDefault,    ///< the one the profile names as default for the format
  kCutlass,    ///< one fused launch over all experts (CUTLASS; TensorRT-LLM's MoE)
  kDeepGemm,   ///< DeepGEMM contiguous layout, groups padded to 128 rows (SGLang with DeepEP)
  kPerExpert,  ///< one dense product an expert, launched over several streams (TransformerEngine with cuBLAS)
};

/// The links that a profile knows.
enum class LinkClass { kNvlink, kNic, kPcie };
inline constexpr int kLinkClasses = 3;

enum class CollectiveKind {
  kAllToAll,
  kSendRecv,
  kAllGather,
  kReduceScatter,
  kAllReduce,
  kBroadcast,
  kReduce
};
inline constexpr int kCollectiveKinds = 7;

std::string_view name(GemmPass pass);
std::string_view name(MemoryOp op);
std::string_view name(LinkClass link);
std::string_view name(CollectiveKind kind);
std::string_view name(GroupedKernel kernel);
std::optional<GemmPass> parse_gemm_pass(std::string_view text);
std::optional<MemoryOp> parse_memory_op(std::string_view text);
std::optional<LinkClass> parse_link_class(std::string_view text);
std::optional<CollectiveKind> parse_collective_kind(std::string_view text);
std::optional<GroupedKernel> parse_grouped_kernel(std::string_view text);
std::vector<std::string> memory_op_names();
std::vector<std::string> link_class_names();
std::vector<std::string> collective_kind_names();

}  // namespace moeplan::sim
