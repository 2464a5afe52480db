#include <fmt/format.h>

#include "planner/export/bridge_overrides.h"

namespace moeplan::planner {

namespace {

Exported write_bridge(const ExportJob& job) {
  const PlanContext context{*job.model, *job.run, job.plan.layout.world()};
  Exported out;
  out.files = {{"overrides.yaml", write_bridge_overrides(context, job.plan, out.not_expressed),
                "overrides of a Megatron-Bridge recipe, for --config-file"}};
  add_checkpoint_permutation(job, permutation_step("Megatron itself"), out);
  out.next.push_back(fmt::format("start the recipe of {} with --config-file overrides.yaml on {} GPUs",
                                 job.model->name, context.gpus));
  return out;
}

}  // namespace

ExportTarget bridge_target() {
  ExportTarget target;
  target.name = "megatron-bridge";
  target.what = "YAML that overrides a Megatron-Bridge recipe";
  target.needs_model = target.needs_run = true;
  target.expresses = parts_except({PlanPart::kFusion, PlanPart::kDocuments});
  target.left_out = "Megatron-Bridge's config does not hold it; build and data decide";
  target.write = write_bridge;
  return target;
}

}  // namespace moeplan::planner
