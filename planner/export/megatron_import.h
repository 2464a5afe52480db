#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sim/workload/model.h"
#include "sim/workload/plan.h"

namespace moeplan::planner {

struct MegatronImportOptions {
  std::string file;                              ///< what diagnostics call the text; the plan is named by its stem
  int gpus = 0;                                  ///< 0: from torchrun's --nnodes x --nproc-per-node
  const sim::ModelSpec* model = nullptr;         ///< checked against the model arguments where given
  std::map<std::string, std::string> variables;  ///< values of shell variables that the text leaves open
};

/// A run that someone has, as far as a plan can say it.
struct MegatronImport {
  sim::PlanSpec plan;
  int gpus = 0;
  std::int64_t global_batch = 0;  ///< 0 where the text does not say
  std::int64_t seq_len = 0;
  std::vector<std::string> not_modelled;  ///< flags that change the step time and that no plan holds, with why
  std::vector<std::string> notes;         ///< what was assumed, and what belongs in the run file
  int without_influence = 0;              ///< flags on data, learning rate, checkpoints and logs
};

/// Reads Megatron arguments: a shell script, a bare list of arguments, or a YAML file with MODEL_ARGS (or flags at
/// its top). Wrong values are InputErrors at their place. Inverse of write_megatron_arguments for every plan whose
/// split is empty where it is even, and whose placement is contiguous.
MegatronImport import_megatron_plan(std::string_view text, const MegatronImportOptions& options);

}  // namespace moeplan::planner
