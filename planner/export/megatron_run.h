#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sim/workload/run.h"

namespace moeplan::planner {

/// The run of Megatron arguments: batch, precision, optimizer, gate, CUDA graphs, gradient passes.
struct MegatronRun {
  sim::RunSpec run;
  std::vector<std::string>
      not_modelled;                ///< flags that change the step time and that no run file holds, with why
  std::vector<std::string> notes;  ///< what was assumed
};

/// Reads the texts that import_megatron_plan reads, with the flags that belong in a run file. Wrong or
/// missing values are InputErrors at their place. Inverse of write_megatron_arguments for what those say of a
/// run: `fusion`, formats of dispatch and combine, `documents` and the name are not among the arguments.
///
/// Source: defaults and meanings of Megatron-LM's megatron/training/arguments.py and TransformerConfig
MegatronRun import_megatron_run(std::string_view text, const std::string& file,
                                const std::map<std::string, std::string>& variables);

}  // namespace moeplan::planner
