#pragma once

#include <vector>

#include "planner/export/expert_map.h"

namespace moeplan::planner {

/// What the loaders of serving engines would refuse or misread, late: keys and sources in
/// docs/formats/export.md. That every row has the same length, a multiple of the ranks, and every expert,
/// make_expert_map() has seen to.
std::vector<sim::PlanFault> find_vllm_faults(const ExpertMap& map);
std::vector<sim::PlanFault> find_ascend_faults(const ExpertMap& map);
std::vector<sim::PlanFault> find_trtllm_faults(const ExpertMap& map, const sim::ModelSpec& model);

/// Does every layer hold expert e on rank e mod EP, and each expert once: vLLM's round_robin strategy?
bool is_round_robin(const ExpertMap& map);
/// Does every layer hold its experts in order?
bool is_linear(const ExpertMap& map);

}  // namespace moeplan::planner
