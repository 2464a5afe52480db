#pragma once

#include <functional>
#include <optional>
#include <string>

#include "planner/sweep/shard.h"

namespace moeplan::cli {

/// The share of a sweep that this process has, and who gave it.
struct SweepShare {
  sweep::Part part;
  /// Ranks that one launcher started together (mpirun, srun); 1: none.
  std::size_t ranks = 1;
  std::size_t rank = 0;
};

/// Finds the share from `--part I/N` (empty: not given), else the variables of a Slurm array task; and
/// divides it among the ranks of a launcher, as the variables of Open MPI, MPICH, Intel MPI, MVAPICH or a
/// Slurm job step tell. No messages go between ranks, so that this needs no MPI library and works with any.
/// `variable`: of the environment; nullopt = not set. Throws InputError: a share that is none, an array with
/// gaps.
SweepShare find_sweep_share(const std::string& part,
                            const std::function<std::optional<std::string>(const char*)>& variable);

}  // namespace moeplan::cli
