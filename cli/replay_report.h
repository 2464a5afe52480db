#pragma once

#include <string>

#include "planner/online/replay.h"

namespace moeplan::cli {

/// What a replay was made of.
struct ReplayReport {
  std::string load;  ///< its description
  planner::ReplayResult result;
};

std::string write_replay_table(const ReplayReport& report);
/// Schema moeplan.replay/1.
std::string write_replay_json(const ReplayReport& report);
/// One row an iteration and policy.
std::string write_replay_csv(const planner::ReplayResult& result);

}  // namespace moeplan::cli
