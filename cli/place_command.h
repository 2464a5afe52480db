#pragma once

#include <string>

#include "cli/command.h"

namespace moeplan::cli {

struct PlaceOptions {
  CommonOptions common;
  std::string cluster;
  std::string load;
  std::string model;    ///< empty: experts, layers and top-k come from the load file or the options
  std::string run;      ///< with a model: layer times are simulated on the first window
  std::string profile;  ///< empty = the one that the cluster names
  std::string plan;     ///< a plan file that the placement goes into; empty = none
  bool map_layers = false;
  int experts = 0;  ///< what a load generator draws for, without a model
  int layers = 0;
  int top_k = 0;
  int ep = 0;             ///< 0 = the plan's, else all GPUs of the cluster
  int slots = 0;          ///< a layer, over the whole EP group; 0 = experts
  int slots_per_gpu = 0;  ///< the same for one GPU
  std::string solver = "moeplan";
  std::string objective = "load";  ///< load or layer_time
  std::string split = "even";      ///< even, locality or weighted: how replicas share tokens
  std::string sharing = "bound";   ///< of links, in the layer times that are reported: bound or flow
  bool keep_groups = false;        ///< a group of group-limited routing stays on one node
  bool no_compare = false;         ///< only the chosen solver
  std::string train_on;            ///< "A:B": iterations A .. B-1; empty = all
  std::string score_on;            ///< the same; empty = those of train_on
  int roll = 0;  ///< repeat both ranges so many iterations later, to the end of the load; 0 = once
};

/// `moeplan place`: experts and replicas to slots. docs/models/placement.md
///
/// -o FILE.yaml writes the chosen placement (with --plan that plan with it, without only its `placement`
/// section) and FILE.eplb.json beside it, EPLB's maps. JSON: schema moeplan.place/1, docs/schema/place.json.
int run_place(const PlaceOptions& options, Console console);

}  // namespace moeplan::cli
