#include "planner/export/export_target.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/check.h"
#include "base/diagnostics.h"
#include "planner/export/checkpoint_permutation.h"

namespace moeplan::planner {

namespace {

bool holds(const std::vector<PlanPart>& parts, PlanPart part) {
  return std::find(parts.begin(), parts.end(), part) != parts.end();
}

}  // namespace

const std::vector<ExportTarget>& export_targets() {
  static const std::vector<ExportTarget> kTargets = {
      megatron_target(),  bridge_target(),  deepspeed_target(), torchtitan_target(),
      galvatron_target(), fastmoe_target(), tamoe_target(),     tutel_target(),
      sglang_target(),    vllm_target(),    ascend_target(),    trtllm_target(),
      eplb_target(),      chakra_target(),  launch_target(),    json_target()};
  return kTargets;
}

const ExportTarget* find_export_target(std::string_view name) {
  const std::vector<ExportTarget>& all = export_targets();
  const auto found = std::find_if(all.begin(), all.end(),
                                  [name](const ExportTarget& target) { return target.name == name; });
  return found == all.end() ? nullptr : &*found;
}

Exported export_plan(const ExportTarget& target, const ExportJob& job) {
  MOEPLAN_CHECK(!target.needs_model || job.model != nullptr, "a target that needs a model has one");
  MOEPLAN_CHECK(!target.needs_run || job.run != nullptr, "a target that needs a run has one");
  MOEPLAN_CHECK(!target.needs_cluster || job.cluster != nullptr, "a target that needs a cluster has one");
  MOEPLAN_CHECK(!target.needs_cluster || !target.takes_cluster || job.profile != nullptr,
                "a target that simulates a cluster has its profile");
  MOEPLAN_CHECK(!target.needs_hosts || !job.hosts.empty(), "a target that needs hosts has some");
  Exported exported = target.write(job);
  const sim::RunSpec* run = target.needs_run ? job.run : nullptr;
  for (const StatedPart& stated : stated_parts(job.plan, run)) {
    if (holds(target.expresses, stated.part)) continue;
    exported.not_expressed.push_back(
        {std::string(name(stated.part)), stated.value, fmt::format("left out: {}", target.left_out)});
  }
  return exported;
}

std::vector<PlanPart> parts_except(const std::vector<PlanPart>& without) {
  std::vector<PlanPart> parts = all_plan_parts();
  std::erase_if(parts, [&without](PlanPart part) { return holds(without, part); });
  return parts;
}

void add_checkpoint_permutation(const ExportJob& job, std::string step, Exported& out) {
  if (job.plan.placement.is_contiguous()) return;
  out.files.push_back({"expert-permutation.json", write_checkpoint_permutation(*job.model, job.plan),
                       "old expert of each new position, layer by layer"});
  out.next.push_back(std::move(step));
}

std::string permutation_step(std::string_view framework) {
  return fmt::format(
      "permute the experts of the checkpoint as expert-permutation.json says (scripts/permute_experts.py, "
      "for safetensors): {} places "
      "them in order",
      framework);
}

void refuse_faults(const std::string& subject, const std::vector<sim::PlanFault>& faults) {
  if (faults.empty()) return;
  std::vector<base::Diagnostic> diagnostics;
  for (const sim::PlanFault& fault : faults)
    diagnostics.push_back(
        {"", {}, "plan", fmt::format("{}: {} [{}]", subject, fault.message, fault.rule), ""});
  throw base::InputError(std::move(diagnostics));
}

}  // namespace moeplan::planner
