#pragma once

#include <string>
#include <vector>

#include "cli/command.h"

namespace moeplan::cli {

struct ImportOptions {
  CommonOptions common;  ///< output: the file to write; empty = stdout
  std::string kind;      ///< plan, run, model, cluster, placement; load is refused by name
  std::string file;
  int gpus = 0;                      ///< of a plan whose text does not say it
  std::string model;                 ///< a plan is checked against it
  std::string permutation;           ///< of a plan: its checkpoint permutation file; needs model
  std::string plan;                  ///< of a placement: the plan that it is put into
  int ep = 0;                        ///< of a placement: GPUs that share the experts, where no plan says it
  std::vector<std::string> defines;  ///< "NAME=VALUE" of shell variables
  std::vector<std::string> stated;   ///< "node.memory=80 GiB" of a cluster file: what the topology file does not say
  std::string like;                  ///< a cluster file that says the rest
};

/// `moeplan import`: Megatron arguments -> plan.yaml or run.yaml; config.json -> a checked config.json with
/// the keys that we use; a node's topology -> cluster.yaml; an expert map -> the placement section of a plan, or the
/// plan with it. What a plan cannot hold goes to stderr, one line each.
int run_import(const ImportOptions& options, Console console);

}  // namespace moeplan::cli
