#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/job_files.h"

namespace moeplan::cli {

/// Short runs of some plans of one job, and where their logs belong: experiment.yaml of `plan --experiment`.
struct Experiment {
  struct Run {
    std::string plan;  ///< plan file
    std::string log;   ///< file that the run's log belongs into
  };
  JobOptions job;
  std::uint64_t seed = 1;
  std::vector<Run> runs;
};

/// As YAML in a file of `folder`: paths of files are relative to it, shipped names and generators stay.
std::string write_experiment(const Experiment& experiment, const std::string& folder);
/// Reads FOLDER/experiment.yaml; all paths lead from the working folder. Throws InputError.
Experiment read_experiment(const std::string& folder);

}  // namespace moeplan::cli
