#pragma once

#include <functional>
#include <string>

#include "planner/sweep/store.h"

namespace moeplan::cli {

/// A variable of the environment, or empty.
using Environment = std::function<std::string(const char*)>;

/// Which share of the points this process works on: `text` ("0/4") where given; else its rank among the
/// processes of an MPI launcher (Open MPI, MPICH and Intel MPI by PMI, srun); else its task of a Slurm job
/// array; else all. Processes need no messages: the launcher only says how many there are. Throws InputError.
planner::SweepPart find_part(const std::string& text, const Environment& environment);

}  // namespace moeplan::cli
