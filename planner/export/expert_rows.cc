#include "planner/export/expert_rows.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "base/quantity_text.h"
#include "planner/placement/maps.h"
#include "sim/workload/npy_array.h"

namespace moeplan::planner {

namespace {

using base::Node;
using base::NodeKind;

constexpr std::int64_t kLargestExpert = 1 << 20;
constexpr int kMaxLayers = 100'000;

/// Reads parts of one document; faults keep their place.
class Reader {
 public:
  explicit Reader(const base::Document& document) : file_(document.file) {}

  void fault(base::Position at, const std::string& path, std::string message, std::string hint = "") {
    sink_.add({file_, at, path, std::move(message), std::move(hint)});
  }
  [[noreturn]] void refuse(base::Position at, const std::string& path, std::string message,
                           std::string hint = "") {
    fault(at, path, message, std::move(hint));
    finish();
    throw base::InputError(std::move(message));
  }
  void finish() { sink_.throw_if_any(); }

  std::optional<std::int64_t> whole(const Node& node, const std::string& path, std::int64_t low,
                                    std::int64_t high) {
    const auto number = node.kind == NodeKind::kScalar ? base::parse_integer(node.text) : std::nullopt;
    if (number && *number >= low && *number <= high) return number;
    fault(node.at, path,
          fmt::format("found {}, expected a whole number from {} to {}", found(node), low, high));
    return std::nullopt;
  }

  std::vector<std::int32_t> row(const Node& node, const std::string& path) {
    std::vector<std::int32_t> row;
    if (node.kind != NodeKind::kSequence || node.items.empty()) {
      fault(node.at, path, fmt::format("found {}, expected a list of experts, one a slot", found(node)));
      return row;
    }
    for (const Node& item : node.items) {
      const auto expert = whole(item, path, 0, kLargestExpert);
      row.push_back(static_cast<std::int32_t>(expert.value_or(0)));
    }
    return row;
  }

  void rows(const Node& node, const std::string& path, ExpertRows& out) {
    if (node.kind != NodeKind::kSequence || node.items.empty())
      refuse(node.at, path, fmt::format("found {}, expected a list of rows, one a layer", found(node)));
    for (std::size_t i = 0; i < node.items.size(); ++i) {
      out.rows.push_back(row(node.items[i], fmt::format("{}[{}]", path, i)));
      out.at.push_back(node.items[i].at);
    }
  }

  /// The value of a key that has to be there.
  const Node& required(const Node& map, const char* key, const std::string& path) {
    const Node* node = map.kind == NodeKind::kMap ? map.find(key) : nullptr;
    if (node == nullptr) refuse(map.at, path, fmt::format("\"{}\" is missing", key));
    return *node;
  }

  static std::string found(const Node& node) {
    return node.kind == NodeKind::kScalar ? base::excerpt(node.text) : std::string(base::name(node.kind));
  }

 private:
  std::string file_;
  base::DiagnosticSink sink_;
};

ExpertRows read_sglang(const Node& root, Reader& reader) {
  ExpertRows out;
  out.kind = "sglang";
  out.is_every_layer = true;
  for (const base::Member& member : root.members) {
    if (member.key != "physical_to_logical_map")
      reader.fault(member.at, member.key,
                   fmt::format("found a key beside physical_to_logical_map: \"{}\"", member.key),
                   "SGLang passes every key on as an argument and does not start with another one");
  }
  reader.rows(*root.find("physical_to_logical_map"), "physical_to_logical_map", out);
  return out;
}

void check_numbers(Reader& reader, const Node& node, const std::string& path,
                   const std::vector<std::int32_t>& want) {
  const bool same =
      node.kind == NodeKind::kSequence && node.items.size() == want.size() &&
      std::equal(want.begin(), want.end(), node.items.begin(), [](std::int32_t w, const Node& item) {
        return item.kind == NodeKind::kScalar && base::parse_integer(item.text) == w;
      });
  if (!same) reader.refuse(node.at, path, "does not agree with phy2log");
}

const Node* item(const Node& list, std::size_t index) {
  return list.kind == NodeKind::kSequence && index < list.items.size() ? &list.items[index] : nullptr;
}

/// log2phy and logcnt, where they are there, have to say what phy2log says.
void check_eplb_maps(const Node& root, const ExpertRows& rows, Reader& reader) {
  std::int32_t experts = 0;
  for (const auto& row : rows.rows)
    for (const std::int32_t expert : row) experts = std::max(experts, expert + 1);
  for (std::size_t layer = 0; layer < rows.rows.size(); ++layer) {
    if (static_cast<std::size_t>(experts) > rows.rows[layer].size())
      return;  // some expert has no slot at all
    const ExpertMaps maps = make_maps({"", {rows.rows[layer]}}, experts);
    if (const Node* count = root.find("logcnt")) {
      const Node* row = item(*count, layer);
      if (row == nullptr) reader.refuse(count->at, "logcnt", fmt::format("no row for layer {}", layer));
      check_numbers(reader, *row, fmt::format("logcnt[{}]", layer), maps.logical_count.front());
    }
    const Node* logical = root.find("log2phy");
    if (logical == nullptr) continue;
    for (std::size_t expert = 0; expert < static_cast<std::size_t>(experts); ++expert) {
      const Node* of_layer = item(*logical, layer);
      const Node* row = of_layer != nullptr ? item(*of_layer, expert) : nullptr;
      const std::string path = fmt::format("log2phy[{}][{}]", layer, expert);
      if (row == nullptr) reader.refuse(logical->at, path, "is missing");
      std::vector<std::int32_t> slots = maps.logical_to_physical.front()[expert];
      if (row->items.size() > rows.rows[layer].size())
        reader.refuse(row->at, path, "has more entries than there are slots");
      if (row->items.size() > slots.size()) slots.resize(row->items.size(), -1);  // padded for another layer
      check_numbers(reader, *row, path, slots);
    }
  }
}

ExpertRows read_eplb(const Node& root, Reader& reader) {
  ExpertRows out;
  out.kind = "eplb";
  reader.rows(*root.find("phy2log"), "phy2log", out);
  reader.finish();
  check_eplb_maps(root, out, reader);
  return out;
}

/// One layer of vllm-ascend's list: devices in order, as many experts on each.
std::vector<std::int32_t> read_devices(const Node& layer, const std::string& path, int& ranks,
                                       Reader& reader) {
  std::vector<std::int32_t> slots;
  const Node& devices = reader.required(layer, "device_list", path);
  const auto count =
      reader.whole(reader.required(layer, "device_count", path), path + " > device_count", 1, kLargestExpert);
  if (devices.kind != NodeKind::kSequence || !count ||
      devices.items.size() != static_cast<std::size_t>(*count))
    reader.refuse(devices.at, path,
                  fmt::format("device_list has {} devices, device_count says {}", devices.items.size(),
                              count.value_or(0)));
  if (ranks > 0 && *count != ranks)
    reader.refuse(devices.at, path,
                  fmt::format("found {} devices, but the layers before have {}", *count, ranks));
  ranks = static_cast<int>(*count);
  std::size_t length = 0;
  for (std::size_t d = 0; d < devices.items.size(); ++d) {
    const Node& device = devices.items[d];
    const std::string device_path = fmt::format("{} > device_list[{}]", path, d);
    const Node& id = reader.required(device, "device_id", device_path);
    if (reader.whole(id, device_path, 0, kLargestExpert).value_or(0) != static_cast<std::int64_t>(d))
      reader.fault(id.at, device_path, fmt::format("found device_id {}, expected {}", Reader::found(id), d),
                   "the loader takes devices in the order of the list and does not read their ids");
    const std::vector<std::int32_t> row =
        reader.row(reader.required(device, "device_expert", device_path), device_path);
    if (d > 0 && row.size() != length)
      reader.fault(device.at, device_path,
                   fmt::format("found {} experts, but device 0 has {}", row.size(), length),
                   "the loader makes one tensor of all devices");
    if (d == 0) length = row.size();
    slots.insert(slots.end(), row.begin(), row.end());
  }
  return slots;
}

ExpertRows read_ascend(const Node& root, Reader& reader) {
  ExpertRows out;
  out.kind = "vllm-ascend";
  const Node& count = *root.find("moe_layer_count");
  const Node& layers = reader.required(root, "layer_list", "");
  if (layers.kind != NodeKind::kSequence || layers.items.empty())
    reader.refuse(layers.at, "layer_list",
                  fmt::format("found {}, expected a list of layers", Reader::found(layers)));
  const auto stated = reader.whole(count, "moe_layer_count", 1, kMaxLayers);
  if (stated.value_or(0) != static_cast<std::int64_t>(layers.items.size()))
    reader.fault(
        count.at, "moe_layer_count",
        fmt::format("found {}, but layer_list has {} layers", Reader::found(count), layers.items.size()));
  for (std::size_t i = 0; i < layers.items.size(); ++i) {
    out.rows.push_back(read_devices(layers.items[i], fmt::format("layer_list[{}]", i), out.ranks, reader));
    out.at.push_back(layers.items[i].at);
  }
  return out;
}

ExpertRows read_trtllm(const Node& root, Reader& reader) {
  ExpertRows out;
  out.kind = "trtllm";
  for (const base::Member& member : root.members) {
    if (member.key != "num_slots" && member.key != "initial_global_assignments" &&
        member.key != "layer_updates_per_iter")
      reader.fault(member.at, member.key, fmt::format("unknown key \"{}\"", member.key),
                   "TensorRT-LLM's model of the file is strict: num_slots, initial_global_assignments, "
                   "layer_updates_per_iter");
  }
  const Node& slots = reader.required(root, "num_slots", "");
  const auto count = reader.whole(slots, "num_slots", 1, kLargestExpert);
  const Node& rows = reader.required(root, "initial_global_assignments", "");
  if (rows.kind != NodeKind::kMap || rows.members.empty())
    reader.refuse(rows.at, "initial_global_assignments",
                  fmt::format("found {}, expected a map of layers to lists of experts", Reader::found(rows)));
  for (const base::Member& member : rows.members) {
    const std::string path = "initial_global_assignments > " + member.key;
    const auto layer = base::parse_integer(member.key);
    if (!layer || *layer < 0 || *layer >= kMaxLayers) {
      reader.fault(member.at, path,
                   fmt::format("found {}, expected the number of a layer", base::excerpt(member.key)));
      continue;
    }
    out.layers.push_back(static_cast<int>(*layer));
    out.rows.push_back(reader.row(member.value, path));
    out.at.push_back(member.value.at);
    if (count && static_cast<std::int64_t>(out.rows.back().size()) != *count)
      reader.fault(member.value.at, path,
                   fmt::format("found {} slots, but num_slots says {}", out.rows.back().size(), *count));
  }
  return out;
}

/// A row of SmartMoE says the slot of each expert; ours the expert of each slot.
ExpertRows read_smartmoe(const Node& root, Reader& reader) {
  ExpertRows out;
  out.kind = "smartmoe";
  const auto per_rank =
      reader.whole(reader.required(root, "num_expert", ""), "num_expert", 1, kLargestExpert);
  const auto ranks = reader.whole(reader.required(root, "world_size", ""), "world_size", 1, kLargestExpert);
  ExpertRows mapping;
  reader.rows(*root.find("expert_mapping"), "expert_mapping", mapping);
  reader.finish();
  out.ranks = static_cast<int>(ranks.value_or(1));
  for (std::size_t layer = 0; layer < mapping.rows.size(); ++layer) {
    const std::vector<std::int32_t>& slot_of = mapping.rows[layer];
    const std::string path = fmt::format("expert_mapping[{}]", layer);
    if (static_cast<std::int64_t>(slot_of.size()) != *per_rank * *ranks)
      reader.refuse(mapping.at[layer], path,
                    fmt::format("found {} experts, expected num_expert {} x world_size {}", slot_of.size(),
                                *per_rank, *ranks));
    std::vector<std::int32_t> slots(slot_of.size(), -1);
    for (std::size_t expert = 0; expert < slot_of.size(); ++expert) {
      const auto slot = static_cast<std::size_t>(slot_of[expert]);
      if (slot >= slots.size() || slots[slot] >= 0)
        reader.refuse(mapping.at[layer], path,
                      fmt::format("expert {} is in slot {}, expected each of {} slots once", expert, slot,
                                  slots.size()));
      slots[slot] = static_cast<std::int32_t>(expert);
    }
    out.rows.push_back(std::move(slots));
    out.at.push_back(mapping.at[layer]);
  }
  return out;
}

ExpertRows read_list(const Node& root, Reader& reader) {
  ExpertRows out;
  out.kind = "vllm";
  out.is_one_for_all = !root.items.empty() && root.items.front().kind == NodeKind::kScalar;
  if (!out.is_one_for_all) {
    reader.rows(root, "", out);
  } else {
    out.rows.push_back(reader.row(root, ""));
    out.at.push_back(root.at);
  }
  return out;
}

}  // namespace

ExpertRows read_expert_rows(const base::Document& document) {
  const Node& root = document.root;
  Reader reader(document);
  ExpertRows out;
  if (root.kind == NodeKind::kSequence) {
    out = read_list(root, reader);
  } else if (root.find("physical_to_logical_map") != nullptr) {
    out = read_sglang(root, reader);
  } else if (root.find("phy2log") != nullptr) {
    out = read_eplb(root, reader);
  } else if (root.find("moe_layer_count") != nullptr) {
    out = read_ascend(root, reader);
  } else if (root.find("expert_mapping") != nullptr) {
    out = read_smartmoe(root, reader);
  } else if (root.find("num_slots") != nullptr || root.find("initial_global_assignments") != nullptr) {
    out = read_trtllm(root, reader);
  } else if (root.find("logical_count") != nullptr) {
    reader.refuse(root.at, "", "found logical_count, expected a placement: these are loads",
                  "moeplan place turns loads into a placement");
  } else {
    reader.refuse(root.at, "", "no expert map that we know",
                  "known are physical_to_logical_map, phy2log, moe_layer_count, num_slots, "
                  "expert_mapping, a list of rows, and .npy");
  }
  reader.finish();
  return out;
}

ExpertRows read_npy_rows(std::string_view text, const std::string& file) {
  const sim::NpyArray array = sim::parse_npy(text, file);
  const auto refuse = [&file](const std::string& message) {
    throw base::InputError(
        {base::Diagnostic{file, {}, "", message, "phy2log.npy holds [MoE layer][slot] -> expert"}});
  };
  if (array.kind == 'f') refuse("found floating-point numbers, expected the numbers of experts");
  if (array.shape.size() != 2 || array.shape[0] < 1 || array.shape[1] < 1 || array.shape[0] > kMaxLayers)
    refuse(fmt::format("found an array of {} dimensions, expected rows of experts", array.shape.size()));
  ExpertRows out;
  out.kind = "eplb";
  const auto slots = static_cast<std::size_t>(array.shape[1]);
  for (std::size_t layer = 0; layer < static_cast<std::size_t>(array.shape[0]); ++layer) {
    std::vector<std::int32_t> row;
    for (std::size_t s = 0; s < slots; ++s) {
      const double value = array.at(layer * slots + s);
      if (!(value >= 0 && value <= kLargestExpert))
        refuse(fmt::format("row {}: found {}, expected an expert", layer, value));
      row.push_back(static_cast<std::int32_t>(value));
    }
    out.rows.push_back(std::move(row));
    out.at.emplace_back();
  }
  return out;
}

}  // namespace moeplan::planner
