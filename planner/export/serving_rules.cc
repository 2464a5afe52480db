#include "planner/export/serving_rules.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace moeplan::planner {

namespace {

/// Architectures for which TensorRT-LLM makes a load balancer; for others it passes the file over in silence.
/// Source: moe_model_arch_list of tensorrt_llm/_torch/modules/fused_moe/moe_load_balancer.py
constexpr std::array<std::string_view, 5> kTrtllmArchitectures = {
    "DeepseekV3ForCausalLM", "MixtralForCausalLM", "Llama4ForConditionalGeneration", "Qwen2MoeForCausalLM",
    "Qwen3MoeForCausalLM"};

bool is_known(const std::string& architecture) {
  return std::find(kTrtllmArchitectures.begin(), kTrtllmArchitectures.end(), architecture) !=
         kTrtllmArchitectures.end();
}

}  // namespace

std::vector<sim::PlanFault> find_vllm_faults(const ExpertMap& map) {
  if (is_linear(map) || map.ranks > 1) return {};
  return {{"eplb-needs-ranks", "EPLB on one GPU: vLLM asks for tensor or data parallelism above 1"}};
}

std::vector<sim::PlanFault> find_ascend_faults(const ExpertMap& map) {
  for (std::size_t layer = 0; layer < map.slots.size(); ++layer) {
    for (int rank = 0; rank < map.ranks; ++rank) {
      const auto first = map.slots[layer].begin() + rank * map.slots_per_rank();
      const std::set<std::int32_t> distinct(first, first + map.slots_per_rank());
      if (static_cast<int>(distinct.size()) < map.slots_per_rank())
        return {
            {"one-copy-a-device",
             fmt::format("layer {} holds an expert twice on device {}: the loader counts a device's distinct "
                         "experts and would find {} where the other devices have {}",
                         map.layers[layer], rank, distinct.size(), map.slots_per_rank())}};
    }
  }
  return {};
}

std::vector<sim::PlanFault> find_trtllm_faults(const ExpertMap& map, const sim::ModelSpec& model) {
  std::vector<sim::PlanFault> faults;
  if (map.ranks == 1)
    faults.push_back({"balancer-needs-ranks",
                      "EP 1: TensorRT-LLM makes a load balancer for expert parallelism above 1 alone"});
  if (!is_known(model.architecture))
    faults.push_back(
        {"architecture",
         fmt::format("architecture \"{}\": TensorRT-LLM passes a load balancer's file over for all but {}",
                     model.architecture, fmt::join(kTrtllmArchitectures, ", "))});
  return faults;
}

bool is_round_robin(const ExpertMap& map) {
  if (map.redundant() != 0 || map.ranks == 1) return false;
  return std::all_of(map.slots.begin(), map.slots.end(), [&map](const std::vector<std::int32_t>& row) {
    for (int s = 0; s < map.slot_count(); ++s) {
      const int rank = s / map.slots_per_rank();
      if (row[static_cast<std::size_t>(s)] != s % map.slots_per_rank() * map.ranks + rank) return false;
    }
    return true;
  });
}

bool is_linear(const ExpertMap& map) {
  return map.redundant() == 0 &&
         std::all_of(map.slots.begin(), map.slots.end(), [](const std::vector<std::int32_t>& row) {
           return std::is_sorted(row.begin(), row.end());
         });
}

}  // namespace moeplan::planner
