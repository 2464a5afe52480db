#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/document.h"
#include "planner/export/export_target.h"
#include "planner/export/plan_import.h"
#include "sim/schedule/simulate.h"

namespace moeplan::planner {

/// Every rule of Tutel's moe_layer that `plan` breaks on this job. Keys: docs/formats/export.md.
std::vector<sim::PlanFault> find_tutel_faults(const PlanContext& context, const sim::PlanSpec& plan);

/// What a layer should do from a capacity factor on.
struct CapacityRow {
  double from = 0;                    ///< capacity factor; the next row's is where it ends
  int overlap_degree = 1;             ///< a2a_ffn_overlap_degree
  std::optional<base::Seconds> step;  ///< simulated step time at `from`; nullopt: not simulated
};

/// The overlap degree with the shortest simulated step at each capacity factor of 1 to 4; neighbours with the
/// same choice are one row. `job.run` gives all but the gate. Degrees that do not divide the capacity's
/// tokens are simulated as the plan's chunks are. Requires find_faults() of the plan empty. Cost: 28
/// simulated steps
std::vector<CapacityRow> compute_capacity_table(const sim::Job& job, const sim::PlanSpec& plan);

/// {"moe_layer": keyword arguments, "capacity_table": [{"from", "adaptive_r", "a2a_ffn_overlap_degree"[,
/// "step_time_s"]}]}. The keywords are those of tutel.moe.moe_layer(); a callback looks the rows up and gives
/// them to forward(). Requires find_tutel_faults() empty. Source: formats reference 2.4;
/// tutel/impls/moe_layer.py at ac0e51b
std::string write_tutel_config(const PlanContext& context, const sim::PlanSpec& plan,
                               const std::vector<CapacityRow>& table);

/// Reads such a file. GPUs: options.gpus, which are taken as data parallel; the model is required where
/// experts are counted a GPU. Inverse of write_tutel_config for ep, etp, chunk_degree and the two-level
/// dispatcher.
PlanImport import_tutel_plan(const base::Document& document, const PlanImportOptions& options);

}  // namespace moeplan::planner
