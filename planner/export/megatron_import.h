#pragma once

#include <string_view>

#include "planner/export/megatron_flags.h"
#include "planner/export/plan_import.h"

namespace moeplan::planner {

using MegatronImportOptions = PlanImportOptions;
using MegatronImport = PlanImport;

/// Reads Megatron arguments: a shell script, a bare list of arguments, or a YAML file with MODEL_ARGS (or flags at
/// its top). Wrong values are InputErrors at their place. Inverse of write_megatron_arguments for every plan whose
/// split is empty where it is even, and whose placement is contiguous.
MegatronImport import_megatron_plan(std::string_view text, const MegatronImportOptions& options);

/// The same of flags that are collected already; their places are those of `options.file`.
MegatronImport import_megatron_flags(const MegatronFlags& flags, const MegatronImportOptions& options);

}  // namespace moeplan::planner
