#pragma once

#include <string>
#include <vector>

#include "cli/command.h"

namespace moeplan::cli {

struct ImportOptions {
  CommonOptions common;  ///< output: the file to write; empty = stdout
  std::string kind;      ///< plan, run, model, placement; cluster and load are refused by name
  std::string file;
  int gpus = 0;                      ///< of a plan whose text does not say it
  std::string model;                 ///< a plan is checked against it
  std::string permutation;           ///< of a plan: its checkpoint permutation file; needs model
  std::string plan;                  ///< of a placement: the plan that it is put into
  int ep = 0;                        ///< of a placement: GPUs that share the experts, where no plan says it
  std::vector<std::string> defines;  ///< "NAME=VALUE" of shell variables
};

/// `moeplan import`: Megatron arguments -> plan.yaml or run.yaml; config.json -> a checked config.json with
/// the keys that we use; an expert map -> the placement section of a plan, or the plan with it. What a plan
/// cannot hold goes to stderr, one line each.
int run_import(const ImportOptions& options, Console console);

}  // namespace moeplan::cli
