#include <iterator>

#include <fmt/format.h>

#include "planner/export/fastmoe_files.h"

namespace moeplan::planner {

namespace {

Exported write_fastmoe(const ExportJob& job) {
  const PlanContext context{*job.model, *job.run, job.plan.layout.world()};
  refuse_faults("FastMoE cannot run this plan", find_fastmoe_faults(context, job.plan));
  Exported out;
  out.files = {{"fastmoe.sh", write_fastmoe_script(context, job.plan, job.gpus_per_node, out.not_expressed),
                "FMOE_* variables and SmartMoE's Megatron flags, to be sourced"},
               {"smartmoe-mapping.json", write_smartmoe_mapping(job.plan, *job.model),
                "slot of each expert, layer by layer"}};
  out.next.emplace_back(
      "source fastmoe.sh and give \"${FASTMOE_ARGS[@]}\" to pretrain_gpt.py, with the model's own arguments");
  if (!job.plan.placement.is_contiguous())
    out.next.emplace_back(
        "no release loads a mapping from a file: call update_expert_mapping() with each layer's row, or "
        "permute the checkpoint");
  if (job.plan.recompute.mode != sim::RecomputeMode::kNone)
    out.next.emplace_back(
        "switch activation checkpointing on: its flag differs between the Megatron-LM releases that FastMoE "
        "patches");
  if (job.loads != nullptr && job.plan.layout.pp == 1) {
    std::vector<ExportFile> tables = write_gate_tables(context, job.plan, *job.loads, 0);
    out.files.insert(out.files.end(), std::make_move_iterator(tables.begin()),
                     std::make_move_iterator(tables.end()));
    out.next.emplace_back(
        "to replay the load, run with --balance-strategy file and TABLE_FILE=gate-tables/table_iter0");
  } else if (job.loads != nullptr) {
    out.not_expressed.push_back(
        {"load", job.loads->description(), "left out: gate tables are written for PP 1"});
  }
  return out;
}

}  // namespace

ExportTarget fastmoe_target() {
  ExportTarget target;
  target.name = "fastmoe";
  target.what = "FasterMoE variables, SmartMoE flags, mapping and gate tables";
  target.needs_model = target.needs_run = target.launches = target.takes_loads = true;
  target.expresses = {PlanPart::kTensorParallel, PlanPart::kPipeline,
                      PlanPart::kVirtualStages,  PlanPart::kSchedule,
                      PlanPart::kStageSplit,     PlanPart::kContextParallel,
                      PlanPart::kExpertParallel, PlanPart::kExpertTensorParallel,
                      PlanPart::kDataParallel,   PlanPart::kMicroBatch,
                      PlanPart::kChunks,         PlanPart::kPlacement,
                      PlanPart::kReplicas,       PlanPart::kGlobalBatch,
                      PlanPart::kSequenceLength, PlanPart::kMatrixFormat,
                      PlanPart::kGate,           PlanPart::kRouterLoss};
  target.left_out = "FastMoE and the Megatron-LM that it patches have no such setting";
  target.write = write_fastmoe;
  return target;
}

}  // namespace moeplan::planner
