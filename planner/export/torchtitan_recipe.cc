#include "planner/export/torchtitan_recipe.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/json_writer.h"
#include "planner/export/fault_list.h"

namespace moeplan::planner {

namespace {

using sim::NumberFormat;
using sim::PipelineSchedule;

/// torch.distributed.pipelining's name; empty: it has no such schedule.
std::string_view schedule_name(PipelineSchedule schedule) {
  switch (schedule) {
    case PipelineSchedule::kGpipe:
      return "GPipe";
    case PipelineSchedule::kOneForwardOneBackward:
      return "1F1B";
    case PipelineSchedule::kInterleaved:
      return "Interleaved1F1B";
    case PipelineSchedule::kZeroBubbleV:
      return "ZBVZeroBubble";
    case PipelineSchedule::kDualPipeV:
      return "DualPipeV";
    case PipelineSchedule::kZeroBubbleH1:
    case PipelineSchedule::kDualPipe:
      break;
  }
  return "";
}

/// Ranks that hold shares of one copy of the dense weights (dp_shard), and copies of it (dp_replicate).
struct Shards {
  int shard = 1;
  int replicate = 1;
};

Shards shards_of(const sim::PlanSpec& plan) {
  const sim::ParallelLayout& l = plan.layout;
  if (plan.data_parallel() == sim::DataParallel::kNone) return {1, l.dp};
  if (plan.data_parallel() != sim::DataParallel::kHsdp) return {l.dp, 1};
  const int shard = std::max(1, plan.shard_group / l.cp);
  return {shard, l.dp / shard};
}

void check_layout(const PlanContext& c, const sim::PlanSpec& plan, FaultList& f) {
  const sim::ParallelLayout& l = plan.layout;
  const Shards shards = shards_of(plan);
  f.require(l.world() == c.gpus, "world-divides", fmt::format("a plan of {} GPUs on {}", l.world(), c.gpus));
  f.require(l.etp == 1, "expert-tensor-parallel",
            fmt::format("ETP {}: torchtitan has no tensor parallelism inside experts", l.etp));
  f.require(plan.shard_group % l.cp == 0 && shards.shard * shards.replicate == l.dp, "shard-group",
            fmt::format("shard_group {} is no multiple of CP {} that divides DP x CP {}", plan.shard_group,
                        l.cp, l.dp * l.cp));
  const int sparse = shards.shard * l.cp * l.tp;
  f.require(sparse % l.ep == 0, "ep-divides-shards",
            fmt::format("EP {} does not divide dp_shard {} x CP {} x TP {}", l.ep, shards.shard, l.cp, l.tp));
  f.require(l.ep == 1 || (c.model.is_moe() && c.model.experts % l.ep == 0), "ep-divides-experts",
            fmt::format("EP {} does not divide {} experts", l.ep, c.model.experts));
  f.require(c.run.seq_len % (std::int64_t{l.tp} * 2 * l.cp) == 0, "sequence-divides",
            fmt::format("sequence length {} is no multiple of TP {} x 2 x CP {}", c.run.seq_len, l.tp, l.cp));
  f.require(l.cp == 1 || plan.cp_comm() == sim::ContextExchange::kAllGather ||
                plan.cp_comm() == sim::ContextExchange::kP2p,
            "context-exchange",
            fmt::format("cp_comm_type {}: context_parallel_rotate_method is allgather or alltoall (a ring)",
                        sim::name(plan.cp_comm())));
  f.require(
      plan.data_parallel() != sim::DataParallel::kNone || l.cp == 1, "context-shards",
      fmt::format("CP {} without sharding: torchtitan shards weights over context-parallel ranks", l.cp));
}

void check_pipeline(const PlanContext& c, const sim::PlanSpec& plan, FaultList& f) {
  const sim::ParallelLayout& l = plan.layout;
  const std::int64_t batch = std::int64_t{l.dp} * plan.micro_batch;
  f.require(c.run.global_batch % batch == 0, "batch-divides",
            fmt::format("global batch {} is not a multiple of DP {} x micro-batch {}", c.run.global_batch,
                        l.dp, plan.micro_batch));
  f.require(l.pp == 1 || !schedule_name(plan.schedule()).empty(), "schedule",
            fmt::format("schedule {}: torch.distributed.pipelining has no such schedule",
                        sim::name(plan.schedule())));
  f.require(c.model.mtp_layers == 0, "mtp",
            fmt::format("{} MTP blocks: torchtitan's models have none", c.model.mtp_layers));
}

void check_job(const PlanContext& c, FaultList& f) {
  const sim::PrecisionRecipe& p = c.run.precision;
  f.require(
      p.gemm == NumberFormat::kBf16 || p.gemm == NumberFormat::kFp32, "precision",
      fmt::format(
          "matrix products in {}: low precision is a converter of the model, which a recipe has to build",
          sim::name(p.gemm)));
  f.require(p.gradient_reduce == NumberFormat::kFp32, "gradient-format",
            fmt::format("gradients reduced in {}: mixed_precision_reduce is float32 alone",
                        sim::name(p.gradient_reduce)));
  f.require(c.run.gate != sim::GatePolicy::kCapacity, "gate",
            "a capacity factor: torchtitan drops no tokens");
}

/// One line `config.SECTION.KEY = VALUE` of the function.
class Lines {
 public:
  template <class T>
  void set(const char* path, const T& value) {
    text += fmt::format("    config.{} = {}\n", path, value);
  }
  void word(const char* path, std::string_view value) { set(path, base::json_quote(value)); }
  std::string text;
};

/// Modules of each virtual stage, by torchtitan's names.
std::string module_names(const sim::StageSplit& split) {
  std::vector<std::string> stages;
  int layer = 0;
  for (std::size_t c = 0; c < split.layers_per_chunk.size(); ++c) {
    std::vector<std::string> modules;
    if (c == 0) modules.emplace_back("\"tok_embeddings\"");
    for (int i = 0; i < split.layers_per_chunk[c]; ++i)
      modules.push_back(fmt::format("\"layers.{}\"", layer++));
    if (c + 1 == split.layers_per_chunk.size()) {
      // Names that a model does not have keep nothing; the output is called one or the other.
      modules.insert(modules.end(), {"\"norm\"", "\"output\"", "\"lm_head\""});
    }
    stages.push_back(fmt::format("[{}]", fmt::join(modules, ", ")));
  }
  return fmt::format("[\n        {},\n    ]", fmt::join(stages, ",\n        "));
}

void write_pipeline(const PlanContext& c, const sim::PlanSpec& plan, Lines& out) {
  const sim::ParallelLayout& l = plan.layout;
  out.set("parallelism.pipeline_parallel_degree", l.pp);
  if (l.pp == 1) return;
  const auto layers = static_cast<int>(c.model.layers.size());
  out.word("parallelism.pipeline_parallel_schedule", schedule_name(plan.schedule()));
  out.set("parallelism.pipeline_parallel_microbatch_size", plan.micro_batch);
  if (plan.split.layers_per_chunk.empty() && layers % (l.pp * l.vp) == 0) {
    out.set("parallelism.pipeline_parallel_first_stage_less_layers", 0);
    out.set("parallelism.pipeline_parallel_last_stage_less_layers", 0);
    out.set("parallelism.pipeline_parallel_layers_per_stage", layers / (l.pp * l.vp));
  } else {
    out.set(
        "parallelism.module_fqns_per_model_part",
        module_names(plan.split.layers_per_chunk.empty() ? sim::even_split(layers, l.pp, l.vp) : plan.split));
  }
}

void write_sharding(const sim::PlanSpec& plan, Lines& out) {
  const Shards shards = shards_of(plan);
  out.set("parallelism.data_parallel_replicate_degree", shards.replicate);
  out.set("parallelism.data_parallel_shard_degree", shards.shard);
  out.word("parallelism.fsdp_reshard_after_forward",
           sim::shards_parameters(plan.data_parallel()) ? "always" : "never");
}

/// A word in the releases before 0.3, a policy or None since.
void write_checkpointing(sim::RecomputeMode mode, Lines& out) {
  const bool none = mode == sim::RecomputeMode::kNone;
  const char* policy = mode == sim::RecomputeMode::kFull ? "FullAC" : "SelectiveAC";
  out.text += fmt::format(
      "    if hasattr(config.activation_checkpoint, \"mode\"):\n"
      "        config.activation_checkpoint.mode = \"{}\"\n"
      "    else:\n",
      sim::name(mode));
  if (none) {
    out.text += "        config.activation_checkpoint = None\n";
  } else {
    out.text += fmt::format(
        "        from torchtitan.distributed.activation_checkpoint import {}\n"
        "        config.activation_checkpoint = {}.Config()\n",
        policy, policy);
  }
}

void remark_on_sharding(const sim::PlanSpec& plan, std::vector<ExportRemark>& remarks) {
  const bool alone = plan.layout.dp * plan.layout.cp == 1 && plan.layout.edp == 1;
  if (plan.data_parallel() != sim::DataParallel::kZero1 || alone) return;
  remarks.push_back(
      {std::string(name(PlanPart::kSharding)), "zero1",
       "other form: FSDP without resharding, which gathers parameters in the first forward and keeps them; "
       "gradients are reduced behind every micro-batch"});
}

void remark_on_recompute(const sim::PlanSpec& plan, std::vector<ExportRemark>& remarks) {
  if (plan.recompute.mode != sim::RecomputeMode::kSelective) return;
  std::vector<std::string_view> modules;
  for (const sim::RecomputeModule module : plan.recompute.modules) modules.push_back(sim::name(module));
  remarks.push_back(
      {std::string(name(PlanPart::kRecompute)), fmt::format("selective [{}]", fmt::join(modules, ", ")),
       "other form: mode selective, with torchtitan's own choice of operators and not these modules"});
}

}  // namespace

std::vector<sim::PlanFault> find_torchtitan_faults(const PlanContext& c, const sim::PlanSpec& plan) {
  FaultList f;
  check_layout(c, plan, f);
  check_pipeline(c, plan, f);
  check_job(c, f);
  require_permutation(c.model, plan.placement, "torchtitan holds each expert once", f);
  return f.found;
}

std::string write_torchtitan_recipe(const PlanContext& c, const sim::PlanSpec& plan,
                                    std::vector<ExportRemark>& remarks) {
  const sim::ParallelLayout& l = plan.layout;
  Lines out;
  write_sharding(plan, out);
  out.set("parallelism.tensor_parallel_degree", l.tp);
  out.set("parallelism.enable_sequence_parallel", l.sequence_parallel ? "True" : "False");
  out.set("parallelism.context_parallel_degree", l.cp);
  if (l.cp > 1)
    out.word("parallelism.context_parallel_rotate_method",
             plan.cp_comm() == sim::ContextExchange::kP2p ? "alltoall" : "allgather");
  out.set("parallelism.expert_parallel_degree", l.ep);
  write_pipeline(c, plan, out);
  const std::int64_t per_replica = c.run.global_batch / l.dp;
  out.set("training.local_batch_size", l.pp > 1 ? per_replica : std::int64_t{plan.micro_batch});
  out.set("training.global_batch_size", c.run.global_batch);
  out.set("training.seq_len", c.run.seq_len);
  out.word("training.mixed_precision_param",
           c.run.precision.gemm == NumberFormat::kFp32 ? "float32" : "bfloat16");
  out.word("training.mixed_precision_reduce", "float32");
  write_checkpointing(plan.recompute.mode, out);
  if (c.run.gate == sim::GatePolicy::kForceBalanced) out.set("debug.moe_force_load_balance", "True");
  remark_on_sharding(plan, remarks);
  remark_on_recompute(plan, remarks);
  return fmt::format(
      "# {} on {} GPUs: {}\n"
      "# In a recipe of that model: from planned import apply; return apply(config).\n"
      "\n"
      "\n"
      "def apply(config):\n"
      "{}"
      "    return config\n",
      c.model.name, c.gpus, sim::short_name(plan), out.text);
}

}  // namespace moeplan::planner
