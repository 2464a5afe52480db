#pragma once

#include <string>
#include <vector>

#include "planner/export/megatron_rules.h"

namespace moeplan::planner {

/// One command-line flag with its values, unquoted.
struct MegatronArgument {
  std::string flag;
  std::vector<std::string> values;
};

/// The arguments of Megatron-LM's pretrain_gpt.py that fix everything a plan, its model and its run decide. Data,
/// tokenizer, learning rate, checkpoints, router losses and their scaling stay the user's.
/// Requires find_megatron_faults() empty (else InputError that lists them).
/// Source: formats reference 2.1 and docs/formats/megatron.md
std::vector<MegatronArgument> write_megatron_arguments(const PlanContext& context, const sim::PlanSpec& plan);

/// One argument a line, quoted where a shell needs it (`xargs -a FILE python pretrain_gpt.py`).
std::string write_argument_lines(const std::vector<MegatronArgument>& arguments);

/// A bash script that starts the run with torchrun; further arguments pass through.
std::string write_launch_script(const std::vector<MegatronArgument>& arguments, const PlanContext& context,
                                const sim::PlanSpec& plan, int gpus_per_node);

/// `--moe-layer-freq` of a model: "1", or a Python list such as ([0]*3+[1]*58).
std::string moe_layer_frequency(const sim::ModelSpec& model);

}  // namespace moeplan::planner
