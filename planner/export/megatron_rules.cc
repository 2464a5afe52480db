#include "planner/export/megatron_rules.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "planner/export/fault_list.h"

namespace moeplan::planner {

namespace {

using sim::PlanFault;
using sim::PlanSpec;

/// Collects broken rules.
using Faults = FaultList;

bool divides(std::int64_t part, std::int64_t whole) { return part > 0 && whole % part == 0; }

void check_world(const PlanContext& c, const PlanSpec& plan, Faults& f) {
  const sim::ParallelLayout& l = plan.layout;
  f.require(divides(l.tp * l.pp * l.cp, c.gpus), "world-divides", [&] {
    return fmt::format("{} GPUs are not a multiple of TP {} x PP {} x CP {}", c.gpus, l.tp, l.pp, l.cp);
  });
  f.require(divides(l.etp * l.ep * l.pp, c.gpus), "expert-world-divides", [&] {
    return fmt::format("{} GPUs are not a multiple of ETP {} x EP {} x PP {}", c.gpus, l.etp, l.ep, l.pp);
  });
  f.require(l.ep == 1 || c.model.is_moe(), "ep-needs-experts",
            [&] { return fmt::format("EP {} on a model without experts", l.ep); });
  f.require(!c.model.is_moe() || divides(l.ep, c.model.experts), "ep-divides-experts",
            [&] { return fmt::format("EP {} does not divide {} experts", l.ep, c.model.experts); });
  f.require(l.tp == 1 || l.ep == 1 || l.sequence_parallel, "sequence-parallel",
            [&] { return fmt::format("TP {} together with EP {} needs --sequence-parallel", l.tp, l.ep); });
  f.require(l.tp == 1 || !l.sequence_parallel || divides(l.tp * l.cp, c.run.seq_len), "sequence-divides",
            [&] {
              return fmt::format("sequence parallelism: {} tokens are not a multiple of TP {} x CP {}",
                                 c.run.seq_len, l.tp, l.cp);
            });
  f.require(l.cp == 1 || divides(2 * l.cp, c.run.seq_len), "context-divides",
            [&] { return fmt::format("{} tokens are not a multiple of 2 x CP {}", c.run.seq_len, l.cp); });
}

/// TransformerEngine (transformer_engine/pytorch/attention, attn_forward_func_with_cp): keys wider than
/// values go round a ring only.
void check_context_exchange(const PlanContext& c, const PlanSpec& plan, Faults& f) {
  const bool rings =
      plan.cp_comm() == sim::ContextExchange::kP2p || plan.cp_comm() == sim::ContextExchange::kAllToAllP2p;
  f.require(plan.layout.cp == 1 || !c.model.is_mla() || rings, "context-mla", [&] {
    return fmt::format("--cp-comm-type {} with multi-latent attention, expected p2p or a2a+p2p",
                       sim::name(plan.cp_comm()));
  });
}

void check_widths(const PlanContext& c, const PlanSpec& plan, Faults& f) {
  const int tp = plan.layout.tp;
  const sim::ModelSpec& m = c.model;
  f.require(divides(tp, m.heads), "heads-divide",
            [&] { return fmt::format("{} attention heads are not a multiple of TP {}", m.heads, tp); });
  f.require(m.is_mla() || divides(tp, m.kv_heads), "kv-heads-divide", [&] {
    return fmt::format(
        "{} key/value heads (query groups) are not a multiple of TP {}; Megatron does not replicate them",
        m.kv_heads, tp);
  });
  f.require(divides(tp, m.dense_ffn) && divides(tp, m.shared_ffn), "ffn-divides", [&] {
    return fmt::format("feed-forward width {} or shared-expert width {} is not a multiple of TP {}",
                       m.dense_ffn, m.shared_ffn, tp);
  });
  f.require(!m.is_moe() || divides(plan.layout.etp, m.expert_ffn), "expert-ffn-divides", [&] {
    return fmt::format("expert width {} is not a multiple of ETP {}", m.expert_ffn, plan.layout.etp);
  });
}

void check_pipeline(const PlanContext& c, const PlanSpec& plan, Faults& f) {
  const sim::ParallelLayout& l = plan.layout;
  const int layers = static_cast<int>(c.model.layers.size());
  const int chunks = l.pp * l.vp;
  const bool known = plan.schedule() == sim::PipelineSchedule::kOneForwardOneBackward ||
                     plan.schedule() == sim::PipelineSchedule::kInterleaved;
  f.require(known, "schedule", [&] {
    return fmt::format(
        "schedule {}: Megatron-Core runs 1F1B, and interleaved 1F1B with virtual stages, no GPipe, "
        "zero-bubble or DualPipe schedule",
        sim::name(plan.schedule()));
  });
  f.require(
      !known || (plan.schedule() == sim::PipelineSchedule::kInterleaved) == (l.vp > 1), "schedule", [&] {
        return fmt::format(
            "schedule {} with {} virtual stages: Megatron-Core interleaves exactly where there are several",
            sim::name(plan.schedule()), l.vp);
      });
  f.require(l.vp == 1 || l.pp > 1, "vp-needs-pp",
            [&] { return fmt::format("{} virtual stages with PP 1: interleaving needs PP > 1", l.vp); });
  f.require(chunks <= layers + 2, "layers-fill-stages", [&] {
    return fmt::format("{} layers do not fill PP {} x VP {} = {} virtual stages", layers, l.pp, l.vp, chunks);
  });
  if (!plan.split.layers_per_chunk.empty()) {
    const auto& split = plan.split.layers_per_chunk;
    const int sum = std::accumulate(split.begin(), split.end(), 0);
    f.require(
        static_cast<int>(split.size()) == chunks && sum == layers &&
            std::all_of(split.begin(), split.end(), [](int n) { return n >= 0; }),
        "layout-adds-up", [&] {
          return fmt::format(
              "the split has {} virtual stages with {} layers in all, expected {} (PP {} x VP {}) with {}",
              split.size(), sum, chunks, l.pp, l.vp, layers);
        });
  }
  const std::int64_t batch = static_cast<std::int64_t>(l.dp) * plan.micro_batch;
  f.require(divides(batch, c.run.global_batch), "batch-divides", [&] {
    return fmt::format("global batch {} is not a multiple of DP {} x micro-batch {}", c.run.global_batch,
                       l.dp, plan.micro_batch);
  });
  if (plan.schedule() == sim::PipelineSchedule::kInterleaved && divides(batch, c.run.global_batch)) {
    const std::int64_t m = c.run.global_batch / batch;
    f.require(divides(l.pp, m), "interleaving-micro-batches", [&] {
      return fmt::format("{} micro-batches are not a multiple of PP {}, which interleaving needs", m, l.pp);
    });
  }
}

void check_recompute(const PlanContext& c, const PlanSpec& plan, Faults& f) {
  const sim::Recompute& r = plan.recompute;
  if (r.mode != sim::RecomputeMode::kSelective) return;
  f.require(!r.modules.empty(), "recompute-words", "selective recompute without modules");
  f.require(!r.has(sim::RecomputeModule::kMlaUpProj) || c.model.is_mla(), "recompute-words",
            "recompute module mla_up_proj on a model without multi-latent attention");
  f.require(!r.has(sim::RecomputeModule::kMoeAct) || c.model.is_moe(), "recompute-words",
            "recompute module moe_act on a model without experts");
  f.require(!r.has(sim::RecomputeModule::kSharedExperts) || c.model.shared_ffn > 0, "recompute-words",
            "recompute module shared_experts on a model without shared experts");
}

/// TransformerConfig's checks of cpu_offloading.
void check_offload(const PlanContext& c, const PlanSpec& plan, Faults& f) {
  if (!plan.offload.any()) return;
  constexpr const char* kRule = "offload";
  const auto layers = static_cast<int>(c.model.layers.size());
  f.require(plan.offload.layers < layers, kRule, [&] {
    return fmt::format("--cpu-offloading-num-layers {} of {} layers: Megatron-Core offloads fewer than all",
                       plan.offload.layers, layers);
  });
  f.require(plan.layout.pp == 1, kRule,
            [&] { return fmt::format("--cpu-offloading-num-layers excludes PP {}", plan.layout.pp); });
  f.require(plan.recompute.mode == sim::RecomputeMode::kNone, kRule, [&] {
    return fmt::format("--cpu-offloading-num-layers excludes {} recompute", sim::name(plan.recompute.mode));
  });
  f.require(!c.run.graph.attention && !c.run.graph.router, kRule,
            "--cpu-offloading-num-layers excludes CUDA graphs of parts of a layer");
}

/// TransformerConfig's checks of cuda_graph_impl and cuda_graph_scope against a plan.
void check_graph(const PlanContext& c, const PlanSpec& plan, Faults& f) {
  const sim::GraphScope& graph = c.run.graph;
  constexpr const char* kRule = "cuda-graph";
  const bool parts = graph.any() && !graph.whole_step;
  f.require(!parts || plan.recompute.mode != sim::RecomputeMode::kFull, kRule,
            "full recompute excludes CUDA graphs of parts of a layer");
  f.require(!parts || !graph.router || !plan.recompute.has(sim::RecomputeModule::kMoe), kRule,
            "recompute module moe excludes --cuda-graph-scope moe_router");
  f.require(!graph.whole_step || !plan.overlap.all_to_all, kRule,
            "--overlap-moe-expert-parallel-comm excludes --cuda-graph-scope full_iteration");
}

/// Those that hold for every plan; the one of NaNs is in Megatron's arguments.
void check_job_graph(const PlanContext& c, Faults& f) {
  const sim::GraphScope& graph = c.run.graph;
  constexpr const char* kRule = "cuda-graph";
  f.require(!graph.whole_step || !c.run.gradients.check, kRule,
            "--cuda-graph-scope full_iteration needs --no-check-for-nan-in-loss-and-grad, in the run file "
            "gradients: "
            "{check: false}");
  f.require(graph.whole_step || !graph.router || c.model.is_moe(), kRule,
            "--cuda-graph-scope moe_router on a model without experts");
  f.require(!graph.any() || !c.run.documents, kRule,
            "documents change the shapes of attention from step to step, and a CUDA graph keeps them");
}

void check_data_parallel(const PlanSpec& plan, Faults& f) {
  f.require(!plan.overlap_param_gather || (plan.distributed_optimizer && plan.overlap_grad_reduce),
            "overlap-param-gather",
            "--overlap-param-gather needs --use-distributed-optimizer and --overlap-grad-reduce");
}

void check_moe_layer(const PlanSpec& plan, Faults& f) {
  const int chunks = std::max(plan.chunk_degree, plan.backward_chunks());
  f.require(chunks == 1, "chunk-degree", [&] {
    return fmt::format(
        "{} token chunks a MoE layer: Megatron's alltoall dispatcher moves a micro-batch in one piece",
        chunks);
  });
  f.require(plan.dispatcher == sim::Dispatcher::kFlat || sim::removes_duplicates(plan.dispatcher),
            "dispatcher", [&] {
              return fmt::format(
                  "{} all-to-all: Megatron's alltoall dispatcher sends to all peers in one grouped call",
                  sim::name(plan.dispatcher));
            });
}

void check_shared_overlap(const PlanContext& c, const PlanSpec& plan, Faults& f) {
  if (!plan.overlap.shared_experts) return;
  constexpr const char* kRule = "overlap-shared-experts";
  f.require(c.model.shared_ffn > 0, kRule, "--moe-shared-expert-overlap on a model without shared experts");
  f.require(!sim::removes_duplicates(plan.dispatcher), kRule, [&] {
    return fmt::format("--moe-shared-expert-overlap with dispatcher {}: it works with alltoall only",
                       sim::name(plan.dispatcher));
  });
  f.require(!plan.recompute.has(sim::RecomputeModule::kSharedExperts), kRule,
            "--moe-shared-expert-overlap excludes recompute module shared_experts");
  f.require(!c.model.has_latent_experts(), kRule, "--moe-shared-expert-overlap excludes latent experts");
  f.require(!plan.overlap.all_to_all, kRule,
            "--moe-shared-expert-overlap excludes --overlap-moe-expert-parallel-comm");
}

void check_tile_fused(const PlanSpec& plan, Faults& f) {
  f.require(!plan.overlap.tile_fused, "overlap-tile-fused",
            "experts fused with their all-to-alls: Megatron-Core has no such kernel");
}

void check_all_to_all_overlap(const PlanContext& c, const PlanSpec& plan, Faults& f) {
  f.require(!plan.overlap.delay_weight_gradients || plan.overlap.all_to_all, "overlap-weight-gradients",
            "--delay-wgrad-compute needs --overlap-moe-expert-parallel-comm");
  if (!plan.overlap.all_to_all) return;
  constexpr const char* kRule = "overlap-all-to-all";
  const sim::ParallelLayout& l = plan.layout;
  f.require(c.model.is_moe() && l.ep > 1, kRule, [&] {
    return fmt::format("--overlap-moe-expert-parallel-comm needs expert parallelism, found EP {}", l.ep);
  });
  f.require(l.pp == 1 || l.vp > 1, kRule, [&] {
    return fmt::format("--overlap-moe-expert-parallel-comm with PP {} needs virtual stages, found VP {}",
                       l.pp, l.vp);
  });
  f.require(
      plan.recompute.mode != sim::RecomputeMode::kFull && !plan.recompute.has(sim::RecomputeModule::kMoe),
      kRule, "--overlap-moe-expert-parallel-comm excludes full recompute and recompute module moe");
  f.require(c.model.mtp_layers <= 1, kRule, [&] {
    return fmt::format("--overlap-moe-expert-parallel-comm runs with one MTP block at most, found {}",
                       c.model.mtp_layers);
  });
}

bool megatron_runs(sim::NumberFormat format) {
  return format != sim::NumberFormat::kFp32 && format != sim::NumberFormat::kTf32;
}

}  // namespace

std::vector<PlanFault> find_megatron_job_faults(const PlanContext& c) {
  Faults f;
  std::int64_t window = 0;
  bool one_window = true;
  bool kinds = true;
  for (const sim::LayerSpec& layer : c.model.layers) {
    kinds = kinds && layer.mixer != sim::MixerKind::kNone && layer.ffn != sim::FfnKind::kNone;
    if (layer.window == 0) continue;
    one_window = one_window && (window == 0 || layer.window == window);
    window = layer.window;
  }
  f.require(kinds && c.model.kinds_without_cost().empty(), "layer-kinds",
            "layers that are not attention with a feed-forward part; the arguments of such models are not "
            "written yet");
  f.require(one_window, "one-window", "layers with different sliding windows; --window-size knows one");
  const sim::PrecisionRecipe& p = c.run.precision;
  f.require(megatron_runs(p.gemm), "precision", [&] {
    return fmt::format("matrix products in {}; experts run in bf16 or below", sim::name(p.gemm));
  });
  f.require(p.gemm != sim::NumberFormat::kFp16 || !c.model.is_moe(), "precision",
            "fp16 with expert parallelism is refused");
  f.require(p.dispatch == sim::NumberFormat::kBf16 && p.combine == sim::NumberFormat::kBf16,
            "dispatch-format", [&] {
              return fmt::format("dispatch in {} and combine in {}: the alltoall dispatcher moves bf16",
                                 sim::name(p.dispatch), sim::name(p.combine));
            });
  f.require(p.gradient_reduce == sim::NumberFormat::kFp32 || p.gradient_reduce == sim::NumberFormat::kBf16,
            "gradient-format", [&] {
              return fmt::format("gradients reduced in {}, expected fp32 or bf16",
                                 sim::name(p.gradient_reduce));
            });
  f.require(p.optimizer_bytes_per_parameter == 12 || p.optimizer_bytes_per_parameter == 8, "optimizer-states",
            [&] {
              return fmt::format(
                  "{} bytes of optimizer state a parameter, expected 12 (fp32 master and moments) or 8 (bf16 "
                  "moments)",
                  p.optimizer_bytes_per_parameter);
            });
  f.require(c.run.optimizer == "adam", "optimizer",
            [&] { return fmt::format("optimizer {}, expected adam", c.run.optimizer); });
  f.require(!c.run.router_bias_update || c.model.scoring == "sigmoid", "router-bias", [&] {
    return fmt::format("router_bias_update with {} scores: Megatron's expert bias goes with sigmoid scores",
                       c.model.scoring.empty() ? "unknown" : c.model.scoring);
  });
  check_job_graph(c, f);
  f.require(c.model.groups <= 1 || divides(c.model.groups, c.model.experts), "groups-divide", [&] {
    return fmt::format("{} experts are not a multiple of {} routing groups", c.model.experts, c.model.groups);
  });
  return f.found;
}

namespace {

void check_plan(const PlanContext& context, const PlanSpec& plan, Faults& f) {
  check_world(context, plan, f);
  check_widths(context, plan, f);
  check_pipeline(context, plan, f);
  check_recompute(context, plan, f);
  check_context_exchange(context, plan, f);
  check_offload(context, plan, f);
  check_graph(context, plan, f);
  check_data_parallel(plan, f);
  check_moe_layer(plan, f);
  check_shared_overlap(context, plan, f);
  check_all_to_all_overlap(context, plan, f);
  check_tile_fused(plan, f);
  require_permutation(context.model, plan.placement, "Megatron holds each expert once", f);
}

}  // namespace

std::vector<PlanFault> find_megatron_faults(const PlanContext& context, const PlanSpec& plan) {
  Faults f;
  f.found = find_megatron_job_faults(context);
  check_plan(context, plan, f);
  return f.found;
}

const char* find_broken_megatron_rule(const PlanContext& context, const PlanSpec& plan) {
  Faults f;
  f.first_key_alone = true;
  check_plan(context, plan, f);
  return f.first;
}

std::vector<std::string> megatron_rule_keys() {
  return {"batch-divides",
          "chunk-degree",
          "context-divides",
          "context-mla",
          "cuda-graph",
          "dispatch-format",
          "dispatcher",
          "ep-divides-experts",
          "ep-needs-experts",
          "expert-ffn-divides",
          "expert-world-divides",
          "ffn-divides",
          "gradient-format",
          "groups-divide",
          "heads-divide",
          "interleaving-micro-batches",
          "kv-heads-divide",
          "layer-kinds",
          "layers-fill-stages",
          "layout-adds-up",
          "offload",
          "one-window",
          "optimizer",
          "optimizer-states",
          "overlap-all-to-all",
          "overlap-param-gather",
          "overlap-shared-experts",
          "overlap-tile-fused",
          "overlap-weight-gradients",
          "placement-keeps-groups",
          "placement-permutes",
          "precision",
          "recompute-words",
          "router-bias",
          "schedule",
          "sequence-divides",
          "sequence-parallel",
          "vp-needs-pp",
          "world-divides"};
}

std::int64_t padded_vocab(std::int64_t vocab, int tp) {
  const std::int64_t unit = kVocabDivisor * tp;
  return (vocab + unit - 1) / unit * unit;
}

std::vector<int> moe_layer_indices(const sim::ModelSpec& model) {
  std::vector<int> indices;
  for (std::size_t l = 0; l < model.layers.size(); ++l) {
    if (model.layers[l].ffn == sim::FfnKind::kMoe) indices.push_back(static_cast<int>(l));
  }
  return indices;
}

}  // namespace moeplan::planner
