#pragma once

#include <string>
#include <vector>

#include "base/document.h"
#include "planner/export/export_target.h"
#include "planner/export/plan_import.h"

namespace moeplan::planner {

/// Every rule of Galvatron's runtime that `plan` breaks on this job; empty = its loader takes it. Keys:
/// docs/formats/export.md.
std::vector<sim::PlanFault> find_galvatron_faults(const PlanContext& context, const sim::PlanSpec& plan);

/// The JSON of --galvatron_config_path: degrees of each layer as comma-separated texts, pipeline division,
/// batch and micro-batches. Adds a remark for what runs in another form. Requires find_galvatron_faults()
/// empty. Source: formats reference 2.12; get_hybrid_parallel_configs_api and config2strategy at cea12ff
std::string write_galvatron_config(const PlanContext& context, const sim::PlanSpec& plan,
                                   std::vector<ExportRemark>& remarks);

/// Reads such a file. GPUs: options.gpus (required: the file does not say them). Layers that differ from each
/// other in TP, CP, EP or checkpointing are InputErrors, since a plan has one of each; so are lists of other
/// lengths. Inverse of write_galvatron_config but for what its remarks name.
PlanImport import_galvatron_plan(const base::Document& document, const PlanImportOptions& options);

}  // namespace moeplan::planner
