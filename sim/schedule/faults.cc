#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "sim/cost/profile_data.h"
#include "sim/schedule/simulate.h"

namespace moeplan::sim {

namespace {

using Faults = std::vector<PlanFault>;

template <class... Values>
void add(Faults& faults, const char* rule, fmt::format_string<Values...> text, Values&&... values) {
  faults.push_back({rule, fmt::format(text, std::forward<Values>(values)...)});
}

void check_grids(const Job& job, const PlanSpec& plan, Faults& faults) {
  const ParallelLayout& l = plan.layout;
  const std::int64_t world = std::int64_t{l.tp} * l.cp * l.dp * l.pp;
  if (world > job.cluster.ranks())
    add(faults, "gpus", "tp {} * cp {} * dp {} * pp {} = {} GPUs, the cluster has {}", l.tp, l.cp, l.dp, l.pp,
        world, job.cluster.ranks());
  const std::int64_t stage = std::int64_t{l.tp} * l.cp * l.dp;
  const std::int64_t expert = std::int64_t{l.etp} * l.ep;
  if (stage % expert != 0) {
    add(faults, "ep-divides-stage", "etp {} * ep {} = {} does not divide the {} GPUs of a stage", l.etp, l.ep,
        expert, stage);
  } else if (expert * l.edp != stage) {
    add(faults, "edp", "etp {} * ep {} * edp {} = {}, expected the {} GPUs of a stage", l.etp, l.ep, l.edp,
        expert * l.edp, stage);
  }
}

int most_chunks(const PlanSpec& plan) { return std::max(plan.chunk_degree, plan.backward_chunks()); }

/// Chunks and stages that a schedule is made for.
void check_schedule(const PlanSpec& plan, Faults& faults) {
  const int pp = plan.layout.pp;
  const int vp = plan.layout.vp;
  const PipelineSchedule schedule = plan.schedule();
  if (vp > 1 && pp < 2)
    return add(faults, "interleaved-needs-pipeline",
               "vp {} with pp {}: virtual stages need a pipeline, pp of at least 2", vp, pp);
  switch (schedule) {
    case PipelineSchedule::kInterleaved:
      if (vp < 2)
        add(faults, "schedule-chunks", "schedule interleaved runs 2 or more chunks a rank, found vp {}", vp);
      break;
    case PipelineSchedule::kZeroBubbleV:
    case PipelineSchedule::kDualPipeV:
      if (vp != 2)
        add(faults, "schedule-chunks",
            "schedule {} runs 2 chunks a rank, down the pipeline and up again: vp 2, found vp {}",
            name(schedule), vp);
      break;
    default:
      if (vp != 1)
        add(faults, "schedule-chunks", "schedule {} runs 1 stage of the model a rank{}: vp 1, found vp {}",
            name(schedule), schedule == PipelineSchedule::kDualPipe ? " and direction" : "", vp);
  }
  if ((splits_backward(schedule) || schedule == PipelineSchedule::kInterleaved) && pp < 2 && vp < 2)
    add(faults, "schedule-needs-pipeline", "schedule {} needs a pipeline, pp of at least 2, found pp {}",
        name(schedule), pp);
  if (schedule == PipelineSchedule::kDualPipe && pp % 2 != 0 && pp > 1)
    add(faults, "dualpipe-stages",
        "schedule dualpipe feeds the pipeline from both ends and needs an even pp, found pp {}", pp);
  if (overlaps_passes(schedule) && most_chunks(plan) > 1)
    add(faults, "dualpipe-chunks",
        "schedule {} overlaps two micro-batches; token chunks inside one are not simulated with it: expected "
        "chunk_degree 1, found {}",
        name(schedule), most_chunks(plan));
}

void check_micro_batches(const PlanSpec& plan, std::int64_t micro_batches, Faults& faults) {
  const int pp = plan.layout.pp;
  const PipelineSchedule schedule = plan.schedule();
  if (schedule == PipelineSchedule::kInterleaved && micro_batches % pp != 0)
    add(faults, "interleaved-micro-batches",
        "interleaving needs micro-batches in multiples of pp {}, found {}", pp, micro_batches);
  if (schedule == PipelineSchedule::kDualPipe && micro_batches % 2 != 0)
    add(faults, "dualpipe-micro-batches",
        "schedule dualpipe feeds half of the micro-batches from either end and needs an even number, found "
        "{}",
        micro_batches);
  if (overlaps_passes(schedule) && micro_batches < 2 * pp)
    add(faults, "dualpipe-micro-batches",
        "schedule {} needs at least 2 * pp = {} micro-batches to fill the pipeline, found {}", name(schedule),
        2 * pp, micro_batches);
}

void check_batch(const Job& job, const PlanSpec& plan, Faults& faults) {
  const std::int64_t per_round = std::int64_t{plan.layout.dp} * plan.micro_batch;
  if (job.run.global_batch % per_round != 0) {
    add(faults, "batch", "dp {} * micro-batch {} = {} does not divide the global batch of {}", plan.layout.dp,
        plan.micro_batch, per_round, job.run.global_batch);
    return;
  }
  check_micro_batches(plan, job.run.global_batch / per_round, faults);
}

/// Source: TransformerEngine, context_parallel.py: the gather of keys and values asserts that sequences are
/// not packed (qkv_format thd); Megatron-Core's PackedSeqParams go round the ring, each document in an early
/// and a late part a rank.
void check_documents(const Job& job, const PlanSpec& plan, Faults& faults) {
  if (!job.run.documents || plan.layout.cp == 1) return;
  const bool gathers = plan.cp_comm() == ContextExchange::kAllGather;
  if (gathers || (plan.cp_ring() > 1 && plan.cp_heads() > 1))
    add(faults, "documents-cp", "cp_comm_type {} with packed documents: {}; expected p2p or a2a",
        name(plan.cp_comm()),
        gathers ? "TransformerEngine gathers keys and values of whole sequences alone" : "not modelled");
}

void check_sequence(const Job& job, const PlanSpec& plan, Faults& faults) {
  const ParallelLayout& l = plan.layout;
  check_documents(job, plan, faults);
  // Causal balance: every context-parallel rank takes one early and one late part of the sequence.
  if (l.cp > 1 && job.run.seq_len % (2 * l.cp) != 0)
    add(faults, "cp-divides-sequence", "2 * cp {} does not divide the sequence of {}", l.cp, job.run.seq_len);
  if (l.sequence_parallel && job.run.seq_len / l.cp % l.tp != 0)
    add(faults, "tp-divides-sequence", "tp {} does not divide the {} tokens of a sequence shard", l.tp,
        job.run.seq_len / l.cp);
  const std::int64_t tokens = job.run.seq_len * plan.micro_batch / (std::int64_t{l.cp} * l.tp);
  const int chunks = most_chunks(plan);
  if (chunks > 1 && tokens < chunks) add(faults, "chunks", "{} chunks of {} tokens", chunks, tokens);
}

/// Rules of TransformerEngine's context parallelism (transformer_engine/pytorch/attention,
/// attn_forward_func_with_cp): heads and query groups divide where heads are exchanged, and no window goes
/// round a ring.
void check_context_exchange(const Job& job, const PlanSpec& plan, Faults& faults) {
  if (!plan.stated_cp_comm) return;
  const ModelSpec& m = job.model;
  const ParallelLayout& l = plan.layout;
  const std::string_view word = name(*plan.stated_cp_comm);
  if (l.cp == 1)
    return add(faults, "cp-comm", "cp_comm_type {} with cp 1: there is nothing to exchange", word);
  if (*plan.stated_cp_comm == ContextExchange::kAllToAllP2p) {
    const int inner = plan.cp_a2a_size;
    if (inner < 2 || inner >= l.cp || l.cp % inner != 0)
      return add(faults, "cp-a2a-size",
                 "cp_a2a_size {}: expected a divisor of cp {}, more than 1 and less than cp", inner, l.cp);
  }
  const int split = l.tp * plan.cp_heads();
  if (plan.cp_heads() > 1 && m.heads % split != 0)
    add(faults, "cp-divides-heads",
        "cp_comm_type {} exchanges heads: tp {} * {} ranks does not divide {} attention heads", word, l.tp,
        plan.cp_heads(), m.heads);
  if (plan.cp_heads() > 1 && !m.is_mla() && m.kv_heads % split != 0)
    add(faults, "cp-divides-heads",
        "cp_comm_type {} exchanges heads: tp {} * {} ranks does not divide {} key-value heads", word, l.tp,
        plan.cp_heads(), m.kv_heads);
  const bool windowed = std::any_of(m.layers.begin(), m.layers.end(), [&](const LayerSpec& layer) {
    return layer.window > 0 && layer.window < job.run.seq_len;
  });
  const bool rings =
      *plan.stated_cp_comm == ContextExchange::kP2p || *plan.stated_cp_comm == ContextExchange::kAllToAllP2p;
  if (windowed && rings)
    add(faults, "cp-window", "cp_comm_type {} with attention windows: expected all_gather or a2a", word);
}

void check_widths(const Job& job, const PlanSpec& plan, Faults& faults) {
  const ModelSpec& m = job.model;
  const ParallelLayout& l = plan.layout;
  if (m.heads % l.tp != 0)
    add(faults, "tp-divides-heads", "tp {} does not divide {} attention heads", l.tp, m.heads);
  if (!m.is_mla() && m.kv_heads % l.tp != 0 && l.tp % m.kv_heads != 0)
    add(faults, "tp-divides-kv-heads", "tp {} and {} key-value heads do not divide each other", l.tp,
        m.kv_heads);
  if (m.dense_ffn % l.tp != 0)
    add(faults, "tp-divides-ffn", "tp {} does not divide the dense width {}", l.tp, m.dense_ffn);
  if (m.shared_ffn % l.tp != 0)
    add(faults, "tp-divides-ffn", "tp {} does not divide the shared experts' width {}", l.tp, m.shared_ffn);
  if (m.expert_ffn % l.etp != 0)
    add(faults, "etp-divides-ffn", "etp {} does not divide the experts' width {}", l.etp, m.expert_ffn);
}

void check_dispatcher(const Job& job, const PlanSpec& plan, Faults& faults) {
  if (!removes_duplicates(plan.dispatcher)) return;
  if (plan.layout.etp > 1)
    add(faults, "etp-dispatcher",
        "dispatcher {} with etp {}: only dispatchers that send every copy are simulated with expert tensor "
        "parallelism",
        name(plan.dispatcher), plan.layout.etp);
  const auto& table = job.profile.data().expert_parallel;
  const EpLibrary library =
      plan.dispatcher == Dispatcher::kHybridEp ? EpLibrary::kHybridEp : EpLibrary::kDeepEp;
  if (table.find(library, EpOperation::kDispatch) == nullptr ||
      table.find(library, EpOperation::kCombine) == nullptr)
    add(faults, "dispatcher-profile", "dispatcher {}, but profile {} has no constants of it",
        name(plan.dispatcher), job.profile.name());
  if (job.cluster.nvlink_domain() < 2 && job.cluster.gpus_per_node() > 1)
    add(faults, "dispatcher-nvlink", "dispatcher {} needs NVLink between the GPUs of a node",
        name(plan.dispatcher));
  if (plan.dispatcher_sms >= job.profile.sm_count())
    add(faults, "dispatcher-sms", "dispatcher on {} SMs, the GPU has {}", plan.dispatcher_sms,
        job.profile.sm_count());
}

void check_experts(const Job& job, const PlanSpec& plan, Faults& faults) {
  const ModelSpec& m = job.model;
  const ParallelLayout& l = plan.layout;
  if (!m.is_moe()) {
    if (l.ep > 1 || l.etp > 1)
      add(faults, "no-experts", "ep {} and etp {}, but the model has no experts", l.ep, l.etp);
    return;
  }
  if (plan.placement.is_contiguous() && m.experts % l.ep != 0)
    add(faults, "ep-divides-experts", "ep {} does not divide {} experts", l.ep, m.experts);
  check_dispatcher(job, plan, faults);
  if (l.tp > 1 && !l.sequence_parallel)
    add(faults, "moe-needs-sequence-parallel", "tp {} with experts needs sequence parallelism", l.tp);
}

void check_placement(const Job& job, const PlanSpec& plan, Faults& faults) {
  const auto& rows = plan.placement.slots;
  if (rows.empty()) return;
  if (static_cast<int>(rows.size()) != job.model.moe_layers()) {
    return add(faults, "placement-layers", "the placement has {} layers, the model {} MoE layers",
               rows.size(), job.model.moe_layers());
  }
  std::vector<char> seen(static_cast<std::size_t>(std::max(job.model.experts, 1)));
  for (std::size_t layer = 0; layer < rows.size(); ++layer) {
    if (rows[layer].size() % static_cast<std::size_t>(plan.layout.ep) != 0) {
      return add(faults, "ep-divides-slots", "ep {} does not divide the {} slots of MoE layer {}",
                 plan.layout.ep, rows[layer].size(), layer);
    }
    std::fill(seen.begin(), seen.end(), 0);
    for (const std::int32_t expert : rows[layer]) {
      if (expert < 0 || expert >= job.model.experts)
        return add(faults, "placement-expert", "MoE layer {} places expert {}, the model has {}", layer,
                   expert, job.model.experts);
      seen[static_cast<std::size_t>(expert)] = 1;
    }
    const auto missing = std::find(seen.begin(), seen.end(), 0);
    if (missing != seen.end())
      return add(faults, "placement-complete", "MoE layer {} has no slot for expert {}", layer,
                 missing - seen.begin());
  }
}

void check_split(const Job& job, const PlanSpec& plan, Faults& faults) {
  const int layers = static_cast<int>(job.model.layers.size());
  const int chunks = plan.layout.pp * plan.layout.vp;
  const bool stated = !plan.split.layers_per_chunk.empty();
  if (!stated && layers < chunks)
    return add(faults, "layers", "{} layers in pp {} * vp {} = {} chunks", layers, plan.layout.pp,
               plan.layout.vp, chunks);
  if (!stated) return;
  const std::vector<int>& split = plan.split.layers_per_chunk;
  if (static_cast<int>(split.size()) != chunks)
    return add(faults, "split-chunks", "the split has {} chunks, expected pp {} * vp {} = {}", split.size(),
               plan.layout.pp, plan.layout.vp, chunks);
  const std::int64_t sum = std::accumulate(split.begin(), split.end(), std::int64_t{0});
  if (sum != layers) add(faults, "split-layers", "the split has {} layers, the model {}", sum, layers);
  // The first chunk holds the embedding and the last the loss: they may stand without layers.
  for (int c = 0; c < chunks; ++c) {
    const bool end = c == 0 || c == chunks - 1;
    if (split[static_cast<std::size_t>(c)] < (end ? 0 : 1))
      return add(faults, "split-empty", "chunk {} has {} layers", c, split[static_cast<std::size_t>(c)]);
  }
}

void check_data_parallel(const PlanSpec& plan, Faults& faults) {
  const ParallelLayout& l = plan.layout;
  const DataParallel sharding = plan.data_parallel();
  // DeepSpeed's PipelineEngine asserts a ZeRO stage below 2; how the FSDPs keep or drop gathered layers
  // between the passes of a pipeline is not simulated.
  if (shards_gradients(sharding) && l.pp > 1)
    add(faults, "sharding-pipeline",
        "data_parallel {} with pp {}: gradients that are shards are reduced behind every "
        "micro-batch, which is simulated without a pipeline alone; expected pp 1, or none or zero1",
        name(sharding), l.pp);
  if (shards_gradients(sharding) && plan.overlap.all_to_all)
    add(faults, "sharding-overlap",
        "data_parallel {} with all-to-alls under another micro-batch: gathers and reductions beside pairs of "
        "passes "
        "are not simulated; expected none or zero1",
        name(sharding));
  if (sharding != DataParallel::kHsdp) {
    if (plan.shard_group != 0)
      add(faults, "shard-group", "shard_group {} with data_parallel {}, expected hsdp", plan.shard_group,
          name(sharding));
    return;
  }
  const int ranks = l.dp * l.cp;
  if (plan.shard_group < 2 || plan.shard_group >= ranks || ranks % plan.shard_group != 0)
    add(faults, "shard-group",
        "hsdp in groups of {}: expected a divisor of the dp * cp = {} ranks, more than 1 and fewer than all "
        "(fsdp)",
        plan.shard_group, ranks);
  else if (std::int64_t{plan.shard_group} * l.tp % (std::int64_t{l.ep} * l.etp) != 0)
    add(faults, "shard-group-experts",
        "etp {} * ep {} does not divide shard_group {} * tp {}: a shard group has to hold all experts", l.etp,
        l.ep, plan.shard_group, l.tp);
}

void check_recompute(const Job& job, const PlanSpec& plan, Faults& faults) {
  if (plan.recompute.has(RecomputeModule::kMlaUpProj) && !job.model.is_mla())
    add(faults, "recompute-module", "mla_up_proj recompute, but the model has no MLA");
  for (const RecomputeModule module : {RecomputeModule::kMoeAct, RecomputeModule::kMoe}) {
    if (plan.recompute.has(module) && !job.model.is_moe())
      add(faults, "recompute-module", "{} recompute, but the model has no experts", name(module));
  }
  if (plan.recompute.has(RecomputeModule::kSharedExperts) && job.model.shared_ffn == 0)
    add(faults, "recompute-module", "shared_experts recompute, but the model has none");
}

/// Megatron-Core's TransformerConfig refuses these beside cpu_offloading, but for the last three, which are
/// ours.
void check_offload(const Job& job, const PlanSpec& plan, Faults& faults) {
  if (!plan.offload.any()) return;
  const auto layers = static_cast<int>(job.model.layers.size());
  if (plan.offload.layers >= layers)
    add(faults, "offload-layers",
        "cpu_offloading_num_layers {} with num_layers {}: expected fewer, the activations of the last layer "
        "stay",
        plan.offload.layers, layers);
  if (plan.layout.pp > 1)
    add(faults, "offload-pipeline", "cpu_offloading with pipeline_model_parallel_size {}: expected 1",
        plan.layout.pp);
  if (plan.recompute.mode != RecomputeMode::kNone)
    add(faults, "offload-recompute", "cpu_offloading with recompute_granularity {}: expected none",
        name(plan.recompute.mode));
  if (job.run.graph.attention || job.run.graph.router)
    add(faults, "offload-graph", "cpu_offloading with CUDA graphs of parts of a layer: expected none");
  if (plan.schedule() != PipelineSchedule::kOneForwardOneBackward)
    add(faults, "offload-schedule", "offload with schedule {}: expected 1f1b, one micro-batch at a time",
        name(plan.schedule()));
  if (plan.overlap.all_to_all)
    add(faults, "offload-overlap",
        "offload with all-to-alls under another micro-batch: copies of two micro-batches at once are not "
        "simulated");
  if (!job.profile.data().host_copy)
    add(faults, "offload-host-copy",
        "offload, but profile {} does not say how fast copies to and from the host are (section host_copy)",
        job.profile.name());
}

bool is_one_forward_one_backward(PipelineSchedule schedule) {
  return schedule == PipelineSchedule::kOneForwardOneBackward || schedule == PipelineSchedule::kInterleaved;
}

/// Two ways to hide the same all-to-alls, and what either needs.
void check_shared_overlap(const Job& job, const PlanSpec& plan, Faults& faults) {
  if (!plan.overlap.shared_experts) return;
  constexpr const char* kRule = "overlap-shared-experts";
  if (job.model.moe_layers() == 0 || job.model.shared_ffn == 0)
    add(faults, kRule, "shared experts beside the all-to-alls, but the model has no shared experts");
  if (most_chunks(plan) > 1)
    add(faults, kRule,
        "shared experts beside the all-to-alls are not simulated with token chunks: expected chunk_degree 1, "
        "found {}",
        most_chunks(plan));
  if (plan.overlap.all_to_all)
    add(faults, kRule,
        "all-to-alls hide under another micro-batch or under shared experts, expected one of shared_experts "
        "and "
        "all_to_all");
  if (splits_backward(plan.schedule()))
    add(faults, kRule,
        "shared experts beside the all-to-alls are not simulated with schedule {}, whose backward is in "
        "halves",
        name(plan.schedule()));
  if (plan.recompute.has(RecomputeModule::kSharedExperts))
    add(faults, kRule,
        "shared experts beside the all-to-alls keep their activations, found shared_experts recompute");
}

void check_all_to_all_overlap(const Job& job, const PlanSpec& plan, Faults& faults) {
  if (plan.overlap.delay_weight_gradients && !plan.overlap.all_to_all)
    add(faults, "overlap-weight-gradients", "weight gradients are delayed in pairs of micro-batches only");
  if (!plan.overlap.all_to_all) return;
  constexpr const char* kRule = "overlap-all-to-all";
  if (job.model.moe_layers() == 0 || plan.layout.ep == 1)
    add(faults, kRule, "all-to-alls under another micro-batch need experts on several ranks, found ep {}",
        plan.layout.ep);
  if (!is_one_forward_one_backward(plan.schedule()))
    add(faults, kRule,
        "all-to-alls under another micro-batch belong to schedules 1f1b and interleaved, found {}{}",
        name(plan.schedule()),
        overlaps_passes(plan.schedule()) ? ", which pairs forwards and backwards by itself" : "");
  if (most_chunks(plan) > 1)
    add(faults, kRule,
        "all-to-alls under another micro-batch are not simulated with token chunks: expected chunk_degree 1, "
        "found {}",
        most_chunks(plan));
}

void check_tile_fused(const Job& job, const PlanSpec& plan, Faults& faults) {
  if (!plan.overlap.tile_fused) return;
  constexpr const char* kRule = "overlap-tile-fused";
  if (job.model.moe_layers() == 0 || plan.layout.ep == 1)
    add(faults, kRule, "experts fused with their all-to-alls need experts on several ranks, found ep {}",
        plan.layout.ep);
  if (plan.dispatcher != Dispatcher::kFlat)
    add(faults, kRule,
        "experts fused with their all-to-alls send copies themselves: expected dispatcher flat, found {}",
        name(plan.dispatcher));
  if (plan.layout.etp > 1)
    add(faults, kRule, "experts fused with their all-to-alls are whole on a rank: expected etp 1, found {}",
        plan.layout.etp);
  if (most_chunks(plan) > 1)
    add(faults, kRule,
        "experts fused with their all-to-alls are cut in tiles: expected chunk_degree 1, found {}",
        most_chunks(plan));
  if (plan.overlap.shared_experts || plan.overlap.all_to_all)
    add(faults, kRule,
        "experts fused with their all-to-alls leave none to hide: expected neither shared_experts nor "
        "all_to_all");
  if (splits_backward(plan.schedule()))
    add(faults, kRule,
        "experts fused with their all-to-alls are not simulated with schedule {}, whose backward is in "
        "halves",
        name(plan.schedule()));
}

/// Degrees below one would divide by zero in every other rule.
bool has_degrees(const PlanSpec& plan, Faults& faults) {
  const ParallelLayout& l = plan.layout;
  const int least = std::min({l.tp, l.pp, l.vp, l.cp, l.ep, l.etp, l.dp, l.edp, plan.micro_batch,
                              plan.chunk_degree, plan.backward_chunks()});
  if (least < 1)
    add(faults, "degrees",
        "every degree of parallelism, the micro-batch and the chunks are at least 1, found {}", least);
  return least >= 1;
}

/// A captured step cannot branch on what the host reads.
void check_graph(const Job& job, const PlanSpec& plan, Faults& faults) {
  if (!job.run.graph.whole_step || !job.model.is_moe() || plan.layout.ep < 2) return;
  if (job.run.gate == GatePolicy::kDropless && plan.dispatcher != Dispatcher::kHybridEp)
    add(faults, "whole-step-graph",
        "cuda_graph whole_step with a dropless gate: dispatcher {} has the host read the tokens per expert, "
        "expected hybridep "
        "(or a capacity gate)",
        name(plan.dispatcher));
}

}  // namespace

std::vector<PlanFault> find_faults(const Job& job, const PlanSpec& plan) {
  Faults faults;
  if (!has_degrees(plan, faults)) return faults;
  check_grids(job, plan, faults);
  check_schedule(plan, faults);
  check_batch(job, plan, faults);
  check_sequence(job, plan, faults);
  check_context_exchange(job, plan, faults);
  check_widths(job, plan, faults);
  check_experts(job, plan, faults);
  check_placement(job, plan, faults);
  check_split(job, plan, faults);
  check_recompute(job, plan, faults);
  check_offload(job, plan, faults);
  check_data_parallel(plan, faults);
  check_shared_overlap(job, plan, faults);
  check_all_to_all_overlap(job, plan, faults);
  check_tile_fused(job, plan, faults);
  check_graph(job, plan, faults);
  return faults;
}

}  // namespace moeplan::sim
