#include "planner/export/placement_import.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "base/document.h"
#include "planner/export/checkpoint_permutation.h"
#include "planner/export/expert_rows.h"
#include "planner/export/megatron_rules.h"

namespace moeplan::planner {

namespace {

/// Where a row of the placement comes from.
struct Source {
  std::size_t row = 0;
  int layer = 0;
};

[[noreturn]] void refuse(const PlacementImportOptions& options, base::Position at, std::string message,
                         std::string hint = "") {
  throw base::InputError({base::Diagnostic{options.file, at, "", std::move(message), std::move(hint)}});
}

bool ends_with(const std::string& text, std::string_view ending) {
  return text.size() >= ending.size() &&
         text.compare(text.size() - ending.size(), ending.size(), ending) == 0;
}

base::Document parse(std::string_view text, const std::string& file) {
  const std::size_t start = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  const bool braces = start < text.size() && (text[start] == '{' || text[start] == '[');
  const bool yaml = ends_with(file, ".yaml") || ends_with(file, ".yml");
  return braces && !yaml ? base::parse_json(text, file) : base::parse_yaml(text, file);
}

/// Rows of MoE layers out of rows of all layers.
std::vector<Source> pick_moe_layers(const ExpertRows& rows, const PlacementImportOptions& options,
                                    const std::vector<int>& moe) {
  const auto layers = static_cast<std::size_t>(options.model->layers.size());
  if (rows.rows.size() != layers)
    refuse(options, rows.at.front(),
           fmt::format("found {} rows, expected one for each of the {} layers of {}", rows.rows.size(),
                       layers, options.model->name),
           "SGLang's map has rows for dense layers, too");
  std::vector<Source> sources;
  for (const int layer : moe) sources.push_back({static_cast<std::size_t>(layer), layer});
  return sources;
}

std::vector<Source> sort_named_layers(const ExpertRows& rows, const PlacementImportOptions& options,
                                      const std::vector<int>& moe) {
  std::vector<Source> sources;
  for (std::size_t i = 0; i < rows.layers.size(); ++i) sources.push_back({i, rows.layers[i]});
  std::stable_sort(sources.begin(), sources.end(),
                   [](const Source& a, const Source& b) { return a.layer < b.layer; });
  for (std::size_t i = 1; i < sources.size(); ++i) {
    if (sources[i].layer == sources[i - 1].layer)
      refuse(options, rows.at[sources[i].row], fmt::format("layer {} stands twice", sources[i].layer));
  }
  if (options.model == nullptr) return sources;
  for (const Source& source : sources) {
    if (!std::binary_search(moe.begin(), moe.end(), source.layer))
      refuse(options, rows.at[source.row],
             fmt::format("layer {} is no MoE layer of {}", source.layer, options.model->name));
  }
  for (const int layer : moe) {
    if (std::none_of(sources.begin(), sources.end(), [layer](const Source& s) { return s.layer == layer; }))
      refuse(options, rows.at.front(),
             fmt::format("MoE layer {} of {} has no row", layer, options.model->name),
             "TensorRT-LLM asks for a row of every MoE layer once there are any");
  }
  return sources;
}

std::vector<Source> choose_rows(const ExpertRows& rows, const PlacementImportOptions& options) {
  const std::vector<int> moe =
      options.model != nullptr ? moe_layer_indices(*options.model) : std::vector<int>();
  if (!rows.layers.empty()) return sort_named_layers(rows, options, moe);
  if (rows.is_every_layer && options.model != nullptr) return pick_moe_layers(rows, options, moe);
  std::vector<Source> sources;
  if (rows.is_one_for_all && options.model != nullptr) {
    for (const int layer : moe) sources.push_back({0, layer});
    return sources;
  }
  if (options.model != nullptr && rows.rows.size() != moe.size())
    refuse(options, rows.at.front(),
           fmt::format("found {} rows, expected one for each of the {} MoE layers of {}", rows.rows.size(),
                       moe.size(), options.model->name));
  for (std::size_t i = 0; i < rows.rows.size(); ++i) sources.push_back({i, static_cast<int>(i)});
  return sources;
}

void check_row(const std::vector<std::int32_t>& row, int experts, base::Position at,
               const PlacementImportOptions& options) {
  std::vector<bool> seen(static_cast<std::size_t>(experts), false);
  for (const std::int32_t expert : row) {
    if (expert >= experts)
      refuse(options, at, fmt::format("found expert {}, but the model has {}", expert, experts));
    seen[static_cast<std::size_t>(expert)] = true;
  }
  const auto missing = std::find(seen.begin(), seen.end(), false);
  if (missing != seen.end())
    refuse(options, at, fmt::format("expert {} stands in no slot of this row", missing - seen.begin()),
           "every expert needs a slot, or its tokens have nowhere to go");
}

void check_rows(const ExpertRows& rows, const std::vector<Source>& sources,
                const PlacementImportOptions& options, PlacementImport& out) {
  std::int32_t highest = 0;
  for (const Source& source : sources)
    for (const std::int32_t expert : rows.rows[source.row]) highest = std::max(highest, expert);
  out.experts = options.model != nullptr ? options.model->experts : highest + 1;
  const std::size_t slots = rows.rows[sources.front().row].size();
  for (const Source& source : sources) {
    const std::vector<std::int32_t>& row = rows.rows[source.row];
    if (row.size() != slots)
      refuse(options, rows.at[source.row],
             fmt::format("found {} slots, but the first row has {}", row.size(), slots));
    check_row(row, out.experts, rows.at[source.row], options);
  }
  out.slots = static_cast<int>(slots);
  out.layers = static_cast<int>(sources.size());
  out.ranks = rows.ranks > 0 ? rows.ranks : options.ranks;
  if (rows.ranks > 0 && options.ranks > 0 && rows.ranks != options.ranks)
    refuse(options, rows.at.front(),
           fmt::format("found {} devices, expected EP {}", rows.ranks, options.ranks));
  if (out.ranks > 0 && slots % static_cast<std::size_t>(out.ranks) != 0)
    refuse(options, rows.at.front(), fmt::format("{} slots do not divide over EP {}", slots, out.ranks));
}

bool is_in_order(const std::vector<std::int32_t>& row) {
  return std::is_sorted(row.begin(), row.end()) && std::adjacent_find(row.begin(), row.end()) == row.end();
}

void note(const ExpertRows& rows, const PlacementImportOptions& options, PlacementImport& out) {
  if (options.model == nullptr && rows.is_every_layer)
    out.notes.emplace_back(
        "every row is taken as one of a MoE layer; with --model rows of dense layers are left out");
  if (options.model == nullptr && rows.is_one_for_all)
    out.notes.emplace_back("one row for all layers; with --model it is repeated for every MoE layer");
  if (options.model == nullptr)
    out.notes.push_back(
        fmt::format("{} experts, as the highest number says; --model checks it", out.experts));
  if (out.ranks == 0)
    out.notes.emplace_back(
        "whether the slots divide over the GPUs was not checked; --ep or --plan says on how many they stand");
}

PlacementImport import_permutation(const base::Document& document, const PlacementImportOptions& options) {
  if (options.model == nullptr)
    refuse(options, {}, "a checkpoint permutation names layers of a model", "name it with --model");
  PlacementImport out;
  out.kind = "permutation";
  out.placement = read_checkpoint_permutation(document, *options.model);
  out.experts = options.model->experts;
  out.slots = out.experts;
  out.layers = static_cast<int>(out.placement.slots.size());
  out.ranks = options.ranks;
  if (out.ranks > 0 && out.experts % out.ranks != 0)
    refuse(options, {}, fmt::format("{} slots do not divide over EP {}", out.experts, out.ranks));
  return out;
}

}  // namespace

PlacementImport import_placement(std::string_view text, const PlacementImportOptions& options) {
  PlacementImport out;
  ExpertRows rows;
  if (text.substr(0, 6) == "\x93NUMPY") {
    rows = read_npy_rows(text, options.file);
  } else {
    const base::Document document = parse(text, options.file);
    if (document.root.find("ep") != nullptr && document.root.find("layers") != nullptr)
      return import_permutation(document, options);
    rows = read_expert_rows(document);
  }
  if (options.model != nullptr && !options.model->is_moe())
    refuse(options, {}, fmt::format("{} has no experts", options.model->name));
  const std::vector<Source> sources = choose_rows(rows, options);
  out.kind = rows.kind;
  check_rows(rows, sources, options, out);
  note(rows, options, out);
  const bool contiguous = std::all_of(sources.begin(), sources.end(), [&rows](const Source& source) {
    return is_in_order(rows.rows[source.row]);
  });
  if (contiguous) return out;
  out.placement.algorithm = "imported";
  for (const Source& source : sources) out.placement.slots.push_back(rows.rows[source.row]);
  return out;
}

}  // namespace moeplan::planner
