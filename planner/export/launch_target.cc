#include <fmt/format.h>

#include "planner/export/export_target.h"
#include "planner/export/launch_files.h"

namespace moeplan::planner {

namespace {

Exported write_launch(const ExportJob& job) {
  const RankOrder order = make_rank_order(job.plan, job.hosts, job.gpus_per_node);
  Exported out;
  out.files = {
      {"hostfile", write_hostfile(order), "hosts and slots in rank order, for Open MPI"},
      {"slurm-hosts", write_slurm_hosts(order), "the host of each rank, for srun --distribution=arbitrary"},
      {"ranks.csv", write_rank_table(order, job.plan.layout),
       "host, GPU and place on both grids of each rank"},
      {"mpirun.sh", write_mpirun_script(order), "starts a command on all ranks with Open MPI"},
      {"srun.sh", write_srun_script(order), "the same with Slurm"},
      {"torchrun.sh", write_torchrun_script(order), "the same with torchrun, to be started on every host"},
      {"rank.sh", write_rank_script(order), "checks each rank's place before it becomes the command"}};
  if (order.hosts.size() < job.hosts.size())
    out.next.push_back(
        fmt::format("{} of {} hosts are used, from the first on", order.hosts.size(), job.hosts.size()));
  out.next.push_back(fmt::format(
      "rank r runs on GPU r mod {} of host r / {}: list the hosts in the order of the cluster file's nodes",
      order.gpus_per_host, order.gpus_per_host));
  out.next.emplace_back(
      "start it with bash mpirun.sh, srun.sh or (on every host) torchrun.sh, and the training command "
      "behind");
  return out;
}

}  // namespace

ExportTarget launch_target() {
  ExportTarget target;
  target.name = "launch";
  target.what = "hostfile, rank table and scripts for mpirun, srun and torchrun";
  target.needs_hosts = target.launches = true;
  target.expresses = {PlanPart::kTensorParallel,       PlanPart::kPipeline,
                      PlanPart::kContextParallel,      PlanPart::kExpertParallel,
                      PlanPart::kExpertTensorParallel, PlanPart::kDataParallel};
  target.left_out = "the framework's own arguments say it: export for the framework, too";
  target.write = write_launch;
  return target;
}

}  // namespace moeplan::planner
