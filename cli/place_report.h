#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "planner/placement/study.h"

namespace moeplan::cli {

/// One layer of the chosen placement, on the iterations of the first window that it is scored on.
struct PlacedLayerReport {
  double max_over_mean = 1.0;
  double lower_bound = 1.0;       ///< of max_over_mean
  double layer_time_s = 0;        ///< 0: not simulated
  std::int64_t moved_bytes = -1;  ///< -1: unknown without a model
  std::vector<double> split;      ///< [slot] share of its expert's tokens
};

/// What `moeplan place` found.
struct PlaceReport {
  std::string objective;
  std::string chosen;  ///< solver
  std::string load;    ///< its description
  planner::SlotShape shape;
  int experts = 0;
  planner::Study study;
  std::vector<std::vector<double>> times;  ///< [solver of the study][layer] s; empty: not simulated
  sim::Placement placement;
  std::vector<PlacedLayerReport> layers;
};

std::string write_place_table(const PlaceReport& report);
/// Schema moeplan.place/1.
std::string write_place_json(const PlaceReport& report);

}  // namespace moeplan::cli
