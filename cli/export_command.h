#pragma once

#include <string>

#include "cli/command.h"

namespace moeplan::cli {

struct ExportOptions {
  CommonOptions common;  ///< output: a folder
  std::string plan;
  std::string to;         ///< name of a target
  std::string model;      ///< where the target needs it
  std::string run;        ///< where the target needs it
  std::string cluster;    ///< where the target needs it
  std::string load;       ///< of targets that hold loads
  std::string hosts;      ///< file with a host a line; where the target needs it
  int gpus_per_node = 0;  ///< of launch scripts; 0 = 8
};

/// `moeplan export`: the target's files and export-report.txt, which says what was written, what the target
/// cannot express and what is left to do. Nothing is written where the target would refuse the plan.
int run_export(const ExportOptions& options, Console console);

/// The targets that there are, one a line, for the help text.
std::string list_export_targets();

}  // namespace moeplan::cli
