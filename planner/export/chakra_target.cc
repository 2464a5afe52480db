#include <algorithm>

#include <fmt/format.h>

#include "base/check.h"
#include "base/json_writer.h"
#include "planner/export/chakra_step.h"
#include "planner/export/export_target.h"

namespace moeplan::planner {

namespace {

std::string write_groups(const ChakraGroups& groups) {
  base::JsonWriter json;
  json.begin_object();
  for (const auto& [key, ranks] : groups) {
    json.key(key);
    json.inline_array(std::vector<std::int64_t>(ranks.begin(), ranks.end()));
  }
  json.end_object();
  return json.text();
}

/// What an even all-to-all and one queue a rank cannot say.
void remark(const ExportJob& job, Exported& out) {
  const sim::PlanSpec& plan = job.plan;
  const auto add = [&out](PlanPart part, std::string value, const char* done) {
    out.not_expressed.push_back({std::string(name(part)), std::move(value), done});
  };
  if (plan.layout.ep > 1 && plan.dispatcher != sim::Dispatcher::kFlat)
    add(PlanPart::kDispatcher, std::string(sim::name(plan.dispatcher)),
        "other form: an even all-to-all of all copies; the simulator's collective algorithm decides how they "
        "travel");
  if (!plan.placement.is_contiguous())
    add(PlanPart::kPlacement, plan.placement.algorithm,
        "other form: an all-to-all node is even, so experts work on an even load wherever they stand");
}

Exported write_chakra(const ExportJob& job) {
  const auto even = sim::make_uniform_loads(std::max(1, job.model->moe_layers()),
                                            std::max(1, job.model->experts), std::max(1, job.model->top_k));
  const sim::Job simulated{*job.cluster, *job.profile, *job.model, *job.run, *even};
  refuse_faults("a trace of this plan cannot be written", find_chakra_plan_faults(simulated, job.plan));
  const std::vector<std::vector<ChakraNode>> traces = make_chakra_step(simulated, job.plan);
  const ChakraGroups groups = make_chakra_groups(job.plan.layout);
  MOEPLAN_CHECK(find_chakra_fault(traces, groups).empty(), "a replay of the traces ends");
  Exported out;
  out.files.push_back(
      {"comm-groups.json", write_groups(groups), fmt::format("ranks of {} communicators", groups.size())});
  for (std::size_t rank = 0; rank < traces.size(); ++rank)
    out.files.push_back({fmt::format("trace.{}.et", rank), write_chakra_trace(traces[rank]),
                         fmt::format("{} nodes of rank {}", traces[rank].size(), rank)});
  remark(job, out);
  out.next.emplace_back(
      "run ASTRA-sim with --workload-configuration=DIR/trace "
      "--comm-group-configuration=DIR/comm-groups.json");
  return out;
}

}  // namespace

ExportTarget chakra_target() {
  ExportTarget target;
  target.name = "chakra";
  target.what = "Chakra execution traces of a step, for ASTRA-sim";
  target.needs_model = target.needs_run = target.needs_cluster = target.takes_cluster = true;
  target.expresses = parts_except(
      {PlanPart::kChunks, PlanPart::kSharedExpertOverlap, PlanPart::kAllToAllOverlap, PlanPart::kTileFused,
       PlanPart::kReplicas, PlanPart::kParamGatherOverlap, PlanPart::kRouterLoss, PlanPart::kRouterBias});
  target.left_out = "a trace's passes are one node after the other";
  target.write = write_chakra;
  return target;
}

}  // namespace moeplan::planner
