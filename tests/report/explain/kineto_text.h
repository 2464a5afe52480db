#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "report/explain/operation_class.h"
#include "sim/result/rank_timeline.h"

namespace moeplan::report::test_data {

/// How a made trace differs from the timeline that it is of.
struct Perturbation {
  std::array<double, kOperationClasses> factor;  ///< on the duration of a class's operations
  double gap_us = 0;                             ///< that the GPU is idle before every kernel
  int steps = 1;                                 ///< the same one again and again
  int rank = 0, world = 8;
  bool operators = true;        ///< forward, backward and update by thread and ranges
  bool layers = false;          ///< an annotation around every launch of a layer
  bool grouped_by_name = true;  ///< else grouped products have the names of dense ones
  double received = 1;          ///< elements received over sent in all-to-alls
  double own_elements = 0;      ///< sent; 0: calls have no sizes
  Perturbation() { factor.fill(1.0); }
  Perturbation& slow(OperationClass operation, double by) {
    factor[static_cast<std::size_t>(operation)] = by;
    return *this;
  }
};

inline std::string kernel_of(OperationClass operation, sim::StepPart part, bool grouped_by_name) {
  switch (operation) {
    case OperationClass::kGroupedGemm:
      if (grouped_by_name)
        return "void "
               "cutlass::device_kernel<cutlass::gemm::kernel::GemmUniversal<cutlass::gemm::GroupProblemShape<"
               ">>>";
      return "nvjet_tst_192x192_64x4_2x1_v_bz_coopB_NTN";
    case OperationClass::kGemm:
      return "nvjet_tst_256x128_64x4_1x2_h_bz_coopA_TNT";
    case OperationClass::kAttention:
      return part == sim::StepPart::kForward
                 ? "cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_7_64x128x128_4x"
                 : "cudnn_generated_fort_native_sdpa_sm90_flash_bprop_wgmma_f16_knob_26_64x64x128_1x";
    case OperationClass::kNorm:
      return "void transformer_engine::normalization::rmsnorm_fwd_general_kernel<>";
    case OperationClass::kRope:
      return "void transformer_engine::fused_rope_forward_kernel<__nv_bfloat16>";
    case OperationClass::kActivation:
      return "triton_poi_fused_silu_mul_0";
    case OperationClass::kRouter:
      return "void transformer_engine::fused_topk_with_score_function_forward_kernel<float>";
    case OperationClass::kPermute:
      return "_permute_kernel";
    case OperationClass::kQuantise:
      return "void transformer_engine::cast_transpose_fused_kernel_notma<>";
    case OperationClass::kCrossEntropy:
      return "cross_entropy_kernel";
    case OperationClass::kEmbedding:
      return "void at::native::embedding_backward_feature_kernel<c10::BFloat16>";
    case OperationClass::kOptimizer:
      return "void multi_tensor_apply_kernel<TensorListMetadata<4>, AdamFunctor<float>>";
    case OperationClass::kTensorParallel:
    case OperationClass::kParameterGather:
      return "ncclDevKernel_AllGather_RING_LL(ncclDevKernelArgsStorage<4096ul>)";
    case OperationClass::kGradientReduce:
      return "ncclDevKernel_ReduceScatter_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)";
    case OperationClass::kDispatch:
    case OperationClass::kCombine:
    case OperationClass::kP2p:
      return "ncclDevKernel_SendRecv(ncclDevKernelArgsStorage<4096ul>)";
    default:
      return "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<c10::BFloat16>>";
  }
}

inline std::string collective_of(OperationClass operation, const Perturbation& p) {
  const auto args = [](const char* name, const char* group, double in, double out) {
    return fmt::format(
        R"(,"Collective name":"{}","Process Group Description":"{}","In msg nelems":{:.0f},"Out msg nelems":{:.0f})",
        name, group, in, out);
  };
  switch (operation) {
    case OperationClass::kDispatch:
      return args("all_to_allv", "EXPERT_MODEL_PARALLEL_GROUP", p.own_elements, p.own_elements * p.received);
    case OperationClass::kCombine:
      return args("all_to_allv", "EXPERT_MODEL_PARALLEL_GROUP", p.own_elements * p.received, p.own_elements);
    case OperationClass::kP2p:
      return args("recv", "PIPELINE_MODEL_PARALLEL_GROUP", 1, 1);
    case OperationClass::kTensorParallel:
      return args("_allgather_base", "TENSOR_MODEL_PARALLEL_GROUP", 1, 1);
    case OperationClass::kParameterGather:
      return args("_allgather_base", "DATA_PARALLEL_GROUP_WITH_CP", 1, 1);
    case OperationClass::kGradientReduce:
      return args("_reduce_scatter_base", "DATA_PARALLEL_GROUP_WITH_CP", 1, 1);
    default:
      return "";
  }
}

/// A timeline as the profiler would have written it: kernels with names of the field, launches that
/// correlate, NCCL's arguments, ProfilerStep#N. Operations follow each other as in the timeline; what takes
/// longer delays all that comes behind.
inline std::string kineto_text(const sim::RankTimeline& timeline, const Perturbation& p) {
  std::vector<const sim::RankOperation*> order;
  for (const sim::RankOperation& o : timeline.operations) order.push_back(&o);
  std::stable_sort(order.begin(), order.end(), [](auto a, auto b) { return a->start < b->start; });
  std::string text = fmt::format(
      R"({{"schemaVersion":1,"deviceProperties":[{{"id":0,"name":"NVIDIA H100 80GB HBM3"}}],"distributedInfo":{{"backend":"nccl","rank":{},"world_size":{}}},"traceEvents":[
{{"ph":"M","name":"process_name","pid":7,"tid":0,"args":{{"name":"python"}}}})",
      p.rank, p.world);
  double origin = 1740462779964226.0;  // us
  int correlation = 0;
  const auto event = [&](const char* category, const std::string& name, int thread, double at,
                         double duration, const std::string& args) {
    text += fmt::format(
        ",\n{{\"ph\":\"X\",\"cat\":\"{}\",\"name\":\"{}\",\"pid\":7,\"tid\":{},\"ts\":{:.3f},\"dur\":{:.3f}{}"
        "}}",
        category, name, thread, at, duration, args.empty() ? "" : ",\"args\":{" + args + "}");
  };
  for (int step = 0; step < p.steps; ++step) {
    double delay = 0;
    for (const sim::RankOperation* o : order) {
      const OperationClass operation = class_of(*o);
      if (operation == OperationClass::kIdle || o->estimate.time <= base::Seconds()) continue;
      delay += p.gap_us;
      const double start = origin + o->start.since_start().us() + delay;
      const double duration =
          o->wait.us() + o->estimate.time.us() * p.factor[static_cast<std::size_t>(operation)];
      const int thread = o->part == sim::StepPart::kBackward ? 2 : 1;
      const double launch = std::max(origin + 0.001, start - 4.0);
      ++correlation;
      if (p.layers && o->layer >= 0)
        event("user_annotation", fmt::format("layers.{}", o->layer), thread, launch - 0.001, 0.1, "");
      if (p.operators) {
        const char* name = o->part == sim::StepPart::kBackward
                               ? "autograd::engine::evaluate_function: MmBackward0"
                           : o->part == sim::StepPart::kUpdate ? "Optimizer.step#Adam.step"
                                                               : "aten::mm";
        event("cpu_op", name, thread, launch - 0.001, 0.1, "");
      }
      event("cuda_runtime", "cudaLaunchKernelExC", thread, launch, 0.05,
            fmt::format("\"correlation\":{}", correlation));
      event("kernel", kernel_of(operation, o->part, p.grouped_by_name), 7, start, duration,
            fmt::format("\"device\":0,\"stream\":7,\"correlation\":{}{}", correlation,
                        collective_of(operation, p)));
      delay += o->estimate.time.us() * (p.factor[static_cast<std::size_t>(operation)] - 1.0);
    }
    const double length = timeline.step.us() + delay;
    event("user_annotation", fmt::format("ProfilerStep#{}", 10 + step), 1, origin, length, "");
    origin += length;
  }
  return text + "\n]}\n";
}

}  // namespace moeplan::report::test_data
