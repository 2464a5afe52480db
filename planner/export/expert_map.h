#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/workload/model.h"
#include "sim/workload/plan.h"

namespace moeplan::planner {

/// A placement with all its rows, and where they stand in the model: what the expert maps of all frameworks
/// are made from.
struct ExpertMap {
  int experts = 0;
  int ranks = 0;            ///< that share the experts: the plan's EP
  int model_layers = 0;     ///< decoder layers, dense ones too
  std::vector<int> layers;  ///< decoder layer of each row
  std::vector<std::vector<std::int32_t>>
      slots;  ///< [MoE layer][slot] -> expert; slot s on rank s / slots_per_rank

  int slot_count() const { return static_cast<int>(slots.front().size()); }
  int slots_per_rank() const { return slot_count() / ranks; }
  int redundant() const { return slot_count() - experts; }
};

/// The map of a plan; a contiguous placement is written out. Throws InputError: a model without experts, EP
/// that does not divide the slots, rows that do not fit the model (missing experts, another number of MoE
/// layers).
ExpertMap make_expert_map(const sim::PlanSpec& plan, const sim::ModelSpec& model);

/// {"physical_to_logical_map": [[...], ...]}, a row for every decoder layer; those of dense layers count
/// through the experts, as SGLang's own trivial map does. Source: formats reference 2.9;
/// compute_initial_expert_location_metadata
std::string write_sglang_map(const ExpertMap& map);

/// [[...], ...], a row for each MoE layer: the form that vLLM's pull request 49572 proposes.
/// Source: formats reference 2.10
std::string write_vllm_map(const ExpertMap& map);

/// {"moe_layer_count": L, "layer_list": [{"layer_id", "device_count", "device_list": [{"device_id",
/// "device_expert"}]}]} Source: formats reference 2.10; ExpertLoadBalancer._expert_file_to_tensor
std::string write_ascend_map(const ExpertMap& map);

/// YAML with num_slots, initial_global_assignments (keys: decoder layers) and layer_updates_per_iter: 0.
/// Source: formats reference 2.11; MoeLoadBalancerConfig
std::string write_trtllm_map(const ExpertMap& map);

/// NumPy's .npy form, version 1.0: `values` as little-endian int64 in C order. Requires the product of
/// `shape` to be their number.
std::string write_npy(const std::vector<std::int64_t>& shape, const std::vector<std::int64_t>& values);

}  // namespace moeplan::planner
