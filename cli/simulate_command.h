#pragma once

#include <string>

#include "cli/command.h"
#include "cli/job_files.h"

namespace moeplan::cli {

/// What `--speed-spread` without a value stands for.
inline constexpr const char* kAssumedSpread = "assumed";

struct SimulateVerbOptions {
  CommonOptions common;
  JobOptions job;
  std::string plan;              ///< plan.yaml
  std::string sharing = "flow";  ///< bound, flow
  int iterations = 8;            ///< of a load trace, at most
  std::string matrices = "4";    ///< routing matrices of an iteration and layer, at most; or "all"
  std::string trace;             ///< Chrome trace, written there; empty = none
  std::string report;            ///< HTML page; empty = none
  std::string memory_timeline;   ///< .csv or .json; empty = none
  bool why = false;              ///< print the critical path too
  std::string speed_spread;  ///< of ranks, "1%" or a fraction; "" = none, "assumed" = what the option without
                             ///< a value means
  int draws = 16;            ///< of rank speeds
  bool no_what_if = false;
};

/// `moeplan simulate`: one training step of a plan, or its distribution over a load trace. docs/models/schedule.md
///
/// JSON (moeplan.simulate/1): status ("ok"; "infeasible" where the plan does not fit into memory, exit code 1; the times are
/// given all the same), and the keys of sim::write_result_fields.
int run_simulate(const SimulateVerbOptions& options, Console console);

}  // namespace moeplan::cli
