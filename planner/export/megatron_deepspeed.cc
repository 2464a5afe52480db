#include "planner/export/megatron_deepspeed.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "planner/export/fault_list.h"
#include "planner/export/megatron_flag_reader.h"

namespace moeplan::planner {

namespace {

using sim::NumberFormat;

/// n where every n-th layer, and no other, holds experts; 0: the layers are not of that form.
int expert_interval(const sim::ModelSpec& model) {
  const auto first = std::find_if(model.layers.begin(), model.layers.end(), [](const sim::LayerSpec& layer) {
    return layer.ffn == sim::FfnKind::kMoe;
  });
  const auto interval = static_cast<std::size_t>(first - model.layers.begin()) + 1;
  for (std::size_t l = 0; l < model.layers.size(); ++l) {
    if ((model.layers[l].ffn == sim::FfnKind::kMoe) != ((l + 1) % interval == 0)) return 0;
  }
  return static_cast<int>(interval);
}

int zero_stage(const sim::PlanSpec& plan) {
  if (plan.data_parallel() == sim::DataParallel::kNone) return 0;
  return plan.data_parallel() == sim::DataParallel::kZero1 ? 1 : 2;
}

void check_layout(const PlanContext& c, const sim::PlanSpec& plan, FaultList& f) {
  const sim::ParallelLayout& l = plan.layout;
  f.require(l.world() == c.gpus, "world-divides", fmt::format("a plan of {} GPUs on {}", l.world(), c.gpus));
  f.require(l.pp == 1, "pipeline", fmt::format("PP {}: experts go with --no-pipeline-parallel", l.pp));
  f.require(l.cp == 1, "context-parallel", fmt::format("CP {}: written for CP 1", l.cp));
  f.require(l.etp == 1, "expert-tensor-parallel", fmt::format("ETP {}: written for ETP 1", l.etp));
  f.require(l.dp % l.ep == 0, "ep-divides-dp",
            fmt::format("EP {} does not divide DP {}: expert groups are cut out of data-parallel ones", l.ep,
                        l.dp));
  f.require(c.model.is_moe() && c.model.experts % l.ep == 0, "ep-divides-experts",
            fmt::format("EP {} does not divide {} experts", l.ep, c.model.experts));
  f.require(!sim::shards_parameters(plan.data_parallel()), "sharding",
            fmt::format("data_parallel {}: the classic MoE layer takes ZeRO stages 0 to 2",
                        sim::name(plan.data_parallel())));
  f.require(plan.recompute.mode != sim::RecomputeMode::kSelective, "recompute",
            "selective recompute: layers are checkpointed whole");
  const std::int64_t batch = std::int64_t{l.dp} * plan.micro_batch;
  f.require(c.run.global_batch % batch == 0, "batch-divides",
            fmt::format("global batch {} is not a multiple of DP {} x micro-batch {}", c.run.global_batch,
                        l.dp, plan.micro_batch));
}

void check_model(const PlanContext& c, FaultList& f) {
  const sim::ModelSpec& m = c.model;
  f.require(expert_interval(m) > 0, "expert-interval", "the layers with experts are not every n-th one");
  f.require(m.shared_ffn == 0, "shared-experts", "shared experts: the classic layer has none");
  f.require(!m.is_mla(), "attention", "multi-latent attention: Megatron-DeepSpeed has none");
  f.require(m.mtp_layers == 0, "mtp",
            fmt::format("{} MTP blocks: Megatron-DeepSpeed has none", m.mtp_layers));
  f.require(m.groups <= 1, "routing-groups", "group-limited routing: DeepSpeed's gate has none");
  f.require(m.dense_ffn == 0 || m.dense_ffn == m.expert_ffn || expert_interval(m) == 1, "one-width",
            fmt::format("dense layers are {} wide and experts {}: --ffn-hidden-size holds for both",
                        m.dense_ffn, m.expert_ffn));
  f.require(m.heads * m.head_dim == m.hidden, "head-width",
            fmt::format("{} heads of {} on a hidden size of {}: heads share out the hidden size", m.heads,
                        m.head_dim, m.hidden));
}

void check_run(const PlanContext& c, FaultList& f) {
  const NumberFormat gemm = c.run.precision.gemm;
  f.require(gemm == NumberFormat::kBf16 || gemm == NumberFormat::kFp16, "precision",
            fmt::format("matrix products in {}: expected bf16 or fp16", sim::name(gemm)));
  f.require(c.run.gate != sim::GatePolicy::kForceBalanced, "gate",
            "a force-balanced gate: DeepSpeed has none");
  f.require(
      c.run.router_loss != sim::RouterLoss::kSequence && c.run.router_loss != sim::RouterLoss::kGlobal,
      "router-loss",
      fmt::format("router_loss {}: DeepSpeed's gate balances a micro-batch", sim::name(c.run.router_loss)));
}

}  // namespace

std::vector<sim::PlanFault> find_megatron_deepspeed_faults(const PlanContext& c, const sim::PlanSpec& plan) {
  FaultList f;
  check_layout(c, plan, f);
  check_model(c, f);
  check_run(c, f);
  require_permutation(c.model, plan.placement, "DeepSpeed holds each expert once", f);
  return f.found;
}

std::string write_megatron_deepspeed_arguments(const PlanContext& c, const sim::PlanSpec& plan) {
  const sim::ModelSpec& m = c.model;
  std::string text;
  const auto add = [&text](const char* flag, const auto& value) {
    text += fmt::format("{} {}\n", flag, value);
  };
  const auto flag_if = [&text](bool on, const char* flag) {
    if (on) text += fmt::format("{}\n", flag);
  };
  text += "--deepspeed\n--deepspeed_config megatron-deepspeed.json\n--no-pipeline-parallel\n";
  add("--zero-stage", zero_stage(plan));
  add("--tensor-model-parallel-size", plan.layout.tp);
  flag_if(plan.layout.tp > 1 && plan.layout.sequence_parallel, "--sequence-parallel");
  add("--moe-expert-parallel-size", plan.layout.ep);
  add("--micro-batch-size", plan.micro_batch);
  add("--global-batch-size", c.run.global_batch);
  if (plan.recompute.mode == sim::RecomputeMode::kFull)
    text += "--checkpoint-activations\n--deepspeed-activation-checkpointing\n";
  add("--num-layers", m.layers.size());
  add("--hidden-size", m.hidden);
  add("--ffn-hidden-size", m.expert_ffn);
  add("--num-attention-heads", m.heads);
  if (m.kv_heads != m.heads) add("--num-key-value-heads", m.kv_heads);
  add("--seq-length", c.run.seq_len);
  add("--max-position-embeddings", c.run.seq_len);
  text += "--use-rotary-position-embeddings\n--normalization rmsnorm\n--disable-bias-linear\n";
  flag_if(m.gated, "--swiglu");
  flag_if(!m.tied_embeddings, "--untie-embeddings-and-output-weights");
  add("--num-experts", m.experts);
  add("--expert-interval", expert_interval(m));
  add("--topk", m.top_k);
  text += "--mlp-type standard\n--create-moe-param-group\n";
  if (c.run.gate == sim::GatePolicy::kCapacity) {
    add("--moe-train-capacity-factor", c.run.capacity_factor);
  } else {
    text += "--disable-moe-token-dropping\n";
  }
  if (c.run.router_loss == sim::RouterLoss::kNone) text += "--moe-loss-coeff 0\n";
  text += c.run.precision.gemm == NumberFormat::kFp16 ? "--fp16\n" : "--bf16\n";
  return text;
}

std::string write_megatron_deepspeed_config(const PlanContext& c, const sim::PlanSpec& plan) {
  sim::PlanSpec dense = plan;  // tensor and expert parallelism are the arguments'
  dense.layout.tp = dense.layout.ep = 1;
  sim::ModelSpec without = c.model;
  without.experts = 0;
  return write_deepspeed_config({without, c.run, c.gpus}, dense);
}

bool is_megatron_deepspeed(std::string_view text) {
  return text.find("--moe-expert-parallel-size") != std::string_view::npos ||
         text.find("--zero-stage") != std::string_view::npos;
}

PlanImport import_megatron_deepspeed_plan(std::string_view text, const PlanImportOptions& options) {
  const MegatronFlags flags = read_megatron_flags(text, options.file, options.variables);
  base::DiagnosticSink sink;
  const FlagReader r(flags, options.file, sink);
  PlanImport out;
  sim::PlanSpec& plan = out.plan;
  sim::ParallelLayout& l = plan.layout;
  plan.name = std::filesystem::path(options.file).stem().string();
  plan.framework = "megatron-deepspeed";
  l.tp = r.degree("--tensor-model-parallel-size", 1);
  l.ep = r.degree("--moe-expert-parallel-size", 1);
  l.sequence_parallel = l.tp == 1 || r.has("--sequence-parallel");
  if (r.degree("--pipeline-model-parallel-size", 1) != 1)
    r.fault("--pipeline-model-parallel-size", "expected 1: DeepSpeed's pipelines are read from no arguments");
  if (r.degree("--ds-sequence-parallel-size", 1) != 1)
    r.fault("--ds-sequence-parallel-size", "expected 1: Ulysses is not read here");
  out.gpus = options.gpus > 0 ? options.gpus : flags.nodes * flags.gpus_per_node;
  if (out.gpus == 0)
    sink.add(
        {options.file, {}, "", "the text does not say how many GPUs the run has", "give it with --gpus N"});
  if (out.gpus % l.tp != 0 || (out.gpus / l.tp) % l.ep != 0)
    r.fault("--moe-expert-parallel-size",
            fmt::format("{} GPUs on TP {} are not a multiple of EP {}", out.gpus, l.tp, l.ep));
  sink.throw_if_any();
  l.dp = out.gpus / l.tp;
  l.edp = out.gpus / l.ep;
  plan.micro_batch = r.degree("--micro-batch-size", 1);
  const std::int64_t step = std::int64_t{l.dp} * plan.micro_batch;
  out.global_batch = r.has("--global-batch-size") ? r.whole("--global-batch-size").value_or(step) : step;
  if (out.global_batch % step != 0)
    r.fault("--global-batch-size", fmt::format("{} sequences are not a multiple of DP {} x micro-batch {}",
                                               out.global_batch, l.dp, plan.micro_batch));
  out.seq_len = r.has("--seq-length") ? r.whole("--seq-length").value_or(0) : 0;
  const auto stage =
      r.has("--zero-stage") ? r.whole("--zero-stage", 0).value_or(0) : 1;  // its default is 1.0
  if (stage > 2)
    r.fault("--zero-stage",
            fmt::format("found {}, expected 0 to 2: the classic MoE layer takes no more", stage));
  plan.distributed_optimizer = stage > 0;
  if (stage == 2) plan.stated_data_parallel = sim::DataParallel::kZero2;
  plan.overlap_grad_reduce = plan.overlap_param_gather = false;
  if (r.has("--checkpoint-activations") || r.has("--deepspeed-activation-checkpointing"))
    plan.recompute.mode = sim::RecomputeMode::kFull;
  if (options.model != nullptr && options.model->experts % l.ep != 0)
    r.fault("--moe-expert-parallel-size", fmt::format("{} does not divide the {} experts of {}", l.ep,
                                                      options.model->experts, options.model->name));
  sink.throw_if_any();
  for (const char* flag :
       {"--use-tutel", "--enable-expert-tensor-parallelism", "--mos", "--num-experts-switch"})
    if (r.has(flag)) out.not_modelled.push_back(fmt::format("{}: not in a plan", flag));
  out.notes.push_back(
      fmt::format("belongs in the run file: global batch {}, sequence length {}, gate and precision",
                  out.global_batch, out.seq_len));
  out.notes.emplace_back(
      "the JSON beside the arguments says whether gradients are reduced beside other work; here it is taken "
      "that they are not");
  return out;
}

}  // namespace moeplan::planner
