#pragma once

#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/job_files.h"

namespace moeplan::cli {

struct AnchorOptions {
  CommonOptions common;  ///< output: the anchored profile
  JobOptions job;
  std::vector<std::string> runs;  ///< "PLAN=LOG"
  std::string experiment;         ///< a folder of `plan --experiment` instead of job and runs
};

/// moeplan calibrate anchor: a profile re-scaled by what the user's own runs took. JSON:
/// docs/schema/anchor.json
int run_anchor(const AnchorOptions& options, Console console);

}  // namespace moeplan::cli
