#pragma once

#include "sim/workload/model.h"
#include "sim/workload/plan.h"
#include "sim/workload/run.h"

namespace moeplan::sim {

/// Operations that the framework runs on the host for a part of an eager MoE layer, kernels and views, an
/// autograd function of a library as one.
struct PassOperations {
  int forward = 0, backward = 0;
};

/// Of the router: from the hidden states to probabilities and routing map, the balance loss included.
/// Of the dispatcher: in front of the dispatch (counts an expert, permutation), around the experts (the
/// exchange, sorting by expert and back), behind the combine.
///
/// Source: Megatron-Core 0.16.1 run on a CPU, counted by scripts/count_framework_operations; 64 experts, top
/// 8, EP 8. The flat all-to-all's counts stand for the dispatchers other than DeepEP and HybridEP. Not
/// counted: a view of every expert's piece that the backward of an unfused sort takes inside autograd. Fused
/// routers and permutations launch fewer, longer calls and are taken to cost the host as much.
PassOperations router_operations(const ModelSpec& model, RouterLoss loss);
struct DispatchOperations {
  PassOperations before, experts, after;
};
DispatchOperations dispatch_operations(Dispatcher dispatcher);

/// Host time of such an operation over `launch_overhead`, as a share of the profile's `framework_share`: with
/// the 4.9 of 86 host-bound steps of published dense models (vTrain on A100, not judged) a layer and
/// micro-batch takes 3.4 ms, its forward twice: 2 (17 + 34) + 24 + 48 = 174 operations by the same
/// count, 19.5 us or 2.87 times 6.8 us each.
inline constexpr double kOperationShare = 2.87 / 4.9;

/// Of one expert whose second projection has a bias (LayerKernels::expert_bias), counted on Megatron-Core
/// 0.16.1's TEGroupedMLP._apply_bias in the same way.
inline constexpr PassOperations kBiasOperations{2, 9};

/// Launches (of `launch_overhead`) that quantise one operand of one expert where every expert is quantised on
/// its own: a scale of the tensor needs its largest value (reset and search), the scale, the cast; scales of
/// blocks come with the cast. Source: TransformerEngine 2.20.2, csrc/quantizer.cpp
/// (Float8CurrentScalingQuantizer::quantize_impl) and csrc/extensions/cast.cpp (multi_tensor_quantize_impl).
int quantise_launches(NumberFormat format);

/// Where every expert's weight is a parameter of its own, its gradient costs the host a launch and this share
/// of an operation: the product adds to the main gradient, autograd copies a stand-in and the hook of data
/// parallelism runs. Source: TransformerEngine 2.20.2, pytorch/module/grouped_linear.py (get_dummy_wgrad);
/// the share is time on a CPU (scripts/count_framework_operations --parameters).
inline constexpr double kHookShare = 0.54;

}  // namespace moeplan::sim
