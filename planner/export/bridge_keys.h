#pragma once

#include <span>
#include <string_view>

namespace moeplan::planner {

/// How a Megatron flag and a value of a Megatron-Bridge config say the same.
enum class BridgeValue {
  kScalar,     ///< a number or a word
  kList,       ///< several words
  kSwitch,     ///< the flag stands = true
  kSwitchOff,  ///< the flag stands = false
  kType,       ///< a number format: bf16 = "torch.bfloat16"; fp32 where the flag is missing
};

struct BridgeKey {
  std::string_view flag;
  std::string_view section;
  std::string_view key;
  BridgeValue value = BridgeValue::kScalar;
};

/// Keys that a plan or a run decides, in the order in which they are written. A flag may have several keys,
/// which then all say the same. Source: ConfigContainer of Megatron-Bridge at 067f987d, with Megatron-Core's
/// TransformerConfig, ModelParallelConfig and DistributedDataParallelConfig below it
std::span<const BridgeKey> bridge_keys();

/// Is it a flag of the model's shape, which comes with the recipe?
bool is_of_recipe(std::string_view flag);
/// Is it a flag that mixed_precision or a remark stands for?
bool is_of_precision(std::string_view flag);

}  // namespace moeplan::planner
