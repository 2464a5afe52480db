#include "cli/export_command.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <ostream>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/config_files.h"
#include "base/diagnostics.h"
#include "base/files.h"
#include "planner/export/checkpoint_permutation.h"
#include "planner/export/megatron_arguments.h"

namespace moeplan::cli {

namespace {

constexpr std::array<std::string_view, 14> kLater = {"megatron-bridge", "deepspeed", "torchtitan", "galvatron", "tutel", "fastmoe", "tamoe",
                                                     "sglang", "vllm", "vllm-ascend", "trtllm", "eplb", "chakra", "launch"};

void check_options(const ExportOptions& options) {
  if (std::find(kLater.begin(), kLater.end(), options.to) != kLater.end()) {
    throw base::InputError(fmt::format("--to {}: not in this release, expected megatron", options.to));
  }
  if (options.to != "megatron") throw base::InputError(fmt::format("--to: found \"{}\", expected megatron", options.to));
  if (options.model.empty() || options.run.empty()) {
    throw base::InputError("export to megatron needs --model and --run: its arguments hold the model and the batch too");
  }
  if (options.common.output.empty()) throw base::InputError("export needs -o DIR");
  if (options.gpus_per_node < 1) throw base::InputError(fmt::format("--gpus-per-node: found {}, expected 1 or more", options.gpus_per_node));
}

}  // namespace

int run_export(const ExportOptions& options, Console console) {
  check_options(options);
  const sim::PlanSpec plan = sim::load_plan(options.plan);
  const sim::ModelSpec model = sim::load_model(base::resolve_config("models", options.model));
  const sim::RunSpec run = sim::load_run(base::resolve_config("runs", options.run));
  const planner::PlanContext context{model, run, plan.layout.world()};
  const auto arguments = planner::write_megatron_arguments(context, plan);
  std::vector<std::pair<std::string, std::string>> files = {
      {"megatron.args", planner::write_argument_lines(arguments)},
      {"megatron.sh", planner::write_launch_script(arguments, context, plan, options.gpus_per_node)}};
  if (!plan.placement.is_contiguous()) files.emplace_back("expert-permutation.json", planner::write_checkpoint_permutation(model, plan));
  for (const auto& [name, content] : files) {
    const std::string path = (std::filesystem::path(options.common.output) / name).string();
    base::write_file_atomically(path, content);
    if (!options.common.quiet) console.out << path << '\n';
  }
  return kOk;
}

}  // namespace moeplan::cli
