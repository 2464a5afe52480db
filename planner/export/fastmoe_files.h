#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "planner/export/export_target.h"
#include "planner/export/plan_import.h"
#include "sim/workload/loads.h"

namespace moeplan::planner {

/// Every rule of FastMoE, FasterMoE and SmartMoE that `plan` breaks on this job. Keys:
/// docs/formats/export.md.
std::vector<sim::PlanFault> find_fastmoe_faults(const PlanContext& context, const sim::PlanSpec& plan);

/// A bash script to be sourced: FMOE_* variables and an array FASTMOE_ARGS with SmartMoE's Megatron flags.
/// Adds a remark for what runs in another form. Requires find_fastmoe_faults() empty. Source: formats
/// reference 2.5; fmoe/fastermoe/config.py, src/fastmoe/fmoe/megatron/utils.py of SmartMoE-AE
std::string write_fastmoe_script(const PlanContext& context, const sim::PlanSpec& plan, int gpus_per_node,
                                 std::vector<ExportRemark>& remarks);

/// {"num_expert", "world_size", "expert_mapping": [[...], ...]}, a row for each MoE layer: expert i is in
/// slot row[i], on rank row[i] / num_expert of the EP group. The container is ours; a row is what
/// update_expert_mapping() takes. Requires a placement that permutes the experts.
std::string write_smartmoe_mapping(const sim::PlanSpec& plan, const sim::ModelSpec& model);

/// SmartMoE's gate-replay tables of one iteration: `table_iter{t}_rank{r}.log` with lines `layer:[[count per
/// expert] per micro-batch]`, for every rank of the (only) pipeline stage. Our load reader takes the folder.
/// Throws InputError where the tables would hold more than 50 million counts.
/// Cost: ranks x MoE layers x micro-batches x experts
std::vector<ExportFile> write_gate_tables(const PlanContext& context, const sim::PlanSpec& plan,
                                          const sim::ExpertLoads& loads, int iteration);

/// Is it a script with SmartMoE's or FastMoE's flags?
bool is_fastmoe_script(std::string_view text);

/// Reads such a script. GPUs: options.gpus (required). Inverse of write_fastmoe_script but for what its
/// remarks name.
PlanImport import_fastmoe_plan(std::string_view text, const PlanImportOptions& options);

}  // namespace moeplan::planner
