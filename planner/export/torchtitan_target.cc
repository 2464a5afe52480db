#include <fmt/format.h>

#include "planner/export/torchtitan_recipe.h"

namespace moeplan::planner {

namespace {

Exported write_torchtitan(const ExportJob& job) {
  const PlanContext context{*job.model, *job.run, job.plan.layout.world()};
  refuse_faults("torchtitan cannot run this plan", find_torchtitan_faults(context, job.plan));
  Exported out;
  out.files = {{"planned.py", write_torchtitan_recipe(context, job.plan, out.not_expressed),
                "apply(config) for a torchtitan recipe"}};
  add_checkpoint_permutation(job, permutation_step("torchtitan"), out);
  out.next.push_back(
      fmt::format("call apply() in a recipe of {} and start it on {} GPUs with --module and --config",
                  job.model->name, context.gpus));
  return out;
}

}  // namespace

ExportTarget torchtitan_target() {
  ExportTarget target;
  target.name = "torchtitan";
  target.what = "Python that sets a torchtitan recipe";
  target.needs_model = target.needs_run = true;
  target.expresses = {PlanPart::kTensorParallel,
                      PlanPart::kSequenceParallel,
                      PlanPart::kPipeline,
                      PlanPart::kVirtualStages,
                      PlanPart::kSchedule,
                      PlanPart::kStageSplit,
                      PlanPart::kContextParallel,
                      PlanPart::kContextExchange,
                      PlanPart::kExpertParallel,
                      PlanPart::kExpertTensorParallel,
                      PlanPart::kDataParallel,
                      PlanPart::kMicroBatch,
                      PlanPart::kSharding,
                      PlanPart::kRecompute,
                      PlanPart::kPlacement,
                      PlanPart::kReplicas,
                      PlanPart::kGlobalBatch,
                      PlanPart::kSequenceLength,
                      PlanPart::kMatrixFormat,
                      PlanPart::kGradientFormat,
                      PlanPart::kGate};
  target.left_out = "not a setting of parallelism or training; torchtitan, the model or the build decide";
  target.write = write_torchtitan;
  return target;
}

}  // namespace moeplan::planner
