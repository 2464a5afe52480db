#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sim/workload/model.h"
#include "sim/workload/plan.h"

namespace moeplan::planner {

struct PlanImportOptions {
  std::string file;                       ///< what diagnostics call the text; the plan is named by its stem
  int gpus = 0;                           ///< 0: as the text says (torchrun's arguments, batch sizes)
  const sim::ModelSpec* model = nullptr;  ///< checked against the text where given
  std::map<std::string, std::string> variables;  ///< values of shell variables that the text leaves open
};

/// A run that someone has, as far as a plan can say it.
struct PlanImport {
  sim::PlanSpec plan;
  int gpus = 0;
  std::int64_t global_batch = 0;          ///< 0 where the text does not say
  std::int64_t seq_len = 0;               ///< 0 where the text does not say
  std::vector<std::string> not_modelled;  ///< what changes the step time and no plan holds, with why
  std::vector<std::string> notes;         ///< what was assumed, and what belongs in the run file
  int without_influence = 0;              ///< settings on data, learning rate, checkpoints and logs
};

/// Reads a framework's own text; which it is shows in its content: JSON of DeepSpeed, Galvatron or Tutel, a
/// Megatron-Bridge config, a torchtitan recipe, a script of FastMoE, arguments of Megatron-DeepSpeed, the
/// rank table of a launch bundle, else arguments of Megatron. Throws InputError at the place of the fault.
PlanImport import_plan(std::string_view text, const PlanImportOptions& options);

}  // namespace moeplan::planner
