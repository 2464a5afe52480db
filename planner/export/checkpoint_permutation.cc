#include "planner/export/checkpoint_permutation.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/check.h"
#include "base/diagnostics.h"
#include "base/json_writer.h"
#include "base/object_reader.h"
#include "base/quantity_text.h"
#include "planner/export/megatron_rules.h"

namespace moeplan::planner {

namespace {

void report(base::DiagnosticSink& sink, const base::Document& document, base::Position at, const std::string& key,
            std::string message) {
  sink.add({document.file, at, "layers > " + key, std::move(message), ""});
}

/// The experts of one layer, or nothing where the list is no permutation of all experts.
std::vector<std::int32_t> read_layer(const base::Document& document, const base::Member& layer, int experts,
                                     base::DiagnosticSink& sink) {
  std::vector<std::int32_t> slots;
  std::vector<bool> seen(static_cast<std::size_t>(experts), false);
  if (layer.value.kind != base::NodeKind::kSequence || layer.value.items.size() != seen.size()) {
    report(sink, document, layer.value.at, layer.key, fmt::format("expected a list of {} experts", experts));
    return {};
  }
  for (const base::Node& item : layer.value.items) {
    const auto number = item.kind == base::NodeKind::kScalar ? base::parse_integer(item.text) : std::nullopt;
    if (!number || *number < 0 || *number >= experts) {
      report(sink, document, item.at, layer.key, fmt::format("\"{}\" is no expert, expected 0 to {}", item.text, experts - 1));
      return {};
    }
    const auto expert = static_cast<std::size_t>(*number);
    if (seen[expert]) {
      report(sink, document, item.at, layer.key, fmt::format("expert {} stands twice, expected each once", expert));
      return {};
    }
    seen[expert] = true;
    slots.push_back(static_cast<std::int32_t>(expert));
  }
  return slots;
}

}  // namespace

std::string write_checkpoint_permutation(const sim::ModelSpec& model, const sim::PlanSpec& plan) {
  const std::vector<int> layers = moe_layer_indices(model);
  MOEPLAN_CHECK(layers.size() == plan.placement.slots.size(), "a placement has a row for each MoE layer");
  base::JsonWriter json;
  json.begin_object();
  json.field("ep", plan.layout.ep);
  json.key("layers");
  json.begin_object();
  for (std::size_t i = 0; i < layers.size(); ++i) {
    json.key(std::to_string(layers[i]));
    const std::vector<std::int32_t>& slots = plan.placement.slots[i];
    json.inline_array(std::vector<std::int64_t>(slots.begin(), slots.end()));
  }
  json.end_object();
  json.end_object();
  return json.text();
}

sim::Placement read_checkpoint_permutation(const base::Document& document, const sim::ModelSpec& model) {
  base::DiagnosticSink sink;
  base::ObjectReader top(document, sink, "permutation");
  top.required<int>("ep");
  const base::Node* layers = top.node("layers");
  top.finish();
  sink.throw_if_any();
  if (layers == nullptr || layers->kind != base::NodeKind::kMap) {
    sink.add({document.file, document.root.at, "permutation", "no map \"layers\" of decoder layers to lists of experts", ""});
    sink.throw_if_any();
  }
  const std::vector<int> indices = moe_layer_indices(model);
  std::map<int, std::vector<std::int32_t>> rows;
  for (const base::Member& layer : layers->members) {
    const auto index = base::parse_integer(layer.key);
    if (!index || std::find(indices.begin(), indices.end(), *index) == indices.end()) {
      report(sink, document, layer.at, layer.key, fmt::format("\"{}\" is no MoE layer of {}", layer.key, model.name));
    } else {
      rows[static_cast<int>(*index)] = read_layer(document, layer, model.experts, sink);
    }
  }
  sink.throw_if_any();
  sim::Placement placement;
  placement.algorithm = "imported";
  for (const int index : indices) {
    std::vector<std::int32_t>& row = rows[index];
    if (row.empty()) {
      for (int e = 0; e < model.experts; ++e) row.push_back(e);  // a layer that is not named keeps its order
    }
    placement.slots.push_back(row);
  }
  return placement;
}

}  // namespace moeplan::planner
