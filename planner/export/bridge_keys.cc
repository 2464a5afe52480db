#include "planner/export/bridge_keys.h"

#include <algorithm>
#include <array>

namespace moeplan::planner {

namespace {

constexpr BridgeValue kList = BridgeValue::kList;
constexpr BridgeValue kSwitch = BridgeValue::kSwitch;
constexpr BridgeValue kScalar = BridgeValue::kScalar;

constexpr auto kKeys = std::to_array<BridgeKey>({
    {"--tensor-model-parallel-size", "model", "tensor_model_parallel_size", kScalar},
    {"--sequence-parallel", "model", "sequence_parallel", kSwitch},
    {"--pipeline-model-parallel-size", "model", "pipeline_model_parallel_size", kScalar},
    {"--num-virtual-stages-per-pipeline-rank", "model", "virtual_pipeline_model_parallel_size", kScalar},
    {"--pipeline-model-parallel-layout", "model", "pipeline_model_parallel_layout", kScalar},
    {"--context-parallel-size", "model", "context_parallel_size", kScalar},
    {"--cp-comm-type", "model", "cp_comm_type", kScalar},
    {"--hierarchical-context-parallel-sizes", "model", "hierarchical_context_parallel_sizes", kList},
    {"--expert-model-parallel-size", "model", "expert_model_parallel_size", kScalar},
    {"--expert-tensor-parallel-size", "model", "expert_tensor_parallel_size", kScalar},
    {"--seq-length", "model", "seq_length", kScalar},
    {"--recompute-granularity", "model", "recompute_granularity", kScalar},
    {"--recompute-method", "model", "recompute_method", kScalar},
    {"--recompute-num-layers", "model", "recompute_num_layers", kScalar},
    {"--recompute-modules", "model", "recompute_modules", kList},
    {"--cpu-offloading-num-layers", "model", "cpu_offloading_num_layers", kScalar},
    {"--cross-entropy-loss-fusion", "model", "cross_entropy_loss_fusion", kSwitch},
    {"--moe-token-dispatcher-type", "model", "moe_token_dispatcher_type", kScalar},
    {"--moe-flex-dispatcher-backend", "model", "moe_flex_dispatcher_backend", kScalar},
    {"--moe-deepep-num-sms", "model", "moe_deepep_num_sms", kScalar},
    {"--moe-hybridep-num-sms", "model", "moe_hybridep_num_sms", kScalar},
    {"--moe-shared-expert-overlap", "model", "moe_shared_expert_overlap", kSwitch},
    {"--overlap-moe-expert-parallel-comm", "model", "overlap_moe_expert_parallel_comm", kSwitch},
    {"--delay-wgrad-compute", "model", "delay_wgrad_compute", kSwitch},
    {"--moe-grouped-gemm", "model", "moe_grouped_gemm", kSwitch},
    {"--moe-permute-fusion", "model", "moe_permute_fusion", kSwitch},
    {"--moe-expert-capacity-factor", "model", "moe_expert_capacity_factor", kScalar},
    {"--moe-pad-expert-input-to-capacity", "model", "moe_pad_expert_input_to_capacity", kSwitch},
    {"--moe-router-force-load-balancing", "model", "moe_router_force_load_balancing", kSwitch},
    {"--moe-router-load-balancing-type", "model", "moe_router_load_balancing_type", kScalar},
    {"--moe-router-enable-expert-bias", "model", "moe_router_enable_expert_bias", kSwitch},
    {"--no-gradient-accumulation-fusion", "model", "gradient_accumulation_fusion", BridgeValue::kSwitchOff},
    {"--cuda-graph-impl", "model", "cuda_graph_impl", kScalar},
    {"--cuda-graph-scope", "model", "cuda_graph_scope", kList},
    {"--te-rng-tracker", "model", "use_te_rng_tracker", kSwitch},
    {"--te-rng-tracker", "rng", "te_rng_tracker", kSwitch},
    {"--micro-batch-size", "train", "micro_batch_size", kScalar},
    {"--global-batch-size", "train", "global_batch_size", kScalar},
    {"--seq-length", "dataset", "seq_length", kScalar},
    {"--use-distributed-optimizer", "ddp", "use_distributed_optimizer", kSwitch},
    {"--use-distributed-optimizer", "optimizer", "use_distributed_optimizer", kSwitch},
    {"--use-precision-aware-optimizer", "optimizer", "use_precision_aware_optimizer", kSwitch},
    {"--exp-avg-dtype", "optimizer", "exp_avg_dtype", BridgeValue::kType},
    {"--exp-avg-sq-dtype", "optimizer", "exp_avg_sq_dtype", BridgeValue::kType},
    {"--overlap-grad-reduce", "ddp", "overlap_grad_reduce", kSwitch},
    {"--overlap-param-gather", "ddp", "overlap_param_gather", kSwitch},
    {"--overlap-grad-reduce", "comm_overlap", "overlap_grad_reduce", kSwitch},
    {"--overlap-param-gather", "comm_overlap", "overlap_param_gather", kSwitch},
    {"--overlap-moe-expert-parallel-comm", "comm_overlap", "overlap_moe_expert_parallel_comm", kSwitch},
    {"--delay-wgrad-compute", "comm_overlap", "delay_wgrad_compute", kSwitch},
    {"--use-megatron-fsdp", "ddp", "use_megatron_fsdp", kSwitch},
    {"--use-megatron-fsdp", "dist", "use_megatron_fsdp", kSwitch},
    {"--data-parallel-sharding-strategy", "ddp", "data_parallel_sharding_strategy", kScalar},
    {"--num-distributed-optimizer-instances", "ddp", "num_distributed_optimizer_instances", kScalar},
    {"--ddp-average-in-collective", "ddp", "average_in_collective", kSwitch},
    {"--no-check-for-nan-in-loss-and-grad", "ddp", "check_for_nan_in_grad", BridgeValue::kSwitchOff},
    {"--no-check-for-nan-in-loss-and-grad", "rerun_state_machine", "check_for_nan_in_loss",
     BridgeValue::kSwitchOff},
    {"--ckpt-format", "checkpoint", "ckpt_format", kScalar},
});

constexpr auto kOfRecipe = std::to_array<std::string_view>({
    "--use-mcore-models",
    "--transformer-impl",
    "--num-layers",
    "--hidden-size",
    "--ffn-hidden-size",
    "--num-attention-heads",
    "--multi-latent-attention",
    "--q-lora-rank",
    "--kv-lora-rank",
    "--qk-head-dim",
    "--qk-pos-emb-head-dim",
    "--v-head-dim",
    "--qk-layernorm",
    "--group-query-attention",
    "--num-query-groups",
    "--kv-channels",
    "--add-qkv-bias",
    "--window-size",
    "--window-attn-skip-freq",
    "--position-embedding-type",
    "--normalization",
    "--swiglu",
    "--disable-bias-linear",
    "--untie-embeddings-and-output-weights",
    "--vocab-size",
    "--make-vocab-size-divisible-by",
    "--max-position-embeddings",
    "--mtp-num-layers",
    "--num-experts",
    "--moe-router-topk",
    "--moe-layer-freq",
    "--moe-ffn-hidden-size",
    "--moe-shared-expert-intermediate-size",
    "--moe-shared-expert-gate",
    "--moe-latent-size",
    "--moe-router-num-groups",
    "--moe-router-group-topk",
    "--moe-router-score-function",
});

constexpr auto kOfPrecision = std::to_array<std::string_view>({
    "--bf16",
    "--fp16",
    "--fp8-format",
    "--fp8-recipe",
    "--fp4-format",
    "--fp4-recipe",
    "--fp8-param-gather",
    "--grad-reduce-in-bf16",
    "--accumulate-allreduce-grads-in-fp32",
    "--optimizer",
});

}  // namespace

std::span<const BridgeKey> bridge_keys() { return kKeys; }

bool is_of_recipe(std::string_view flag) {
  return std::find(kOfRecipe.begin(), kOfRecipe.end(), flag) != kOfRecipe.end();
}

bool is_of_precision(std::string_view flag) {
  return std::find(kOfPrecision.begin(), kOfPrecision.end(), flag) != kOfPrecision.end();
}

}  // namespace moeplan::planner
