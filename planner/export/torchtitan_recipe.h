#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "planner/export/export_target.h"
#include "planner/export/plan_import.h"

namespace moeplan::planner {

/// Every rule of torchtitan that `plan` breaks on this job; empty = ParallelDims accepts it. Keys and
/// sources: docs/formats/export.md.
std::vector<sim::PlanFault> find_torchtitan_faults(const PlanContext& context, const sim::PlanSpec& plan);

/// A Python module with `apply(config)`, which sets what the plan and its run decide in a Trainer.Config.
/// Unknown fields raise AttributeError there, since the configs have slots. Adds a remark for what runs in
/// another form. Requires find_torchtitan_faults() empty. Source: formats reference 2.7;
/// torchtitan/config/configs.py and distributed/parallel_dims.py
std::string write_torchtitan_recipe(const PlanContext& context, const sim::PlanSpec& plan,
                                    std::vector<ExportRemark>& remarks);

/// Does a Python text set parallelism as torchtitan does?
bool is_torchtitan_recipe(std::string_view text);

/// Reads such a module, or any recipe that sets plain values; nothing is run. GPUs: options.gpus, else the
/// product of the degrees. Inverse of write_torchtitan_recipe but for what its remarks name. What a recipe
/// inherits is torchtitan's default.
PlanImport import_torchtitan_plan(std::string_view text, const PlanImportOptions& options);

}  // namespace moeplan::planner
