#pragma once

#include <string>
#include <vector>

#include "calibrate/measure/communicator.h"
#include "cli/command.h"

namespace moeplan::cli {

struct CalibrateMpiOptions {
  CommonOptions common;              ///< output: the file of measurements
  std::string from;                  ///< a file of measurements that is there: nothing is measured
  std::string cluster, profile;      ///< files to write: --write-cluster, --write-profile
  std::string base = "h100-sxm";     ///< the profile that the rest of `profile` comes from
  std::string name;                  ///< of the cluster
  std::string kinds;                 ///< --cases: "grouped,pair"; empty = all
  std::vector<std::string> traffic;  ///< CSV files to measure instead of the cases
  std::string largest = "1 GiB";
  double budget_s = 600.0;   ///< of the whole run
  double longest_s = 1.0;    ///< a repetition that is expected to take longer is left out
  double precision = 1.0;    ///< in percent of the median
  double timeout_s = 60.0;   ///< without progress: another rank is lost
  double poll_us = -1.0;     ///< between two looks at what has arrived; below zero: chosen
};

/// mpirun -n N moeplan calibrate mpi -o FILE.jsonl [--write-cluster C.yaml] [--write-profile P.yaml]: measures
/// transfers and collectives between the ranks, resumes a file, and fits. With --from only the fit, without MPI.
/// Exit 1 where a case failed, 3 where nothing can be measured or a rank was lost.
int run_calibrate_mpi(const CalibrateMpiOptions& options, Console console);

/// One rank's part of it, behind the interfaces.
int measure_between_ranks(calibrate::Communicator& communicator, calibrate::Clock& clock,
                          const CalibrateMpiOptions& options, Console console);

}  // namespace moeplan::cli
