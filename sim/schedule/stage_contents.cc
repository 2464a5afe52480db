#include "sim/schedule/stage_contents.h"

#include <algorithm>

#include "base/check.h"
#include "sim/schedule/chunk_map.h"
#include "sim/schedule/stage_model.h"

namespace moeplan::sim {

namespace {

bool same(const LayerKind& kind, const LayerSpec& spec, bool is_mtp) {
  return kind.is_mtp == is_mtp && kind.spec.mixer == spec.mixer && kind.spec.ffn == spec.ffn &&
         kind.spec.window == spec.window;
}

}  // namespace

std::vector<LayerKind> layer_kinds(const ModelSpec& model) {
  std::vector<LayerKind> kinds;
  for (const auto& chunk : place_layers(model, PlanSpec())) {
    for (const PlacedLayer& layer : chunk) {
      const bool known = std::any_of(kinds.begin(), kinds.end(), [&layer](const LayerKind& kind) {
        return same(kind, layer.spec, layer.is_mtp);
      });
      if (!known) kinds.push_back({layer.spec, layer.is_mtp});
    }
  }
  return kinds;
}

std::size_t find_kind(const std::vector<LayerKind>& kinds, const LayerSpec& spec, bool is_mtp) {
  const auto found = std::find_if(kinds.begin(), kinds.end(),
                                  [&](const LayerKind& kind) { return same(kind, spec, is_mtp); });
  MOEPLAN_CHECK(found != kinds.end(), "every layer is of some kind");
  return static_cast<std::size_t>(found - kinds.begin());
}

int StageContents::Stage::firsts() const {
  return static_cast<int>(std::count_if(ends.begin(), ends.end(), [](const Ends& end) { return end.first; }));
}

int StageContents::Stage::lasts() const {
  return static_cast<int>(std::count_if(ends.begin(), ends.end(), [](const Ends& end) { return end.last; }));
}

StageContents stage_contents(const ModelSpec& model, const std::vector<LayerKind>& kinds,
                             const PlanSpec& plan) {
  const ChunkMap map(plan);
  const auto chunks = place_layers(model, plan);
  StageContents contents;
  contents.share = 1.0 / map.routes();
  contents.stages.resize(static_cast<std::size_t>(plan.layout.pp));
  for (StageContents::Stage& stage : contents.stages) stage.count.assign(kinds.size(), 0.0);
  for (std::size_t c = 0; c < chunks.size(); ++c) {
    const int chunk = static_cast<int>(c);
    StageContents::Stage& stage = contents.stages[static_cast<std::size_t>(map.stage(chunk))];
    int from = -1, to = -1;
    std::vector<double> count(kinds.size(), 0.0);
    for (const PlacedLayer& layer : chunks[c]) {
      count[find_kind(kinds, layer.spec, layer.is_mtp)] += 1.0;
      if (layer.moe_index < 0) continue;
      ++stage.moe_layers;
      if (from < 0) from = layer.moe_index;
      to = layer.moe_index + 1;
    }
    if (from >= 0) stage.moe_rows.emplace_back(from, to);
    for (std::size_t k = 0; k < kinds.size(); ++k) stage.count[k] += count[k];
    const StageContents::Ends ends{map.is_first(chunk), map.is_last(chunk)};
    if (ends.first || ends.last) stage.ends.push_back(ends);
    if (stage.front.empty()) {
      stage.front = std::move(count);
      stage.front_ends = ends;
    }
    stage.layers += static_cast<int>(chunks[c].size());
  }
  return contents;
}

}  // namespace moeplan::sim
