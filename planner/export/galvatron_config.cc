#include "planner/export/galvatron_config.h"

#include <numeric>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/json_writer.h"
#include "planner/export/fault_list.h"

namespace moeplan::planner {

namespace {

/// The value of every layer as Galvatron writes it: "2,2,2".
std::string each_layer(std::size_t layers, int value) {
  return fmt::format("{}", fmt::join(std::vector<int>(layers, value), ","));
}

const char* dp_type(sim::DataParallel sharding) {
  if (sharding == sim::DataParallel::kNone) return "ddp";
  return sim::shards_parameters(sharding) ? "zero3" : "zero2";
}

void check_layout(const PlanContext& c, const sim::PlanSpec& plan, FaultList& f) {
  const sim::ParallelLayout& l = plan.layout;
  f.require(l.world() == c.gpus, "world-divides", fmt::format("a plan of {} GPUs on {}", l.world(), c.gpus));
  f.require(l.vp == 1, "virtual-stages",
            fmt::format("VP {}: Galvatron's pipelines have one stage a rank", l.vp));
  f.require(l.pp == 1 || plan.schedule() == sim::PipelineSchedule::kOneForwardOneBackward ||
                plan.schedule() == sim::PipelineSchedule::kGpipe,
            "schedule",
            fmt::format("schedule {}: pipeline_type is pipedream_flush (1F1B) or gpipe",
                        sim::name(plan.schedule())));
  f.require(l.ep == 1 || (c.model.is_moe() && c.model.experts % l.ep == 0), "ep-divides-experts",
            fmt::format("EP {} does not divide {} experts", l.ep, c.model.experts));
  f.require(plan.data_parallel() != sim::DataParallel::kHsdp, "sharding",
            "hsdp: Galvatron shares out over all data-parallel ranks");
  f.require(l.cp == 1 || plan.cp_comm() == sim::ContextExchange::kP2p, "context-exchange",
            fmt::format("cp_comm_type {}: Galvatron's context parallelism is a ring (p2p)",
                        sim::name(plan.cp_comm())));
  f.require(plan.recompute.mode != sim::RecomputeMode::kSelective, "recompute",
            "selective recompute: checkpoint is on or off for a whole layer");
}

void check_batch(const PlanContext& c, const sim::PlanSpec& plan, FaultList& f) {
  const std::int64_t batch = std::int64_t{plan.layout.dp} * plan.micro_batch;
  f.require(c.run.global_batch % batch == 0, "batch-divides",
            fmt::format("global batch {} is not a multiple of DP {} x micro-batch {}", c.run.global_batch,
                        plan.layout.dp, plan.micro_batch));
  const auto& split = plan.split.layers_per_chunk;
  f.require(split.empty() ||
                (static_cast<int>(split.size()) == plan.layout.pp &&
                 std::accumulate(split.begin(), split.end(), 0) == static_cast<int>(c.model.layers.size())),
            "layout-adds-up",
            fmt::format("the split [{}] is no division of {} layers", fmt::join(split, ", "),
                        c.model.layers.size()));
  f.require(c.model.mtp_layers == 0, "mtp",
            fmt::format("{} MTP blocks: Galvatron's models have none", c.model.mtp_layers));
}

}  // namespace

std::vector<sim::PlanFault> find_galvatron_faults(const PlanContext& c, const sim::PlanSpec& plan) {
  FaultList f;
  check_layout(c, plan, f);
  check_batch(c, plan, f);
  require_permutation(c.model, plan.placement, "Galvatron holds each expert once", f);
  return f.found;
}

std::string write_galvatron_config(const PlanContext& c, const sim::PlanSpec& plan,
                                   std::vector<ExportRemark>& remarks) {
  const sim::ParallelLayout& l = plan.layout;
  const std::size_t layers = c.model.layers.size();
  const sim::StageSplit split =
      plan.split.layers_per_chunk.empty() ? sim::even_split(static_cast<int>(layers), l.pp, 1) : plan.split;
  const bool zero3 = sim::shards_parameters(plan.data_parallel());
  base::JsonWriter json;
  json.begin_object();
  json.field("pp_deg", l.pp);
  json.field("tp_sizes_enc", each_layer(layers, l.tp));
  json.field("tp_consecutive_flags", each_layer(layers, 1));
  json.field("cp_sizes_enc", each_layer(layers, l.cp));
  json.field("dp_types_enc", each_layer(layers, zero3 ? 1 : 0));
  json.field("use_sp", each_layer(layers, 0));
  json.field("checkpoint", each_layer(layers, plan.recompute.mode == sim::RecomputeMode::kFull ? 1 : 0));
  json.field("global_bsz", c.run.global_batch);
  json.field("chunks", sim::micro_batches(plan, c.run.global_batch));
  json.field("pp_division", fmt::format("{}", fmt::join(split.layers_per_chunk, ",")));
  json.field("pipeline_type", plan.schedule() == sim::PipelineSchedule::kGpipe ? "gpipe" : "pipedream_flush");
  json.field("default_dp_type", dp_type(plan.data_parallel()));
  json.field("vtp", l.tp);
  json.field("vsp", 0);
  json.field("ep_sizes_enc", each_layer(layers, l.ep));
  json.field("tp_of_ep_sizes_enc", each_layer(layers, l.etp));
  json.end_object();
  if (plan.data_parallel() == sim::DataParallel::kZero1 && (l.dp * l.cp > 1 || l.edp > 1))
    remarks.push_back({std::string(name(PlanPart::kSharding)), "zero1",
                       "other form: zero2, which reduces gradients behind every micro-batch; Galvatron has "
                       "ddp, zero2 and zero3"});
  return json.text();
}

}  // namespace moeplan::planner
