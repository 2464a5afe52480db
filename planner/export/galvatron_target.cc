#include "planner/export/galvatron_config.h"

namespace moeplan::planner {

namespace {

Exported write_galvatron(const ExportJob& job) {
  const PlanContext context{*job.model, *job.run, job.plan.layout.world()};
  refuse_faults("Galvatron cannot run this plan", find_galvatron_faults(context, job.plan));
  Exported out;
  out.files = {{"galvatron.json", write_galvatron_config(context, job.plan, out.not_expressed),
                "parallel strategy of each layer, for --galvatron_config_path"}};
  add_checkpoint_permutation(job, permutation_step("Galvatron"), out);
  out.next.emplace_back(
      "give --galvatron_config_path with a folder in front (./galvatron.json): a bare name fails in its "
      "loader");
  return out;
}

}  // namespace

ExportTarget galvatron_target() {
  ExportTarget target;
  target.name = "galvatron";
  target.what = "Galvatron's JSON with a strategy for each layer";
  target.needs_model = target.needs_run = true;
  target.expresses = {PlanPart::kTensorParallel,  PlanPart::kPipeline,       PlanPart::kVirtualStages,
                      PlanPart::kSchedule,        PlanPart::kStageSplit,     PlanPart::kContextParallel,
                      PlanPart::kContextExchange, PlanPart::kExpertParallel, PlanPart::kExpertTensorParallel,
                      PlanPart::kDataParallel,    PlanPart::kMicroBatch,     PlanPart::kSharding,
                      PlanPart::kRecompute,       PlanPart::kPlacement,      PlanPart::kReplicas,
                      PlanPart::kGlobalBatch};
  target.left_out =
      "Galvatron's strategy file does not hold it; arguments of the training script and the build decide";
  target.write = write_galvatron;
  return target;
}

}  // namespace moeplan::planner
