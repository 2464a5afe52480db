#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/document.h"
#include "planner/export/megatron_rules.h"
#include "planner/export/plan_import.h"

namespace moeplan::planner {

/// Every rule of DeepSpeed with AutoEP that `plan` breaks on this job; empty = it starts, and runs this
/// layout. Keys and sources: docs/formats/export.md.
std::vector<sim::PlanFault> find_deepspeed_faults(const PlanContext& context, const sim::PlanSpec& plan);

/// The preset of AutoEP that knows the modules of an architecture; empty: none, the modules have to be named
/// by hand. Source: deepspeed/module_inject/auto_ep_presets at edaa7221
std::string_view find_autoep_preset(std::string_view architecture);

/// The JSON config of deepspeed.initialize(): batch sizes, precision, ZeRO, AutoTP and AutoEP. Optimizer,
/// learning rate and logging stay the user's. Requires find_deepspeed_faults() empty. Source: formats
/// reference 2.3
std::string write_deepspeed_config(const PlanContext& context, const sim::PlanSpec& plan);

/// Has the document a key of a DeepSpeed config?
bool is_deepspeed_config(const base::Document& document);

/// Reads such a config. GPUs: options.gpus, else train_batch_size / (micro-batch x accumulation) x TP. Faults
/// are what DeepSpeed refuses and what does not add up, with their place; keys that change the time of a step
/// and that no plan holds are in not_modelled. Inverse of write_deepspeed_config for the layout, micro-batch,
/// sharding and overlap.
PlanImport import_deepspeed_plan(const base::Document& document, const PlanImportOptions& options);

}  // namespace moeplan::planner
