#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "planner/export/deepspeed_config.h"

namespace moeplan::planner {

/// Every rule of Megatron-DeepSpeed with DeepSpeed's classic MoE layer that `plan` breaks on this job. Keys:
/// docs/formats/export.md.
std::vector<sim::PlanFault> find_megatron_deepspeed_faults(const PlanContext& context,
                                                           const sim::PlanSpec& plan);

/// Arguments of Megatron-DeepSpeed's pretrain_gpt.py, one a line: layout, batch, model dimensions, experts,
/// precision, ZeRO stage. Data, tokenizer, learning rate and the coefficient of the router's loss stay the
/// user's. Requires find_megatron_deepspeed_faults() empty. Source: systems reference 8.4;
/// megatron/arguments.py of deepspeedai/Megatron-DeepSpeed
std::string write_megatron_deepspeed_arguments(const PlanContext& context, const sim::PlanSpec& plan);

/// The JSON beside them: write_deepspeed_config without AutoTP and AutoEP.
std::string write_megatron_deepspeed_config(const PlanContext& context, const sim::PlanSpec& plan);

/// Are they arguments of Megatron-DeepSpeed?
bool is_megatron_deepspeed(std::string_view text);

/// Reads such arguments. GPUs: options.gpus, else torchrun's. Inverse of write_megatron_deepspeed_arguments
/// for layout, micro-batch, ZeRO stage and recompute.
PlanImport import_megatron_deepspeed_plan(std::string_view text, const PlanImportOptions& options);

}  // namespace moeplan::planner
