#include "report/explain/kernel_names.h"

#include <set>
#include <string>

#include <gtest/gtest.h>

namespace moeplan::report {
namespace {

using Class = OperationClass;

struct Named {
  const char* kernel;
  Class operation;
};

// Names as profiles show them, one at least of every class that a name can tell.
constexpr Named kKernels[] = {
    {"nvjet_tst_256x128_64x4_1x2_h_bz_coopA_NNT", Class::kGemm},
    {"sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x64_warpgroupsize1x1x1_execute_segment_k_off_"
     "kernel__5x_cublas",
     Class::kGemm},
    {"ampere_bf16_s16816gemm_bf16_128x256_ldg8_f2f_stages_64x3_tn", Class::kGemm},
    {"void "
     "cutlass::Kernel2<cutlass_80_tensorop_bf16_s16816gemm_relu_bf16_256x128_32x3_tn_align8>(cutlass_80_"
     "tensorop_bf16)",
     Class::kGemm},
    {"void cutlass::Kernel<cutlass::gemm::kernel::GemmUniversal<cutlass::layout::NoPermute>>", Class::kGemm},
    {"void cublasLt::splitKreduce_kernel<32, 16, int, __nv_bfloat16, float>", Class::kGemm},
    {"void "
     "cutlass::device_kernel<cutlass::gemm::kernel::GemmUniversal<cutlass::gemm::GroupProblemShape<cute::"
     "tuple<int, int, int>>>>",
     Class::kGroupedGemm},
    {"void deep_gemm::fp8_gemm_kernel<4096u, 7168u, 128u, 128u, (deep_gemm::GemmType)1>",
     Class::kGroupedGemm},
    {"void cutlass::Kernel<cutlass::gemm::kernel::GemmGrouped<cutlass::bfloat16_t>>", Class::kGroupedGemm},
    {"void deep_gemm::fp8_gemm_kernel<4096u, 7168u, 128u, 128u, (deep_gemm::GemmType)0>", Class::kGemm},
    {"void flash_fwd_kernel<Flash_fwd_kernel_traits<128, 128, 64, 4, false, false, cutlass::bfloat16_t>>",
     Class::kAttention},
    {"void flash_bwd_dq_dk_dv_loop_seqk_parallel_kernel<Flash_bwd_kernel_traits<128, 64, 128, 8>>",
     Class::kAttention},
    {"void "
     "cutlass::device_kernel<flash::enable_sm90_or_later<flash::FlashAttnFwdSm90<flash::"
     "CollectiveMainloopFwdSm90>>>",
     Class::kAttention},
    {"cudnn_generated_fort_native_sdpa_sm90_flash_bprop_wgmma_f16_knob_26_64x64x128_1x", Class::kAttention},
    {"fmha_cutlassB_bf16_aligned_128x128_k128_sm80(PyTorchMemEffAttention::AttentionBackwardKernel)",
     Class::kAttention},
    {"void (anonymous namespace)::scaled_upper_triang_masked_softmax_warp_forward<c10::BFloat16>",
     Class::kAttention},
    {"void transformer_engine::normalization::rmsnorm_fwd_general_kernel<>", Class::kNorm},
    {"void at::native::(anonymous namespace)::vectorized_layer_norm_kernel<float, float>", Class::kNorm},
    {"void transformer_engine::fused_rope_forward_kernel<__nv_bfloat16>", Class::kRope},
    {"triton_poi_fused__to_copy_mul_silu_0", Class::kActivation},
    {"void transformer_engine::gated_act_kernel<swiglu>", Class::kActivation},
    {"void at::native::sbtopk::gatherTopK<float, unsigned int, 2, false>", Class::kRouter},
    {"void at_cuda_detail::cub::DeviceRadixSortOnesweepKernel<long, int>", Class::kRouter},
    {"void transformer_engine::fused_topk_with_score_function_forward_kernel<float>", Class::kRouter},
    {"_permute_kernel", Class::kPermute},
    {"_unpermute_kernel", Class::kPermute},
    {"_sort_chunks_by_map_kernel", Class::kPermute},
    {"void moe_permute_row_map(int const*)_row_id_map_pass_1_kernel", Class::kPermute},
    {"void at::native::(anonymous namespace)::indexSelectLargeIndex<c10::BFloat16, long>", Class::kPermute},
    {"void transformer_engine::cast_transpose_fused_kernel_notma<true>", Class::kQuantise},
    {"void transformer_engine::quantize_mxfp8_kernel<false>", Class::kQuantise},
    {"void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<c10::BFloat16>>",
     Class::kElementwise},
    {"void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float>>", Class::kElementwise},
    {"cross_entropy_kernel", Class::kCrossEntropy},
    {"void (anonymous namespace)::cunn_SoftMaxForward<8, float, float, float, LogSoftMaxForwardEpilogue>",
     Class::kCrossEntropy},
    {"void at::native::(anonymous namespace)::embedding_backward_feature_kernel<c10::BFloat16>",
     Class::kEmbedding},
    {"void multi_tensor_apply_kernel<TensorListMetadata<4>, AdamFunctor<float, float>>", Class::kOptimizer},
    {"void at::native::(anonymous namespace)::multi_tensor_apply_kernel<FusedOptimizerTensorListMetadata<4>>",
     Class::kOptimizer},
    {"void deep_ep::intranode::dispatch<8, 768, 8192>(int4*, float*, int*, long*)", Class::kDispatch},
    {"void deep_ep::internode::notify_dispatch<false, 4>", Class::kDispatch},
    {"deep_ep::layout::get_dispatch_layout", Class::kDispatch},
    {"void deep_ep::intranode::combine<__nv_bfloat16, 8, 768, 4096>", Class::kCombine},
    {"void deep_ep::intranode::cached_notify_combine<8>", Class::kCombine},
    {"void hybrid_ep::dispatch_kernel<>", Class::kDispatch},
    {"void hybrid_ep::combine_kernel<>", Class::kCombine},
    {"userbuffers_fp16_sum_inplace_gpu_rr_rs", Class::kTensorParallel},
    {"ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)", Class::kOtherCollective},
    {"ncclKernel_SendRecv_RING_SIMPLE_Sum_int8_t(ncclWorkElem)", Class::kOtherCollective},
    {"my_own_kernel", Class::kUnmatched},
};

TEST(KernelNames, KnowsTheNamesOfTheField) {
  for (const Named& named : kKernels)
    EXPECT_EQ(name(classify_kernel(named.kernel).operation), name(named.operation)) << named.kernel;
}

// Idle and copies to the host have no kernels; tensor-, context- and data-parallel traffic is told by its
// group.
TEST(KernelNames, EveryClassThatANameTellsHasAnExample) {
  std::set<Class> seen;
  for (const Named& named : kKernels) seen.insert(named.operation);
  for (const KernelRule& rule : kernel_rules()) {
    if (rule.operation == Class::kAllToAll) continue;
    EXPECT_TRUE(seen.contains(rule.operation)) << name(rule.operation);
  }
}

// A row behind one that takes all of its names would never be reached.
TEST(KernelNames, EveryRowCanBeReached) {
  for (const KernelRule& rule : kernel_rules()) {
    std::string text(rule.pattern);
    for (char& c : text) c = c == '*' ? '~' : c;
    EXPECT_EQ(name(classify_kernel(text).operation), name(rule.operation)) << rule.pattern;
    EXPECT_EQ(classify_kernel(text).auxiliary, rule.auxiliary) << rule.pattern;
    EXPECT_EQ(lower_case(rule.pattern), rule.pattern);
  }
}

TEST(KernelNames, KernelsBesideAMainOneAreNoCalls) {
  EXPECT_TRUE(classify_kernel("void flash_bwd_dot_do_o_kernel<>").auxiliary);
  EXPECT_TRUE(classify_kernel("void deep_ep::intranode::notify_dispatch<8>").auxiliary);
  EXPECT_TRUE(classify_kernel("void cublasLt::splitKreduce_kernel<>").auxiliary);
  EXPECT_FALSE(classify_kernel("void flash_bwd_dq_dk_dv_loop_seqk_parallel_kernel<>").auxiliary);
}

// cuBLAS products of grouped layers have the names of dense ones: who launched them tells.
TEST(KernelNames, TheLauncherTellsWhatANameDoesNot) {
  EXPECT_EQ(refine(Class::kGemm, "_GroupedLinearBackward"), Class::kGroupedGemm);
  EXPECT_EQ(refine(Class::kGemm, "aten::mm"), Class::kGemm);
  EXPECT_EQ(refine(Class::kElementwise, "Optimizer.step#FusedAdam.step"), Class::kOptimizer);
  EXPECT_EQ(refine(Class::kGemm, "Optimizer.step#Muon.step"), Class::kGemm);
  EXPECT_EQ(refine(Class::kPermute, "aten::embedding"), Class::kEmbedding);
  EXPECT_TRUE(is_telling_launcher("GroupedLinear"));
  EXPECT_FALSE(is_telling_launcher("aten::mm"));
  for (const LauncherRule& rule : launcher_rules()) EXPECT_NE(rule.from, rule.operation);
}

TEST(KernelNames, WordsStandInOrder) {
  EXPECT_TRUE(holds_words("a deep_ep::x combine", "deep_ep*combine"));
  EXPECT_FALSE(holds_words("combine of deep_ep", "deep_ep*combine"));
  EXPECT_TRUE(holds_words("anything", ""));
}

}  // namespace
}  // namespace moeplan::report
