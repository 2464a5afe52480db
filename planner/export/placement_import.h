#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sim/workload/model.h"
#include "sim/workload/plan.h"

namespace moeplan::planner {

struct PlacementImportOptions {
  std::string file;                       ///< what diagnostics call the text
  const sim::ModelSpec* model = nullptr;  ///< says which layers hold experts, and how many
  int ranks = 0;  ///< GPUs that share the experts; 0 = not known (vllm-ascend's file says it)
};

/// A placement that another program wrote.
struct PlacementImport {
  std::string kind;  ///< "sglang", "vllm", "vllm-ascend", "trtllm", "eplb", "smartmoe", "permutation"
  sim::Placement placement;
  int experts = 0;                 ///< the model's, else the highest number + 1
  int slots = 0;                   ///< of a layer
  int layers = 0;                  ///< MoE layers that the file places
  int ranks = 0;                   ///< 0 = not known
  std::vector<std::string> notes;  ///< what was assumed
};

/// Reads an expert map; its kind is found from its content: EPLB's phy2log as .npy or JSON, SGLang's
/// physical_to_logical_map, vllm-ascend's layer_list, vLLM's rows, TensorRT-LLM's YAML, our checkpoint
/// permutation. A map with every expert in its own place is the contiguous placement. Inverse of the writers
/// of expert_map.h.
///
/// Throws InputError at the place of the fault: what the file's own loader would refuse or misread (further
/// keys beside SGLang's, rows of other lengths, layers without a row), experts that no row holds, numbers
/// that are none, slots that do not divide over the ranks, layers that the model does not have. Requires the
/// model for a checkpoint permutation (else InputError).
PlacementImport import_placement(std::string_view text, const PlacementImportOptions& options);

}  // namespace moeplan::planner
