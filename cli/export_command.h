#pragma once

#include <string>

#include "cli/command.h"

namespace moeplan::cli {

struct ExportOptions {
  CommonOptions common;     ///< output: a folder
  std::string plan;
  std::string to;           ///< megatron; the other frameworks of the contract are refused by name
  std::string model;        ///< the arguments hold the model and the run too
  std::string run;
  int gpus_per_node = 8;    ///< of the launch script
};

/// `moeplan export`: megatron.args, megatron.sh and, where the placement is not contiguous, expert-permutation.json.
int run_export(const ExportOptions& options, Console console);

}  // namespace moeplan::cli
