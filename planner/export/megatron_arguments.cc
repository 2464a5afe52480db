#include "planner/export/megatron_arguments.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/diagnostics.h"
#include "planner/export/pipeline_layout.h"
#include "planner/export/shell_words.h"

namespace moeplan::planner {

namespace {

using sim::NumberFormat;

/// Appends flags in the order in which people read them.
class Writer {
 public:
  void flag(std::string name) { arguments_.push_back({std::move(name), {}}); }
  template <class T>
  void value(std::string name, const T& content) {
    arguments_.push_back({std::move(name), {fmt::format("{}", content)}});
  }
  void list(std::string name, std::vector<std::string> values) { arguments_.push_back({std::move(name), std::move(values)}); }
  void flag_if(bool on, const char* name) {
    if (on) flag(name);
  }
  template <class T>
  void value_if(bool on, const char* name, const T& content) {
    if (on) value(name, content);
  }
  std::vector<MegatronArgument> take() { return std::move(arguments_); }

 private:
  std::vector<MegatronArgument> arguments_;
};

/// Megatron-FSDP's sharding strategies; copies between shard groups are its distributed-optimizer instances.
void write_data_parallel(const sim::PlanSpec& plan, Writer& w) {
  w.flag_if(plan.distributed_optimizer, "--use-distributed-optimizer");
  const sim::DataParallel sharding = plan.data_parallel();
  if (!sim::shards_gradients(sharding)) return;
  w.flag("--use-megatron-fsdp");
  w.value("--data-parallel-sharding-strategy",
          sim::shards_parameters(sharding) ? "optim_grads_params" : "optim_grads");
  w.value_if(plan.shard_group > 0, "--num-distributed-optimizer-instances",
             plan.layout.dp * plan.layout.cp / std::max(1, plan.shard_group));
  w.value("--ckpt-format", "fsdp_dtensor");
}

void write_parallel(const PlanContext& c, const sim::PlanSpec& plan, Writer& w) {
  const sim::ParallelLayout& l = plan.layout;
  w.value("--tensor-model-parallel-size", l.tp);
  w.flag_if(l.tp > 1 && l.sequence_parallel, "--sequence-parallel");
  w.value("--pipeline-model-parallel-size", l.pp);
  w.value("--context-parallel-size", l.cp);
  w.value_if(l.cp > 1, "--cp-comm-type", sim::name(plan.cp_comm()));
  if (plan.cp_a2a_size > 0) {
    w.list("--hierarchical-context-parallel-sizes",
           {std::to_string(plan.cp_a2a_size), std::to_string(l.cp / plan.cp_a2a_size)});
  }
  if (c.model.is_moe()) {
    w.value("--expert-model-parallel-size", l.ep);
    w.value("--expert-tensor-parallel-size", l.etp);
  }
  const int layers = static_cast<int>(c.model.layers.size());
  const bool even = plan.split.layers_per_chunk.empty() && layers % (l.pp * l.vp) == 0;
  if (!even && l.pp > 1) {
    const sim::StageSplit split = plan.split.layers_per_chunk.empty() ? sim::even_split(layers, l.pp, l.vp) : plan.split;
    w.value("--pipeline-model-parallel-layout", write_pipeline_layout(split, c.model.mtp_layers));
  } else if (l.vp > 1) {
    w.value("--num-virtual-stages-per-pipeline-rank", l.vp);
  }
  w.value("--micro-batch-size", plan.micro_batch);
  w.value("--global-batch-size", c.run.global_batch);
  write_data_parallel(plan, w);
  w.flag_if(plan.overlap_grad_reduce, "--overlap-grad-reduce");
  w.flag_if(plan.overlap_param_gather, "--overlap-param-gather");
}

/// The number alone switches it on.
void write_offload(const sim::PlanSpec& plan, Writer& w) {
  if (plan.offload.any()) w.value("--cpu-offloading-num-layers", plan.offload.layers);
}

void write_recompute(const sim::PlanSpec& plan, Writer& w) {
  if (plan.recompute.mode == sim::RecomputeMode::kFull) {
    w.value("--recompute-granularity", "full");
    w.value("--recompute-method", "uniform");
    w.value("--recompute-num-layers", 1);
  } else if (plan.recompute.mode == sim::RecomputeMode::kSelective) {
    w.value("--recompute-granularity", "selective");
    std::vector<std::string> words;
    for (const sim::RecomputeModule module : plan.recompute.modules) words.emplace_back(sim::name(module));
    w.list("--recompute-modules", words);
  }
}

void write_windows(const sim::ModelSpec& model, Writer& w) {
  std::int64_t window = 0;
  std::vector<int> windowed;
  for (const sim::LayerSpec& layer : model.layers) {
    window = std::max(window, layer.window);
    windowed.push_back(layer.window > 0 ? 1 : 0);
  }
  if (window == 0) return;
  // Megatron's window counts the keys to the left of the query; ours counts the query itself too.
  w.value("--window-size", fmt::format("{},0", window - 1));
  if (std::find(windowed.begin(), windowed.end(), 0) != windowed.end()) {
    w.value("--window-attn-skip-freq", fmt::format("[{}]", fmt::join(windowed, ",")));
  }
}

void write_attention(const sim::ModelSpec& m, Writer& w) {
  w.value("--num-attention-heads", m.heads);
  if (m.is_mla()) {
    w.flag("--multi-latent-attention");
    w.value_if(m.q_lora_rank > 0, "--q-lora-rank", m.q_lora_rank);
    w.value("--kv-lora-rank", m.kv_lora_rank);
    w.value("--qk-head-dim", m.qk_nope_dim);
    w.value("--qk-pos-emb-head-dim", m.qk_rope_dim);
    w.value("--v-head-dim", m.v_head_dim);
    w.flag("--qk-layernorm");  // norms of the latent queries, keys and values
  } else {
    if (m.kv_heads != m.heads) {
      w.flag("--group-query-attention");
      w.value("--num-query-groups", m.kv_heads);
    }
    w.value("--kv-channels", m.head_dim);
    w.flag_if(m.qk_norm, "--qk-layernorm");
    w.flag_if(m.attention_bias, "--add-qkv-bias");
  }
  write_windows(m, w);
}

void write_model(const PlanContext& c, Writer& w) {
  const sim::ModelSpec& m = c.model;
  w.flag("--use-mcore-models");
  w.value("--transformer-impl", "transformer_engine");
  w.value("--num-layers", m.layers.size());
  w.value("--hidden-size", m.hidden);
  w.value("--ffn-hidden-size", m.dense_ffn > 0 ? m.dense_ffn : m.expert_ffn);
  write_attention(m, w);
  w.value("--position-embedding-type", "rope");
  w.value("--normalization", "RMSNorm");
  w.flag_if(m.gated, "--swiglu");
  w.flag("--disable-bias-linear");
  w.flag_if(!m.tied_embeddings, "--untie-embeddings-and-output-weights");
  w.value("--vocab-size", m.vocab);
  w.value("--make-vocab-size-divisible-by", kVocabDivisor);
  w.value("--seq-length", c.run.seq_len);
  w.value("--max-position-embeddings", c.run.seq_len);
  w.value_if(m.mtp_layers > 0, "--mtp-num-layers", m.mtp_layers);
  w.flag_if(c.run.fused_cross_entropy, "--cross-entropy-loss-fusion");
}

void write_dispatcher(const sim::PlanSpec& plan, Writer& w) {
  if (!sim::removes_duplicates(plan.dispatcher)) {
    w.value("--moe-token-dispatcher-type", "alltoall");
    return;
  }
  const bool hybrid = plan.dispatcher == sim::Dispatcher::kHybridEp;
  w.value("--moe-token-dispatcher-type", "flex");
  w.value("--moe-flex-dispatcher-backend", hybrid ? "hybridep" : "deepep");
  w.value_if(plan.dispatcher_sms > 0, hybrid ? "--moe-hybridep-num-sms" : "--moe-deepep-num-sms",
             plan.dispatcher_sms);
}

void write_overlap(const sim::LayerOverlap& overlap, Writer& w) {
  w.flag_if(overlap.shared_experts, "--moe-shared-expert-overlap");
  w.flag_if(overlap.all_to_all, "--overlap-moe-expert-parallel-comm");
  w.flag_if(overlap.delay_weight_gradients, "--delay-wgrad-compute");
}

void write_experts(const PlanContext& c, const sim::PlanSpec& plan, Writer& w) {
  const sim::ModelSpec& m = c.model;
  if (!m.is_moe()) return;
  w.value("--num-experts", m.experts);
  w.value("--moe-router-topk", m.top_k);
  w.value("--moe-layer-freq", moe_layer_frequency(m));
  w.value("--moe-ffn-hidden-size", m.expert_ffn);
  w.value_if(m.shared_ffn > 0, "--moe-shared-expert-intermediate-size", m.shared_ffn);
  w.flag_if(m.shared_gate, "--moe-shared-expert-gate");
  w.value_if(m.has_latent_experts(), "--moe-latent-size", m.dispatch_width);
  w.value_if(m.groups > 1, "--moe-router-num-groups", m.groups);
  w.value_if(m.groups > 1, "--moe-router-group-topk", m.topk_groups);
  w.value_if(m.scoring == "softmax" || m.scoring == "sigmoid", "--moe-router-score-function", m.scoring);
  w.value_if(c.run.router_loss != sim::RouterLoss::kNone, "--moe-router-load-balancing-type",
             sim::name(c.run.router_loss));
  w.flag_if(c.run.router_bias_update, "--moe-router-enable-expert-bias");
  write_dispatcher(plan, w);
  write_overlap(plan.overlap, w);
  w.flag("--moe-grouped-gemm");
  w.flag("--moe-permute-fusion");
  if (c.run.gate == sim::GatePolicy::kCapacity) {
    w.value("--moe-expert-capacity-factor", c.run.capacity_factor);
    w.flag("--moe-pad-expert-input-to-capacity");
  }
  w.flag_if(c.run.gate == sim::GatePolicy::kForceBalanced, "--moe-router-force-load-balancing");
}

void write_low_precision(NumberFormat format, Writer& w) {
  switch (format) {
    case NumberFormat::kFp8Tensor:
      w.value("--fp8-format", "hybrid");
      w.value("--fp8-recipe", "tensorwise");
      break;
    case NumberFormat::kFp8Block:
      w.value("--fp8-format", "e4m3");
      w.value("--fp8-recipe", "blockwise");
      break;
    case NumberFormat::kMxfp8:
      w.value("--fp8-format", "e4m3");
      w.value("--fp8-recipe", "mxfp8");
      break;
    case NumberFormat::kNvfp4:
      w.value("--fp4-format", "e2m1");
      w.value("--fp4-recipe", "nvfp4");
      break;
    default:
      break;
  }
}

void write_precision(const sim::RunSpec& run, Writer& w) {
  const sim::PrecisionRecipe& p = run.precision;
  w.flag(p.gemm == NumberFormat::kFp16 ? "--fp16" : "--bf16");
  write_low_precision(p.gemm, w);
  const bool fp8_gather = p.parameter_gather == NumberFormat::kFp8Tensor || p.parameter_gather == NumberFormat::kFp8Block ||
                          p.parameter_gather == NumberFormat::kMxfp8;
  w.flag_if(fp8_gather, "--fp8-param-gather");
  w.flag(p.gradient_reduce == NumberFormat::kFp32 ? "--accumulate-allreduce-grads-in-fp32" : "--grad-reduce-in-bf16");
  w.value("--optimizer", run.optimizer);
  if (p.optimizer_bytes_per_parameter == 8) {  // fp32 master weight, two bf16 moments
    w.flag("--use-precision-aware-optimizer");
    w.value("--exp-avg-dtype", "bf16");
    w.value("--exp-avg-sq-dtype", "bf16");
  }
}

void write_gradients(const sim::RunSpec& run, Writer& w) {
  const sim::GradientPasses& gradients = run.gradients;
  w.flag_if(!run.fusion.accumulation, "--no-gradient-accumulation-fusion");
  w.flag_if(!gradients.check, "--no-check-for-nan-in-loss-and-grad");
  w.flag_if(gradients.average_in_collective, "--ddp-average-in-collective");
}

/// The whole step is Megatron-Core's own capture, parts of a layer TransformerEngine's.
void write_graph(const sim::GraphScope& graph, Writer& w) {
  if (!graph.any()) return;
  w.value("--cuda-graph-impl", graph.whole_step ? "local" : "transformer_engine");
  std::vector<std::string> scope;
  if (graph.whole_step) {
    scope = {"full_iteration"};
  } else {
    if (graph.attention) scope.emplace_back("attn");
    if (graph.router) scope.insert(scope.end(), {"moe_router", "moe_preprocess"});
  }
  w.list("--cuda-graph-scope", std::move(scope));
  w.flag("--te-rng-tracker");
}

std::string join_line(const MegatronArgument& argument) {
  std::string line = argument.flag;
  for (const std::string& value : argument.values) line += " " + shell_quote(value);
  return line;
}

}  // namespace

std::vector<MegatronArgument> write_megatron_arguments(const PlanContext& context, const sim::PlanSpec& plan) {
  const std::vector<sim::PlanFault> faults = find_megatron_faults(context, plan);
  if (!faults.empty()) {
    std::vector<base::Diagnostic> diagnostics;
    for (const sim::PlanFault& fault : faults) {
      diagnostics.push_back({"", {}, "plan", fmt::format("Megatron cannot run this plan: {} [{}]", fault.message, fault.rule), ""});
    }
    throw base::InputError(diagnostics);
  }
  Writer w;
  write_parallel(context, plan, w);
  write_recompute(plan, w);
  write_offload(plan, w);
  write_model(context, w);
  write_experts(context, plan, w);
  write_precision(context.run, w);
  write_gradients(context.run, w);
  write_graph(context.run.graph, w);
  return w.take();
}

std::string write_argument_lines(const std::vector<MegatronArgument>& arguments) {
  std::string out;
  for (const MegatronArgument& argument : arguments) out += join_line(argument) + "\n";
  return out;
}

std::string write_launch_script(const std::vector<MegatronArgument>& arguments, const PlanContext& context,
                                const sim::PlanSpec& plan, int gpus_per_node) {
  const int per_node = std::min(gpus_per_node, context.gpus);
  std::string out = "#!/usr/bin/env bash\n";
  out += fmt::format("# {} on {} GPUs: {}\n", context.model.name, context.gpus, sim::short_name(plan));
  out += "# Set MEGATRON (source tree), NODE_RANK, MASTER_ADDR and MASTER_PORT; give data, tokenizer, learning rate,\n"
         "# checkpoint and router-loss arguments behind this script's name.\n";
  if (const std::int64_t padded = padded_vocab(context.model.vocab, plan.layout.tp); padded != context.model.vocab) {
    out += fmt::format("# The vocabulary of {} is padded to {} rows.\n", context.model.vocab, padded);
  }
  if (!plan.placement.is_contiguous()) {
    out += "# Permute the experts of the checkpoint first, as the expert-permutation file beside this script says.\n";
  }
  out += "set -euo pipefail\n";
  if (sim::shards_gradients(plan.data_parallel())) {
    out += "unset CUDA_DEVICE_MAX_CONNECTIONS  # Megatron-FSDP refuses 1\n";
  } else if (plan.layout.tp > 1 || plan.layout.cp > 1) {
    out += "export CUDA_DEVICE_MAX_CONNECTIONS=1  # Megatron asks for it before Blackwell\n";
  }
  out += "ARGS=(\n";
  for (const MegatronArgument& argument : arguments) out += "  " + join_line(argument) + "\n";
  out += ")\n";
  out += fmt::format("exec torchrun --nnodes {} --nproc-per-node {} --node-rank \"${{NODE_RANK:-0}}\" \\\n"
                     "  --master-addr \"${{MASTER_ADDR:-localhost}}\" --master-port \"${{MASTER_PORT:-29500}}\" \\\n"
                     "  \"${{MEGATRON:?}}/pretrain_gpt.py\" \"${{ARGS[@]}}\" \"$@\"\n",
                     context.gpus / per_node, per_node);
  return out;
}

std::string moe_layer_frequency(const sim::ModelSpec& model) {
  std::string out;
  for (std::size_t l = 0; l < model.layers.size();) {
    const bool moe = model.layers[l].ffn == sim::FfnKind::kMoe;
    std::size_t run = 1;
    while (l + run < model.layers.size() && (model.layers[l + run].ffn == sim::FfnKind::kMoe) == moe) ++run;
    if (run == model.layers.size() && moe) return "1";
    out += fmt::format("{}[{}]*{}", out.empty() ? "" : "+", moe ? 1 : 0, run);
    l += run;
  }
  return "(" + out + ")";
}

}  // namespace moeplan::planner
