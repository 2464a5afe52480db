#include "report/explain/kernel_names.h"

#include <algorithm>
#include <array>

namespace moeplan::report {

namespace {

using Class = OperationClass;

// Names as profiles of these releases show them: NCCL 2.18 to 2.28; DeepEP 1.x and its hybrid-EP branch;
// FlashAttention 2 and 3, cuDNN 9; TransformerEngine 1.x and 2.x; Apex; Megatron-Core 0.12 to 0.16; CUTLASS
// 3, cuBLAS 12 and 13; DeepGEMM; PyTorch 2.3 to 2.9 (ATen, CUB) and what its compiler makes with Triton.
// Templates carry the names of what they are built of, so that the narrower rows come first.
constexpr auto kKernelRules = std::to_array<KernelRule>({
    // Communication. NCCL: ncclDevKernel_AllGather_RING_LL, ncclKernel_SendRecv_RING_SIMPLE_Sum_int8_t.
    {"ncclsymk", Class::kOtherCollective},
    {"nccldevkernel", Class::kOtherCollective},
    {"ncclkernel", Class::kOtherCollective},
    // DeepEP: deep_ep::intranode::dispatch, deep_ep::internode::notify_dispatch, cached_notify_combine,
    // deep_ep::layout::get_dispatch_layout, deep_ep::internode_ll::combine.
    {"deep_ep*cached_notify_dispatch", Class::kDispatch, true},
    {"deep_ep*cached_notify", Class::kCombine, true},
    {"deep_ep*notify_combine", Class::kCombine, true},
    {"deep_ep*notify_dispatch", Class::kDispatch, true},
    {"deep_ep*get_dispatch_layout", Class::kDispatch, true},
    {"deep_ep*clean_low_latency", Class::kDispatch, true},
    {"deep_ep*barrier", Class::kDispatch, true},
    {"deep_ep*combine", Class::kCombine},
    {"deep_ep*dispatch", Class::kDispatch},
    // Hybrid-EP: hybrid_ep::dispatch_kernel, combine_kernel, scan; permute_kernel of its own.
    {"hybrid_ep*unpermute", Class::kPermute},
    {"hybrid_ep*permute", Class::kPermute},
    {"hybrid_ep*combine", Class::kCombine},
    {"hybrid_ep*dispatch", Class::kDispatch},
    {"hybrid_ep", Class::kDispatch, true},
    {"nvshmem*alltoall", Class::kAllToAll},
    // TransformerEngine's user buffers and custom all-reduces inside a node.
    {"userbuffers", Class::kTensorParallel},
    {"cross_device_reduce", Class::kTensorParallel},
    {"multimem_all_reduce", Class::kTensorParallel},
    {"one_shot_all_reduce", Class::kTensorParallel},
    {"two_shot_all_reduce", Class::kTensorParallel},

    // Attention: FlashAttention (flash_fwd_kernel, flash_bwd_dq_dk_dv_loop_seqk_parallel_kernel, flash::...,
    // FlashAttnFwdSm90), cuDNN (cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_...), CUTLASS
    // fmha,
    // Megatron's and Apex' scaled masked softmax, TransformerEngine's helpers of packed sequences.
    {"flash*dot_do_o", Class::kAttention, true},
    {"flash*convert_d", Class::kAttention, true},
    {"flash*preprocess", Class::kAttention, true},
    {"flash*postprocess", Class::kAttention, true},
    {"flash*combine", Class::kAttention, true},
    {"flash*prepare", Class::kAttention, true},
    {"fused_attn*helper", Class::kAttention, true},
    {"transformer_engine*fused_attn", Class::kAttention, true},
    {"transformer_engine*thd_", Class::kAttention, true},
    {"cudnn*sdpa", Class::kAttention},
    {"cudnn*flash", Class::kAttention},
    {"flash_fwd", Class::kAttention},
    {"flash_bwd", Class::kAttention},
    {"flash::", Class::kAttention},
    {"flashattn", Class::kAttention},
    {"flashattention", Class::kAttention},
    {"flash_attn", Class::kAttention},
    {"fmha", Class::kAttention},
    {"attentionkernel", Class::kAttention},
    {"scaled_masked_softmax", Class::kAttention},
    {"scaled_upper_triang", Class::kAttention},
    {"scaled_aligned_causal", Class::kAttention},

    // Optimizer and gradient norm: Apex and TransformerEngine multi_tensor_apply_kernel<... AdamFunctor>,
    // ATen's
    // fused optimizers and foreach.
    {"multi_tensor_apply", Class::kOptimizer},
    {"multitensorapply", Class::kOptimizer},
    {"fusedadam", Class::kOptimizer},
    {"adam", Class::kOptimizer},
    {"l2norm", Class::kOptimizer},
    {"muon", Class::kOptimizer},

    // Grouped products: CUTLASS (GroupProblemShape, GemmGrouped), DeepGEMM (GemmType 1 and 2), PyTorch's
    // _grouped_mm, Triton's fused MoE.
    {"prepare_grouped_gemm", Class::kGroupedGemm, true},
    {"groupproblemshape", Class::kGroupedGemm},
    {"gemmgrouped", Class::kGroupedGemm},
    {"grouped_gemm", Class::kGroupedGemm},
    {"groupedgemm", Class::kGroupedGemm},
    {"group_gemm", Class::kGroupedGemm},
    {"grouped_mm", Class::kGroupedGemm},
    {"grouped_matmul", Class::kGroupedGemm},
    {"deep_gemm*grouped", Class::kGroupedGemm},
    {"deep_gemm*gemmtype)1", Class::kGroupedGemm},
    {"deep_gemm*gemmtype)2", Class::kGroupedGemm},
    {"moe_gemm", Class::kGroupedGemm},
    {"moegemm", Class::kGroupedGemm},
    {"fused_moe_kernel", Class::kGroupedGemm},
    // CUTLASS writes NoPermute into the type of every product.
    {"cutlass*gemm", Class::kGemm},

    // Quantisation and transposes: TransformerEngine (cast_transpose_fused_kernel, quantize_mxfp8_kernel,
    // transpose_kernel, amax_kernel, swizzle_row_scaling_kernel, nvte multi_cast_transpose), Triton's.
    {"quantize", Class::kQuantise},
    {"quantise", Class::kQuantise},
    {"cast_transpose", Class::kQuantise},
    {"cast_fp8", Class::kQuantise},
    {"cast_kernel", Class::kQuantise},
    {"scaling_kernel", Class::kQuantise},
    {"amax_kernel", Class::kQuantise},
    {"amax_and_scale", Class::kQuantise},
    {"transformer_engine*transpose", Class::kQuantise},
    {"block_scaled_1d_cast", Class::kQuantise},
    {"transpose_fp8", Class::kQuantise},

    // Router: top-k, sorts, counts and prefix sums, TransformerEngine's fused router, softmax of few columns.
    {"fused_topk", Class::kRouter},
    {"fused_score_for_moe", Class::kRouter},
    {"moe_aux_loss", Class::kRouter},
    {"topk", Class::kRouter},
    {"radixsort", Class::kRouter},
    {"radix_sort", Class::kRouter},
    {"bitonicsort", Class::kRouter},
    {"mergesort", Class::kRouter},
    {"histogram", Class::kRouter},
    {"softmax_warp", Class::kRouter},
    {"cumsum", Class::kRouter},
    {"scan_kernel", Class::kRouter},
    {"scankernel", Class::kRouter},
    {"tensor_kernel_scan", Class::kRouter},
    {"deviceselect", Class::kRouter},
    {"write_indices", Class::kRouter},
    {"_scatter_gather_elementwise", Class::kRouter},

    // Permutation: TransformerEngine and Megatron (_permute_kernel, _unpermute_kernel, moe_permute_...,
    // _sort_chunks_by_map_kernel, _row_id_map_pass_1_kernel, multi_padding), ATen's gathers of rows.
    {"row_id_map", Class::kPermute, true},
    {"unpermute", Class::kPermute},
    {"permute", Class::kPermute},
    {"sort_chunks", Class::kPermute},
    {"multi_padding", Class::kPermute},
    {"multi_row_padding", Class::kPermute},
    {"padding_kernel", Class::kPermute},
    {"indexselect", Class::kPermute},
    {"vectorized_gather", Class::kPermute},
    {"index_put", Class::kPermute},
    {"indexfunc", Class::kPermute},
    {"index_elementwise", Class::kPermute},
    {"indexing_backward", Class::kPermute},

    // Products: cuBLAS (nvjet_tst_..., sm90_xmma_gemm_..., ampere_bf16_s16816gemm, cublasLt), CUTLASS,
    // DeepGEMM.
    {"splitkreduce", Class::kGemm, true},
    {"nvjet", Class::kGemm},
    {"gemm", Class::kGemm},
    {"cublas", Class::kGemm},
    {"gemv", Class::kGemm},
    {"cijk_", Class::kGemm},
    {"triton_tem_fused", Class::kGemm},
    {"triton*_mm", Class::kGemm},

    // The head: fused and ATen's cross entropy.
    {"cross_entropy", Class::kCrossEntropy},
    {"crossentropy", Class::kCrossEntropy},
    {"nll_loss", Class::kCrossEntropy},
    {"online_softmax", Class::kCrossEntropy},
    {"logsoftmax", Class::kCrossEntropy},
    {"cunn_softmax", Class::kCrossEntropy},

    {"embedding", Class::kEmbedding},

    // Norms: TransformerEngine (normalization::rmsnorm_fwd_general_kernel, ln_fwd_tuned), Apex, ATen, Triton.
    {"rmsnorm", Class::kNorm},
    {"rms_norm", Class::kNorm},
    {"layernorm", Class::kNorm},
    {"layer_norm", Class::kNorm},
    {"normalization::", Class::kNorm},
    {"ln_fwd", Class::kNorm},
    {"ln_bwd", Class::kNorm},
    {"gammabeta", Class::kNorm},

    {"rope", Class::kRope},
    {"rotary", Class::kRope},

    {"swiglu", Class::kActivation},
    {"geglu", Class::kActivation},
    {"silu", Class::kActivation},
    {"gelu", Class::kActivation},
    {"gated_act", Class::kActivation},
    {"act_and_mul", Class::kActivation},

    // What is left of ATen and of Triton's fusions; copies and fills are put here by their category.
    {"elementwise", Class::kElementwise},
    {"catarray", Class::kElementwise},
    {"reduce_kernel", Class::kElementwise},
    {"split_with_sizes_copy", Class::kElementwise},
    {"fillfunctor", Class::kElementwise},
    {"masked_fill", Class::kElementwise},
    {"dropout", Class::kElementwise},
    {"triton_poi", Class::kElementwise},
    {"triton_red", Class::kElementwise},
    {"triton_per", Class::kElementwise},
});

// Operators, autograd functions and annotations of PyTorch, TransformerEngine, Apex and Megatron-Core.
constexpr auto kLauncherRules = std::to_array<LauncherRule>({
    {"groupedlinear", Class::kGemm, Class::kGroupedGemm},
    {"grouped_gemm", Class::kGemm, Class::kGroupedGemm},
    {"groupedgemm", Class::kGemm, Class::kGroupedGemm},
    {"grouped_mm", Class::kGemm, Class::kGroupedGemm},
    {"groupedmlp", Class::kGemm, Class::kGroupedGemm},
    {"groupedexperts", Class::kGemm, Class::kGroupedGemm},
    {"sequentialmlp", Class::kGemm, Class::kGroupedGemm},
    {"optimizer.step", Class::kElementwise, Class::kOptimizer},
    {"optimizer.step", Class::kPermute, Class::kOptimizer},
    {"optimizer.step", Class::kUnmatched, Class::kOptimizer},
    {"optimizer.zero_grad", Class::kElementwise, Class::kOptimizer},
    {"clip_grad", Class::kElementwise, Class::kOptimizer},
    {"aten::embedding", Class::kPermute, Class::kEmbedding},
    {"embeddingbackward", Class::kPermute, Class::kEmbedding},
    {"embeddingbackward", Class::kRouter, Class::kEmbedding},
    {"cross_entropy", Class::kElementwise, Class::kCrossEntropy},
    {"crossentropy", Class::kElementwise, Class::kCrossEntropy},
    {"topkrouter", Class::kElementwise, Class::kRouter},
    {"rmsnorm", Class::kElementwise, Class::kNorm},
    {"rms_norm", Class::kElementwise, Class::kNorm},
    {"layernorm", Class::kElementwise, Class::kNorm},
    {"swiglu", Class::kElementwise, Class::kActivation},
    {"silu", Class::kElementwise, Class::kActivation},
    {"rotary", Class::kElementwise, Class::kRope},
    {"scaled_dot_product", Class::kGemm, Class::kAttention},
    {"scaled_dot_product", Class::kRouter, Class::kAttention},
    {"dotproductattention", Class::kGemm, Class::kAttention},
});

}  // namespace

std::span<const KernelRule> kernel_rules() { return kKernelRules; }
std::span<const LauncherRule> launcher_rules() { return kLauncherRules; }

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return lower;
}

bool holds_words(std::string_view name, std::string_view pattern) {
  std::size_t at = 0;
  while (!pattern.empty()) {
    const std::size_t star = std::min(pattern.find('*'), pattern.size());
    const std::size_t found = name.find(pattern.substr(0, star), at);
    if (found == std::string_view::npos) return false;
    at = found + star;
    pattern.remove_prefix(std::min(star + 1, pattern.size()));
  }
  return true;
}

KernelKind classify_kernel(std::string_view name) {
  const std::string lower = lower_case(name);
  for (const KernelRule& rule : kKernelRules)
    if (holds_words(lower, rule.pattern)) return {rule.operation, rule.auxiliary};
  return {};
}

bool is_telling_launcher(std::string_view name) {
  const std::string lower = lower_case(name);
  return std::any_of(kLauncherRules.begin(), kLauncherRules.end(),
                     [&](const LauncherRule& rule) { return holds_words(lower, rule.pattern); });
}

OperationClass refine(OperationClass operation, std::string_view launcher) {
  const std::string lower = lower_case(launcher);
  for (const LauncherRule& rule : kLauncherRules)
    if (rule.from == operation && holds_words(lower, rule.pattern)) return rule.operation;
  return operation;
}

}  // namespace moeplan::report
