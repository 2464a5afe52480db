#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sim/workload/plan.h"

namespace moeplan::planner {

/// The hosts of a file, in order: one a line, the first word counts (`host slots=8` of Open MPI is fine), `#`
/// comments. Throws InputError with the place: no host at all, a host twice, characters that no host name or
/// address has, `slots=` below `gpus_per_node`.
std::vector<std::string> read_hosts(std::string_view text, const std::string& file, int gpus_per_node);

/// Where the ranks of a plan run: rank r on GPU r mod G of host r / G, the order in which plans are simulated
/// (GPU r of the cluster file).
struct RankOrder {
  std::vector<std::string> hosts;  ///< those that are used
  int gpus_per_host = 8;
  int ranks = 0;
};

/// Throws InputError: too few hosts, ranks that leave a host partly used beside full ones.
RankOrder make_rank_order(const sim::PlanSpec& plan, const std::vector<std::string>& hosts,
                          int gpus_per_node);

/// `host slots=G` lines: Open MPI fills them in this order with --map-by slot.
std::string write_hostfile(const RankOrder& order);
/// One host a rank: what srun --distribution=arbitrary takes as $SLURM_HOSTFILE.
std::string write_slurm_hosts(const RankOrder& order);
/// rank,host,local_rank and the rank's place on the dense (tp, cp, dp, pp) and the expert grid (etp, ep,
/// edp).
std::string write_rank_table(const RankOrder& order, const sim::ParallelLayout& layout);
/// The layout that such a table shows: the inverse of write_rank_table. Throws InputError with the place
/// where a rank stands elsewhere than the layout of the whole table puts it.
sim::ParallelLayout read_rank_table(std::string_view text, const std::string& file);

/// Bash scripts. Each starts the command that follows its name on all ranks, in the planned order.
std::string write_mpirun_script(const RankOrder& order);
std::string write_srun_script(const RankOrder& order);
/// Runs on every host; finds its node rank by its own name in the list.
std::string write_torchrun_script(const RankOrder& order);
/// What mpirun and srun start on each rank: checks that the rank is on the planned host, sets the variables
/// that PyTorch reads (RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT) and becomes the command.
std::string write_rank_script(const RankOrder& order);

}  // namespace moeplan::planner
