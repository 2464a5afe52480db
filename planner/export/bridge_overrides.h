#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/document.h"
#include "planner/export/export_target.h"
#include "planner/export/plan_import.h"

namespace moeplan::planner {

/// YAML that overrides a recipe of Megatron-Bridge: what a plan and its run decide, by section and key of its
/// ConfigContainer. What the plan does not use is switched off (false or null), since the recipe may have it
/// on. The model comes from the recipe. Adds a remark for what YAML cannot set. The rules are Megatron's.
/// Requires find_megatron_faults() empty (else InputError).
/// Source: formats reference 2.2; megatron/bridge/training/config.py and mixed_precision.py
std::string write_bridge_overrides(const PlanContext& context, const sim::PlanSpec& plan,
                                   std::vector<ExportRemark>& remarks);

/// Has the document a section and key of a ConfigContainer that we know?
bool is_bridge_config(const base::Document& document);

/// Reads such overrides, or a whole config. Faults have their place. Inverse of write_bridge_overrides for
/// all that Megatron arguments say of a plan. Not modelled: what a recipe sets and the text does not.
PlanImport import_bridge_plan(const base::Document& document, const PlanImportOptions& options);

}  // namespace moeplan::planner
