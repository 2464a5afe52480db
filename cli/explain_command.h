#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/job_files.h"

namespace moeplan::cli {

struct ExplainOptions {
  CommonOptions common;
  JobOptions job;
  std::string plan;                 ///< plan.yaml
  std::string measured;             ///< PyTorch profiler trace, .json or .json.gz
  std::string sharing = "flow";     ///< bound, flow
  int rank = -1;                    ///< that the trace is of; -1: as the trace says
  std::vector<std::int64_t> steps;  ///< numbers of ProfilerStep; empty = all
  int count = 0;                    ///< steps of a trace without annotations
};

/// `moeplan explain`: a measured step beside the prediction of the same rank, class by class: what is slower,
/// by how much, and which assumption that breaks. docs/formats/explain.md
int run_explain(const ExplainOptions& options, Console console);

}  // namespace moeplan::cli
