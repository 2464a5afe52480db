#include <fmt/format.h>

#include "base/diagnostics.h"
#include "planner/export/tutel_config.h"

namespace moeplan::planner {

namespace {

std::vector<CapacityRow> make_table(const ExportJob& job) {
  if (job.cluster == nullptr || job.profile == nullptr || job.loads == nullptr)
    return {{0.0, job.plan.chunk_degree, std::nullopt}};
  const sim::Job simulated{*job.cluster, *job.profile, *job.model, *job.run, *job.loads};
  refuse_faults("the capacity table cannot be simulated", sim::find_faults(simulated, job.plan));
  return compute_capacity_table(simulated, job.plan);
}

Exported write_tutel(const ExportJob& job) {
  const PlanContext context{*job.model, *job.run, job.plan.layout.world()};
  refuse_faults("Tutel cannot run this plan", find_tutel_faults(context, job.plan));
  const std::vector<CapacityRow> table = make_table(job);
  Exported out;
  out.files = {{"tutel.json", write_tutel_config(context, job.plan, table),
                fmt::format("keywords of moe_layer() and a capacity table of {} rows", table.size())}};
  add_checkpoint_permutation(
      job,
      "permute dimension 0 of the experts in tutel.checkpoint.gather's file, and the gate's rows, as "
      "expert-permutation.json says",
      out);
  out.next.emplace_back(
      "build each layer with moe_layer(**config[\"moe_layer\"]); a callback gives forward() the row of the "
      "current capacity factor");
  if (table.front().step == std::nullopt)
    out.next.emplace_back(
        "the capacity table has the plan's own degree alone: with --cluster and --load it is simulated");
  if (job.model->gated)
    out.next.emplace_back(
        "experts of type ffn have two products; gated ones need a module of their own (type custom)");
  return out;
}

}  // namespace

ExportTarget tutel_target() {
  ExportTarget target;
  target.name = "tutel";
  target.what = "Tutel's layer keywords and a capacity table";
  target.needs_model = target.needs_run = target.takes_cluster = target.takes_loads = true;
  target.expresses = {PlanPart::kExpertParallel,
                      PlanPart::kExpertTensorParallel,
                      PlanPart::kDispatcher,
                      PlanPart::kChunks,
                      PlanPart::kPlacement,
                      PlanPart::kReplicas,
                      PlanPart::kGate};
  target.left_out = "Tutel is a layer; the training script around it decides";
  target.write = write_tutel;
  return target;
}

}  // namespace moeplan::planner
