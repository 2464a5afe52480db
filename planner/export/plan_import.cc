#include "planner/export/plan_import.h"

#include <filesystem>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "base/document.h"
#include "planner/export/bridge_overrides.h"
#include "planner/export/deepspeed_config.h"
#include "planner/export/fastmoe_files.h"
#include "planner/export/galvatron_config.h"
#include "planner/export/launch_files.h"
#include "planner/export/megatron_deepspeed.h"
#include "planner/export/megatron_import.h"
#include "planner/export/torchtitan_recipe.h"
#include "planner/export/tutel_config.h"

namespace moeplan::planner {

namespace {

/// Does a line begin with the name of a section of Megatron-Bridge? A shell script and a list of arguments do
/// not.
bool looks_like_yaml_map(std::string_view text) {
  for (const std::string_view section : {"model:", "train:", "ddp:"}) {
    for (std::size_t at = text.find(section); at != std::string_view::npos; at = text.find(section, at + 1)) {
      if (at == 0 || text[at - 1] == '\n') return text.find("MODEL_ARGS:") == std::string_view::npos;
    }
  }
  return false;
}

[[noreturn]] void refuse_json(const base::Document& document) {
  const base::Node& root = document.root;
  const bool plan = root.find("layout") != nullptr;
  const bool map = root.find("physical_to_logical_map") != nullptr || root.find("phy2log") != nullptr ||
                   root.find("layer_list") != nullptr || root.find("expert_mapping") != nullptr;
  const bool model = root.find("hidden_size") != nullptr;
  throw base::InputError(
      {base::Diagnostic{document.file, root.at, "", "found no key of DeepSpeed, Galvatron or Tutel",
                        plan    ? "a moeplan plan needs no import: simulate reads it"
                        : map   ? "an expert map: moeplan import placement reads it"
                        : model ? "a config.json: moeplan import model reads it"
                                : "such as train_micro_batch_size_per_gpu, pp_deg or moe_layer"}});
}

/// The table of a launch bundle.
bool is_rank_table(std::string_view text) { return text.starts_with("rank,host,local_rank,"); }

PlanImport import_rank_table(std::string_view text, const PlanImportOptions& options) {
  PlanImport out;
  out.plan.name = std::filesystem::path(options.file).stem().string();
  out.plan.layout = read_rank_table(text, options.file);
  out.gpus = out.plan.layout.world();
  if (options.gpus > 0 && options.gpus != out.gpus)
    throw base::InputError(fmt::format("--gpus {}: {} has {} ranks", options.gpus, options.file, out.gpus));
  if (options.model != nullptr && out.plan.layout.ep > 1 &&
      (!options.model->is_moe() || options.model->experts % out.plan.layout.ep != 0))
    throw base::InputError(fmt::format("EP {} of {} does not divide the {} experts of {}", out.plan.layout.ep,
                                       options.file, options.model->experts, options.model->name));
  out.notes.emplace_back("a rank table holds the layout alone; all else is a plan's default");
  return out;
}

}  // namespace

PlanImport import_plan(std::string_view text, const PlanImportOptions& options) {
  const std::size_t start = text.find_first_not_of(" \t\r\n");
  if (start != std::string_view::npos && text[start] == '{') {
    const base::Document document = base::parse_json(text, options.file);
    if (document.root.find("pp_deg") != nullptr) return import_galvatron_plan(document, options);
    if (document.root.find("moe_layer") != nullptr) return import_tutel_plan(document, options);
    if (!is_deepspeed_config(document)) refuse_json(document);
    return import_deepspeed_plan(document, options);
  }
  if (looks_like_yaml_map(text)) {
    const base::Document document = base::parse_yaml(text, options.file);
    if (is_bridge_config(document)) return import_bridge_plan(document, options);
  }
  if (is_rank_table(text)) return import_rank_table(text, options);
  if (is_megatron_deepspeed(text)) return import_megatron_deepspeed_plan(text, options);
  if (is_fastmoe_script(text)) return import_fastmoe_plan(text, options);
  if (is_torchtitan_recipe(text)) return import_torchtitan_plan(text, options);
  return import_megatron_plan(text, options);
}

}  // namespace moeplan::planner
