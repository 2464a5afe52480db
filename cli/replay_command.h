#pragma once

#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/job_files.h"

namespace moeplan::cli {

struct ReplayVerbOptions {
  CommonOptions common;
  JobOptions job;
  std::string plan;
  std::vector<std::string> policies;  ///< every:N, trigger:X, gain, gain:N or a file
  int slots_per_gpu = 0;              ///< 0 = the plan's
  int warm_up = 10;
  int stride = 1;
  std::string sharing = "bound";
};

/// `moeplan replay`: a load trace under online placement policies. docs/models/online.md
///
/// -o FILE.csv writes one row an iteration and policy. JSON: schema moeplan.replay/1,
/// docs/schema/replay.json.
int run_replay(const ReplayVerbOptions& options, Console console);

}  // namespace moeplan::cli
