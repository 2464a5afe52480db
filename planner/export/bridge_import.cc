#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "planner/export/bridge_keys.h"
#include "planner/export/bridge_overrides.h"
#include "planner/export/megatron_import.h"

namespace moeplan::planner {

namespace {

using base::Node;
using base::NodeKind;

/// Megatron's flags for a recipe of mixed precision.
struct PrecisionFlags {
  std::string_view name;
  std::string_view base;    ///< --bf16 or --fp16
  std::string_view recipe;  ///< of --fp8-recipe; empty: none
};

constexpr std::array<PrecisionFlags, 7> kPrecisions = {{
    {"bf16_mixed", "--bf16", ""},
    {"fp16_mixed", "--fp16", ""},
    {"bf16_with_fp8_current_scaling_mixed", "--bf16", "tensorwise"},
    {"bf16_with_fp8_delayed_scaling_mixed", "--bf16", "delayed"},
    {"bf16_with_fp8_subchannel_scaling_mixed", "--bf16", "blockwise"},
    {"bf16_with_mxfp8_mixed", "--bf16", "mxfp8"},
    {"bf16_with_nvfp4_mixed", "--bf16", "nvfp4"},
}};

/// Turns sections and keys into flags with their places.
class Translator {
 public:
  Translator(const base::Document& document, PlanImport& out) : document_(document), out_(out) {}

  MegatronFlags translate() {
    for (const base::Member& section : document_.root.members) {
      if (section.key == "mixed_precision") {
        read_precision(section);
      } else if (section.value.kind == NodeKind::kMap) {
        read_section(section);
      } else if (section.value.kind != NodeKind::kNull) {
        fault(section.value, section.key,
              fmt::format("found {}, expected a map of keys", name(section.value.kind)));
      }
    }
    sink_.throw_if_any();
    return std::move(flags_);
  }
  /// Place and value of virtual_pipeline_model_parallel_size where a layout stands beside it.
  const MegatronFlags::Entry* stages() const { return stages_.values.empty() ? nullptr : &stages_; }
  void drop_stages_beside_layout(MegatronFlags& flags) {
    const auto stages = flags.entries.find("--num-virtual-stages-per-pipeline-rank");
    if (stages == flags.entries.end() || flags.find("--pipeline-model-parallel-layout") == nullptr) return;
    stages_ = stages->second;
    flags.entries.erase(stages);
  }

 private:
  void fault(const Node& node, const std::string& path, std::string message) {
    sink_.add({document_.file, node.at, path, std::move(message), ""});
  }

  void add(std::string_view flag, const base::Member& member, const std::vector<const Node*>& values) {
    MegatronFlags::Entry entry;
    entry.at = member.at;
    for (const Node* value : values) {
      entry.values.push_back(value->text);
      entry.value_at.push_back(value->at);
    }
    flags_.entries[std::string(flag)] = std::move(entry);
  }

  void read_switch(const BridgeKey& key, const base::Member& member, const std::string& path) {
    const bool on = member.value.text == "true" || member.value.text == "True";
    if (!on && member.value.text != "false" && member.value.text != "False") {
      fault(member.value, path,
            fmt::format("found {}, expected true or false", base::excerpt(member.value.text)));
    } else if (on == (key.value == BridgeValue::kSwitch)) {
      add(key.flag, member, {});
    } else if (key.section == "comm_overlap") {
      flags_.entries.erase(std::string(key.flag));  // what it says holds over ddp and model
    }
  }

  void read_type(const BridgeKey& key, const base::Member& member, const std::string& path) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kTypes = {
        {{"float32", "fp32"}, {"bfloat16", "bf16"}, {"float16", "fp16"}, {"uint8", "fp8"}}};
    const std::string word = member.value.text.substr(member.value.text.rfind('.') + 1);
    const auto* const found =
        std::find_if(kTypes.begin(), kTypes.end(), [&word](const auto& type) { return type.first == word; });
    if (found == kTypes.end())
      return fault(member.value, path,
                   fmt::format("found {}, expected torch.float32, bfloat16, float16 or uint8",
                               base::excerpt(member.value.text)));
    flags_.entries[std::string(key.flag)] = {{std::string(found->second)}, member.at, {member.value.at}, {}};
  }

  void read_list(const BridgeKey& key, const base::Member& member, const std::string& path) {
    std::vector<const Node*> values;
    if (member.value.kind == NodeKind::kScalar) values.push_back(&member.value);
    for (const Node& item : member.value.items) {
      if (item.kind == NodeKind::kScalar)
        values.push_back(&item);
      else
        fault(item, path, fmt::format("found {}, expected a word", name(item.kind)));
    }
    if (member.value.kind == NodeKind::kMap) fault(member.value, path, "found a map, expected a list");
    if (!values.empty()) add(key.flag, member, values);
  }

  void read_key(const BridgeKey& key, const base::Member& member, const std::string& path) {
    if (member.value.kind == NodeKind::kNull) return;
    if (key.value == BridgeValue::kList) return read_list(key, member, path);
    if (member.value.kind != NodeKind::kScalar) {
      fault(member.value, path, fmt::format("found {}, expected one value", name(member.value.kind)));
    } else if (key.value == BridgeValue::kScalar) {
      add(key.flag, member, {&member.value});
    } else if (key.value == BridgeValue::kType) {
      read_type(key, member, path);
    } else {
      read_switch(key, member, path);
    }
  }

  void read_section(const base::Member& section) {
    for (const base::Member& member : section.value.members) {
      const auto keys = bridge_keys();
      const auto found = std::find_if(keys.begin(), keys.end(), [&](const BridgeKey& key) {
        return key.section == section.key && key.key == member.key;
      });
      const std::string path = section.key + "." + member.key;
      if (found != keys.end()) {
        read_key(*found, member, path);
      } else if (path == "model.cpu_offloading") {
        offloads_ = member.value.text == "true";
      } else if (section.key == "model" || section.key == "ddp" || section.key == "comm_overlap" ||
                 section.key == "dist") {
        out_.not_modelled.push_back(fmt::format("{}: not in a plan; the model is taken from --model", path));
      } else {
        ++out_.without_influence;
      }
    }
    if (section.key == "model" && !offloads_) flags_.entries.erase("--cpu-offloading-num-layers");
  }

  void read_precision(const base::Member& member) {
    if (member.value.kind != NodeKind::kScalar) {
      if (member.value.kind != NodeKind::kNull)
        out_.not_modelled.emplace_back(
            "mixed_precision as a map: name one of its recipes, or see to the run file by hand");
      return;
    }
    std::string word = member.value.text;
    std::replace(word.begin(), word.end(), '-', '_');
    const auto* const found = std::find_if(kPrecisions.begin(), kPrecisions.end(),
                                           [&word](const PrecisionFlags& one) { return one.name == word; });
    if (found == kPrecisions.end()) {
      std::vector<std::string> names;
      for (const PrecisionFlags& one : kPrecisions) names.emplace_back(one.name);
      fault(member.value, "mixed_precision",
            fmt::format("found {}, expected one of {}", base::excerpt(word), fmt::join(names, ", ")));
      return;
    }
    add(found->base, member, {});
    const auto word_of = [&](const char* flag, std::string_view value) {
      flags_.entries[flag] = {{std::string(value)}, member.at, {member.value.at}, {}};
    };
    if (found->recipe == "nvfp4")
      word_of("--fp4-format", "e2m1");
    else if (!found->recipe.empty())
      word_of("--fp8-format", "e4m3"), word_of("--fp8-recipe", found->recipe);
  }

  const base::Document& document_;
  PlanImport& out_;
  MegatronFlags flags_;
  MegatronFlags::Entry stages_;
  bool offloads_ = false;
  base::DiagnosticSink sink_;
};

}  // namespace

bool is_bridge_config(const base::Document& document) {
  const auto keys = bridge_keys();
  return std::any_of(keys.begin(), keys.end(), [&document](const BridgeKey& key) {
    const Node* section = document.root.find(key.section);
    return section != nullptr && section->find(key.key) != nullptr;
  });
}

PlanImport import_bridge_plan(const base::Document& document, const PlanImportOptions& options) {
  PlanImport out;
  Translator translator(document, out);
  MegatronFlags flags = translator.translate();
  translator.drop_stages_beside_layout(flags);
  PlanImport plan = import_megatron_flags(flags, options);
  if (const MegatronFlags::Entry* stages = translator.stages();
      stages != nullptr && stages->values.front() != std::to_string(plan.plan.layout.vp))
    throw base::InputError({base::Diagnostic{
        options.file, stages->value_at.front(), "model.virtual_pipeline_model_parallel_size",
        fmt::format("found {}, but the pipeline layout has {} stages a rank", stages->values.front(),
                    plan.plan.layout.vp),
        ""}});
  plan.not_modelled.insert(plan.not_modelled.begin(), out.not_modelled.begin(), out.not_modelled.end());
  plan.without_influence += out.without_influence;
  plan.notes.emplace_back("what the recipe sets and this text does not is taken as Megatron's default");
  return plan;
}

}  // namespace moeplan::planner
