#include <algorithm>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "planner/export/export_target.h"
#include "planner/export/topology_matrix.h"

namespace moeplan::planner {

namespace {

std::vector<sim::PlanFault> find_faults(const ExportJob& job) {
  const sim::ParallelLayout& l = job.plan.layout;
  std::vector<sim::PlanFault> faults;
  if (!job.model->is_moe() || job.model->experts % l.ep != 0)
    faults.push_back(
        {"ep-divides-experts", fmt::format("EP {} does not divide {} experts", l.ep, job.model->experts)});
  if (job.model->top_k != 2)
    faults.push_back(
        {"gate", fmt::format("top-{}: the topology loss is in TA-MoE's GShard gate, which is top-2",
                             job.model->top_k)});
  if (l.world() > job.cluster->ranks())
    faults.push_back({"cluster", fmt::format("a plan of {} GPUs on the {} of {}", l.world(),
                                             job.cluster->ranks(), job.cluster->name())});
  if (!job.plan.placement.is_contiguous())
    faults.push_back(
        {"placement", "a placement: TA-MoE steers tokens to near experts, and leaves experts in order"});
  return faults;
}

/// Ranks of EP group `group` of a stage; with expert tensor parallelism the first of each expert's ranks.
std::vector<base::RankId> group_ranks(const sim::ParallelLayout& l, int stage, int group) {
  std::vector<base::RankId> ranks;
  for (int e = 0; e < l.ep; ++e) ranks.emplace_back(stage * l.ranks_per_stage() + l.etp * (e + l.ep * group));
  return ranks;
}

Exported write_tamoe(const ExportJob& job) {
  refuse_faults("TA-MoE cannot use this plan", find_faults(job));
  const sim::ParallelLayout& l = job.plan.layout;
  Exported out;
  std::vector<TopologyMatrix> known;
  for (int stage = 0; stage < l.pp; ++stage) {
    for (int group = 0; group < l.edp; ++group) {
      const TopologyMatrix matrix = compute_topology_matrix(*job.cluster, group_ranks(l, stage, group));
      if (std::find(known.begin(), known.end(), matrix) != known.end()) continue;
      known.push_back(matrix);
      const std::string name =
          known.size() == 1 ? "topology.txt" : fmt::format("topology-stage{}-group{}.txt", stage, group);
      out.files.push_back({name, write_topology_matrix(matrix),
                           fmt::format("cost of a byte between {} ranks, of EP group {} in stage {} on", l.ep,
                                       group, stage)});
    }
  }
  out.files.push_back({"tamoe.args",
                       fmt::format("--gate gshard\n--num_experts {}\n--top_k {}\n--topo_file topology.txt\n",
                                   job.model->experts / l.ep, job.model->top_k),
                       "arguments of run_moe_pretrain.py, for xargs -a"});
  if (known.size() > 1)
    out.next.push_back(fmt::format(
        "EP groups lie {} ways on this cluster: each group needs its own --topo_file", known.size()));
  out.next.push_back(fmt::format(
      "start EP groups of {} ranks in the order of the cluster file; --balance_loss_weight is yours", l.ep));
  return out;
}

}  // namespace

ExportTarget tamoe_target() {
  ExportTarget target;
  target.name = "tamoe";
  target.what = "TA-MoE's topology matrix";
  target.needs_model = target.needs_cluster = true;
  target.expresses = {PlanPart::kExpertParallel, PlanPart::kPlacement, PlanPart::kReplicas};
  target.left_out = "a topology matrix says how far ranks are from each other; the training script decides";
  target.write = write_tamoe;
  return target;
}

}  // namespace moeplan::planner
