#pragma once

#include <string>

#include "cli/command.h"

namespace moeplan::cli {

struct SweepOptions {
  CommonOptions common;  ///< output: the sweep's folder (default: the sweep's name); threads
  std::string file;
  bool resume = false;  ///< go on in a folder that holds points
  std::string part;     ///< "I/N"; empty: by MPI launcher or Slurm array, else all
};

/// `moeplan sweep`: points.csv, points.json and sweep.html of a grid of what-ifs. Points that are finished
/// stay, whatever ends the process. JSON: docs/schema/sweep.json
int run_sweep(const SweepOptions& options, Console console);

}  // namespace moeplan::cli
