#include "planner/export/bridge_overrides.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/check.h"
#include "base/json_writer.h"
#include "base/quantity_text.h"
#include "planner/export/bridge_keys.h"
#include "planner/export/megatron_arguments.h"

namespace moeplan::planner {

namespace {

using sim::NumberFormat;

/// A recipe of megatron/bridge/training/mixed_precision.py and what it sets beside the products.
struct MixedPrecision {
  NumberFormat gemm;
  std::string_view name;
  NumberFormat gradient_reduce;
  bool gathers_fp8;
};

constexpr std::array<MixedPrecision, 6> kPrecisions = {{
    {NumberFormat::kBf16, "bf16_mixed", NumberFormat::kFp32, false},
    {NumberFormat::kFp16, "fp16_mixed", NumberFormat::kFp16, false},
    {NumberFormat::kFp8Tensor, "bf16_with_fp8_current_scaling_mixed", NumberFormat::kFp32, true},
    {NumberFormat::kFp8Block, "bf16_with_fp8_subchannel_scaling_mixed", NumberFormat::kFp32, false},
    {NumberFormat::kMxfp8, "bf16_with_mxfp8_mixed", NumberFormat::kFp32, true},
    {NumberFormat::kNvfp4, "bf16_with_nvfp4_mixed", NumberFormat::kFp32, false},
}};

const MixedPrecision& precision_of(const sim::RunSpec& run) {
  const auto* const found =
      std::find_if(kPrecisions.begin(), kPrecisions.end(),
                   [&run](const MixedPrecision& one) { return one.gemm == run.precision.gemm; });
  MOEPLAN_CHECK(found != kPrecisions.end(), "Megatron's rules let no other format pass");
  return *found;
}

void remark_on_precision(const sim::RunSpec& run, std::vector<ExportRemark>& remarks) {
  const sim::PrecisionRecipe& p = run.precision;
  const MixedPrecision& recipe = precision_of(run);
  const auto add = [&remarks](PlanPart part, std::string value, std::string done) {
    remarks.push_back({std::string(name(part)), std::move(value), std::move(done)});
  };
  if (p.gradient_reduce != recipe.gradient_reduce)
    add(PlanPart::kGradientFormat, std::string(sim::name(p.gradient_reduce)),
        fmt::format("not set: {} reduces in {}; set grad_reduce_in_fp32 of mixed_precision in the recipe",
                    recipe.name, sim::name(recipe.gradient_reduce)));
  const bool gathers_fp8 = p.parameter_gather == NumberFormat::kFp8Tensor ||
                           p.parameter_gather == NumberFormat::kFp8Block ||
                           p.parameter_gather == NumberFormat::kMxfp8;
  if (gathers_fp8 != recipe.gathers_fp8)
    add(PlanPart::kParameterGather, std::string(sim::name(p.parameter_gather)),
        fmt::format("not set: {} gathers in {}; set fp8_param_gather of mixed_precision in the recipe",
                    recipe.name, recipe.gathers_fp8 ? "fp8" : "bf16"));
  if (p.gemm == NumberFormat::kFp8Tensor)
    add(PlanPart::kMatrixFormat, std::string(sim::name(p.gemm)),
        fmt::format("{} keeps the first and the last layer in bf16", recipe.name));
}

/// Numbers bare, words in quotes.
std::string yaml_scalar(const std::string& text) {
  return base::parse_number(text) ? text : base::json_quote(text);
}

std::string yaml_list(const std::vector<std::string>& values) {
  std::vector<std::string> words;
  for (const std::string& value : values) words.push_back(yaml_scalar(value));
  return fmt::format("[{}]", fmt::join(words, ", "));
}

std::string value_of(const BridgeKey& key, const MegatronArgument* argument) {
  switch (key.value) {
    case BridgeValue::kSwitch:
      return argument != nullptr ? "true" : "false";
    case BridgeValue::kSwitchOff:
      return argument != nullptr ? "false" : "true";
    case BridgeValue::kList:
      return argument != nullptr ? yaml_list(argument->values) : "null";
    case BridgeValue::kType:
      return argument != nullptr && argument->values.front() == "bf16" ? "torch.bfloat16" : "torch.float32";
    case BridgeValue::kScalar:
      break;
  }
  return argument != nullptr ? yaml_scalar(argument->values.front()) : "null";
}

/// Keys for which null is no value: the recipe's stays where a plan says nothing.
bool keeps_recipe(const BridgeKey& key) {
  return key.key == "num_distributed_optimizer_instances" || key.key == "ckpt_format" ||
         key.key == "data_parallel_sharding_strategy" || key.key == "moe_deepep_num_sms" ||
         key.key == "moe_hybridep_num_sms" || key.key == "moe_flex_dispatcher_backend" ||
         key.key == "moe_router_load_balancing_type" || key.key == "cpu_offloading_num_layers";
}

const MegatronArgument* find(const std::vector<MegatronArgument>& arguments, std::string_view flag) {
  const auto found = std::find_if(arguments.begin(), arguments.end(),
                                  [flag](const MegatronArgument& argument) { return argument.flag == flag; });
  return found == arguments.end() ? nullptr : &*found;
}

void check_all_known(const std::vector<MegatronArgument>& arguments) {
  for (const MegatronArgument& argument : arguments) {
    const auto keys = bridge_keys();
    const bool known = std::any_of(keys.begin(), keys.end(),
                                   [&argument](const BridgeKey& key) { return key.flag == argument.flag; });
    MOEPLAN_CHECK(known || is_of_recipe(argument.flag) || is_of_precision(argument.flag),
                  "each Megatron argument has a place in a Bridge config");
  }
}

/// Arguments as an override has to say them: virtual stages beside a layout, no graphs and no router loss in
/// words.
std::vector<MegatronArgument> complete(std::vector<MegatronArgument> arguments, const sim::PlanSpec& plan) {
  if (find(arguments, "--pipeline-model-parallel-layout") != nullptr && plan.layout.vp > 1)
    arguments.push_back({"--num-virtual-stages-per-pipeline-rank", {std::to_string(plan.layout.vp)}});
  if (find(arguments, "--moe-token-dispatcher-type") != nullptr &&
      find(arguments, "--moe-router-load-balancing-type") == nullptr)
    arguments.push_back({"--moe-router-load-balancing-type", {"none"}});
  if (find(arguments, "--cuda-graph-impl") == nullptr) {
    arguments.push_back({"--cuda-graph-impl", {"none"}});
    arguments.push_back({"--cuda-graph-scope", {}});
  }
  return arguments;
}

}  // namespace

std::string write_bridge_overrides(const PlanContext& context, const sim::PlanSpec& plan,
                                   std::vector<ExportRemark>& remarks) {
  const std::vector<MegatronArgument> plain = write_megatron_arguments(context, plan);
  check_all_known(plain);
  const std::vector<MegatronArgument> arguments = complete(plain, plan);
  std::string text = fmt::format("# {} on {} GPUs: {}\n# Overrides of the recipe of that model.\n",
                                 context.model.name, context.gpus, sim::short_name(plan));
  std::vector<std::string_view> sections;
  for (const BridgeKey& key : bridge_keys()) {
    if (std::find(sections.begin(), sections.end(), key.section) == sections.end())
      sections.push_back(key.section);
  }
  for (const std::string_view section : sections) {
    std::string lines;
    if (section == "model") lines += fmt::format("  cpu_offloading: {}\n", plan.offload.any());
    for (const BridgeKey& key : bridge_keys()) {
      const MegatronArgument* argument = find(arguments, key.flag);
      if (key.section != section || (argument == nullptr && keeps_recipe(key))) continue;
      lines += fmt::format("  {}: {}\n", key.key, value_of(key, argument));
    }
    if (!lines.empty()) text += fmt::format("{}:\n{}", section, lines);
  }
  text += fmt::format("mixed_precision: {}\n", precision_of(context.run).name);
  remark_on_precision(context.run, remarks);
  return text;
}

}  // namespace moeplan::planner
