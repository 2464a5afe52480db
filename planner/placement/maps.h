#pragma once

#include <string>
#include <vector>

#include "planner/placement/problem.h"
#include "sim/workload/plan.h"

namespace moeplan::planner {

/// The three maps of the published EPLB.
struct ExpertMaps {
  std::vector<std::vector<std::int32_t>> physical_to_logical;  ///< [layer][slot] -> expert
  std::vector<std::vector<std::vector<std::int32_t>>>
      logical_to_physical;                               ///< [layer][expert] -> slots, then -1
  std::vector<std::vector<std::int32_t>> logical_count;  ///< [layer][expert] -> replicas
};

/// logical_to_physical is padded with -1 to the most replicas that any expert of any layer has.
ExpertMaps make_maps(const sim::Placement& placement, int experts);

/// {"phy2log": ..., "log2phy": ..., "logcnt": ...}, one row a line.
std::string write_maps_json(const ExpertMaps& maps);

}  // namespace moeplan::planner
