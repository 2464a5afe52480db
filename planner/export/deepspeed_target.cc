#include <fmt/format.h>

#include "planner/export/deepspeed_config.h"
#include "planner/export/export_target.h"
#include "planner/export/megatron_deepspeed.h"

namespace moeplan::planner {

namespace {

void remark(PlanPart part, std::string value, std::string done, Exported& out) {
  out.not_expressed.push_back({std::string(name(part)), std::move(value), std::move(done)});
}

void remark_on_experts(const ExportJob& job, Exported& out) {
  const sim::PlanSpec& plan = job.plan;
  if (plan.layout.tp > 1)
    remark(PlanPart::kExpertParallel, std::to_string(plan.layout.ep),
           "other ranks: DeepSpeed fills EP groups with one TP lane after the other, a plan with neighbours",
           out);
  if (plan.layout.ep == 1 || plan.dispatcher == sim::Dispatcher::kFlat) return;
  if (plan.dispatcher != sim::Dispatcher::kDeepEp) {
    remark(PlanPart::kDispatcher, std::string(sim::name(plan.dispatcher)),
           "left out: AutoEP has all-to-all and DeepEP", out);
  } else {
    out.next.emplace_back(
        "comm_backend is a key of DeepSpeed 0.19.8; older ones pass unknown keys over in silence, and tokens "
        "then go by all-to-all");
  }
}

/// The same plan for Megatron-DeepSpeed, where that can run it.
void add_megatron_deepspeed(const PlanContext& context, const sim::PlanSpec& plan, Exported& out) {
  const std::vector<sim::PlanFault> faults = find_megatron_deepspeed_faults(context, plan);
  if (!faults.empty()) {
    out.next.push_back(fmt::format("no arguments of Megatron-DeepSpeed: {} [{}]", faults.front().message,
                                   faults.front().rule));
    return;
  }
  out.files.push_back({"megatron-deepspeed.args", write_megatron_deepspeed_arguments(context, plan),
                       "arguments of Megatron-DeepSpeed's pretrain_gpt.py, for xargs -a"});
  out.files.push_back({"megatron-deepspeed.json", write_megatron_deepspeed_config(context, plan),
                       "the config that they name"});
}

Exported write_deepspeed(const ExportJob& job) {
  const sim::PlanSpec& plan = job.plan;
  const PlanContext context{*job.model, *job.run, plan.layout.world()};
  refuse_faults("DeepSpeed cannot run this plan", find_deepspeed_faults(context, plan));
  Exported out;
  out.files = {{"ds_config.json", write_deepspeed_config(context, plan), "config of deepspeed.initialize()"}};
  add_checkpoint_permutation(job, permutation_step("AutoEP"), out);
  add_megatron_deepspeed(context, plan, out);
  remark_on_experts(job, out);
  const bool fetches_ahead = sim::shards_parameters(plan.data_parallel());
  if (plan.overlap_param_gather && !fetches_ahead)
    remark(PlanPart::kParamGatherOverlap, "true",
           "left out: below stage 3 ZeRO gathers parameters behind the step", out);
  if (!plan.overlap_param_gather && fetches_ahead)
    remark(PlanPart::kParamGatherOverlap, "false", "other form: ZeRO's stage 3 fetches parameters ahead",
           out);
  out.next.push_back(
      fmt::format("start {} ranks; optimizer, learning rate and sequence length {} are the training script's",
                  context.gpus, job.run->seq_len));
  if (plan.recompute.mode != sim::RecomputeMode::kNone)
    out.next.emplace_back("switch gradient checkpointing on in the training script");
  return out;
}

}  // namespace

ExportTarget deepspeed_target() {
  ExportTarget target;
  target.name = "deepspeed";
  target.what = "DeepSpeed JSON with ZeRO, AutoTP and AutoEP; Megatron-DeepSpeed arguments";
  target.needs_model = target.needs_run = true;
  target.expresses = {
      PlanPart::kTensorParallel,    PlanPart::kPipeline,           PlanPart::kVirtualStages,
      PlanPart::kSchedule,          PlanPart::kStageSplit,         PlanPart::kContextParallel,
      PlanPart::kContextExchange,   PlanPart::kExpertParallel,     PlanPart::kExpertTensorParallel,
      PlanPart::kDataParallel,      PlanPart::kMicroBatch,         PlanPart::kSharding,
      PlanPart::kGradReduceOverlap, PlanPart::kParamGatherOverlap, PlanPart::kDispatcher,
      PlanPart::kDispatcherSms,     PlanPart::kPlacement,          PlanPart::kReplicas,
      PlanPart::kGlobalBatch,       PlanPart::kMatrixFormat,       PlanPart::kGradientFormat};
  target.left_out = "DeepSpeed's config does not hold it; the training script and the build decide";
  target.write = write_deepspeed;
  return target;
}

}  // namespace moeplan::planner
