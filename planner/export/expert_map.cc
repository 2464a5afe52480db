#include "planner/export/expert_map.h"

#include <functional>
#include <numeric>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/check.h"
#include "base/diagnostics.h"
#include "base/json_writer.h"
#include "planner/export/megatron_rules.h"
#include "planner/placement/placement.h"

namespace moeplan::planner {

namespace {

void write_row(base::JsonWriter& json, const std::vector<std::int32_t>& row) {
  json.inline_array(std::vector<std::int64_t>(row.begin(), row.end()));
}

/// Slot s of a layer without experts, as SGLang fills it where nobody says anything.
std::vector<std::int32_t> trivial_row(const ExpertMap& map) {
  std::vector<std::int32_t> row;
  for (int s = 0; s < map.slot_count(); ++s) row.push_back(s % map.experts);
  return row;
}

void append_little_endian(std::string& out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i) & 0xFF));
}

}  // namespace

ExpertMap make_expert_map(const sim::PlanSpec& plan, const sim::ModelSpec& model) {
  if (!model.is_moe())
    throw base::InputError(fmt::format("{} has no experts, expected a model with MoE layers", model.name));
  ExpertMap map;
  map.experts = model.experts;
  map.ranks = plan.layout.ep;
  map.model_layers = static_cast<int>(model.layers.size());
  map.layers = moe_layer_indices(model);
  sim::Placement placement = plan.placement;
  if (placement.is_contiguous()) {
    std::vector<std::int32_t> row(static_cast<std::size_t>(model.experts));
    std::iota(row.begin(), row.end(), 0);
    placement.slots.assign(map.layers.size(), row);
  }
  const std::string fault =
      find_placement_fault(placement, static_cast<int>(map.layers.size()), model.experts, map.ranks);
  if (!fault.empty())
    throw base::InputError(
        fmt::format("the placement does not fit {} on EP {}: {}", model.name, map.ranks, fault));
  map.slots = std::move(placement.slots);
  return map;
}

std::string write_sglang_map(const ExpertMap& map) {
  base::JsonWriter json;
  json.begin_object();
  json.key("physical_to_logical_map");
  json.begin_array();
  std::size_t next = 0;
  for (int layer = 0; layer < map.model_layers; ++layer) {
    const bool moe = next < map.layers.size() && map.layers[next] == layer;
    write_row(json, moe ? map.slots[next++] : trivial_row(map));
  }
  json.end_array();
  json.end_object();
  return json.text();
}

std::string write_vllm_map(const ExpertMap& map) {
  base::JsonWriter json;
  json.begin_array();
  for (const std::vector<std::int32_t>& row : map.slots) write_row(json, row);
  json.end_array();
  return json.text();
}

std::string write_ascend_map(const ExpertMap& map) {
  base::JsonWriter json;
  json.begin_object();
  json.field("moe_layer_count", map.slots.size());
  json.key("layer_list");
  json.begin_array();
  for (std::size_t layer = 0; layer < map.slots.size(); ++layer) {
    json.begin_object();
    json.field("layer_id", layer);
    json.field("device_count", map.ranks);
    json.key("device_list");
    json.begin_array();
    for (int rank = 0; rank < map.ranks; ++rank) {
      const auto first = map.slots[layer].begin() + rank * map.slots_per_rank();
      json.begin_object();
      json.field("device_id", rank);
      json.key("device_expert");
      write_row(json, {first, first + map.slots_per_rank()});
      json.end_object();
    }
    json.end_array();
    json.end_object();
  }
  json.end_array();
  json.end_object();
  return json.text();
}

std::string write_trtllm_map(const ExpertMap& map) {
  std::string text = fmt::format("num_slots: {}\ninitial_global_assignments:\n", map.slot_count());
  for (std::size_t i = 0; i < map.layers.size(); ++i)
    text += fmt::format("  {}: [{}]\n", map.layers[i], fmt::join(map.slots[i], ", "));
  return text + "layer_updates_per_iter: 0\n";
}

std::string write_npy(const std::vector<std::int64_t>& shape, const std::vector<std::int64_t>& values) {
  const auto count = std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
  MOEPLAN_CHECK(count == static_cast<std::int64_t>(values.size()),
                "a shape holds as many values as there are");
  std::string header = fmt::format("{{'descr': '<i8', 'fortran_order': False, 'shape': ({}{}), }}",
                                   fmt::join(shape, ", "), shape.size() == 1 ? "," : "");
  constexpr std::size_t kPreamble = 10;  // magic, version, length of the header
  constexpr std::size_t kAlignment = 64;
  header.append(kAlignment - (kPreamble + header.size() + 1) % kAlignment, ' ');
  header += '\n';
  std::string out("\x93NUMPY\x01\x00", 8);
  append_little_endian(out, header.size(), 2);
  out += header;
  for (const std::int64_t value : values) append_little_endian(out, static_cast<std::uint64_t>(value), 8);
  return out;
}

}  // namespace moeplan::planner
