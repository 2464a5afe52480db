#include "planner/export/export_target.h"
#include "planner/export/megatron_arguments.h"

namespace moeplan::planner {

namespace {

Exported write_megatron(const ExportJob& job) {
  const PlanContext context{*job.model, *job.run, job.plan.layout.world()};
  const std::vector<MegatronArgument> arguments = write_megatron_arguments(context, job.plan);
  Exported out;
  out.files = {{"megatron.args", write_argument_lines(arguments), "one argument a line, for xargs -a"},
               {"megatron.sh", write_launch_script(arguments, context, job.plan, job.gpus_per_node),
                "starts torchrun with the arguments"}};
  add_checkpoint_permutation(job, permutation_step("Megatron itself"), out);
  out.next.emplace_back(
      "give data, tokenizer, learning rate and checkpoint arguments behind megatron.sh, with MEGATRON set to "
      "the source tree");
  return out;
}

}  // namespace

ExportTarget megatron_target() {
  ExportTarget target;
  target.name = "megatron";
  target.what = "Megatron-LM arguments and a launch script";
  target.needs_model = target.needs_run = target.launches = true;
  target.expresses = parts_except({PlanPart::kFusion, PlanPart::kDocuments});
  target.left_out = "Megatron's arguments do not hold it; build and data decide";
  target.write = write_megatron;
  return target;
}

}  // namespace moeplan::planner
