#include "sim/schedule/stage_model.h"

#include <algorithm>

#include "base/check.h"
#include "sim/collective/all_to_all.h"
#include "sim/collective/nccl_collective.h"
#include "sim/schedule/cost_cache.h"

namespace moeplan::sim {

namespace {

constexpr std::int64_t kCollectiveKey = 30;

/// The layer that an MTP block repeats: the last one with attention and a feed-forward part.
LayerSpec mtp_layer(const ModelSpec& model) {
  for (auto layer = model.layers.rbegin(); layer != model.layers.rend(); ++layer) {
    if (layer->mixer != MixerKind::kNone && layer->ffn != FfnKind::kNone) return *layer;
  }
  return {};
}

bool same(const LayerSpec& a, const LayerSpec& b) {
  return a.mixer == b.mixer && a.ffn == b.ffn && a.window == b.window;
}

/// Of groups whose ranks follow each other: those at the same place of runs of so many.
CommGroups across_runs(const CommGroups& groups, std::size_t run) {
  const auto n = static_cast<std::size_t>(groups.group_size);
  CommGroups across;
  across.group_size = static_cast<int>(n / run);
  for (std::size_t first = 0; first < groups.ranks.size(); first += n) {
    for (std::size_t place = 0; place < run; ++place) {
      for (std::size_t i = first + place; i < first + n; i += run) across.ranks.push_back(groups.ranks[i]);
    }
  }
  return across;
}

/// The ranks of the stage regrouped so that a group's members follow each other. `heads`: ranks of a
/// context-parallel group that exchange heads.
CommGroups layer_groups(const StageRanks& stage, const ParallelLayout& layout, int heads, LayerGroup group) {
  CommGroups groups;
  if (group == LayerGroup::kTensor || group == LayerGroup::kTensorContext || group == LayerGroup::kStage) {
    groups.ranks = stage.ranks;
    groups.group_size = group == LayerGroup::kTensor  ? layout.tp
                        : group == LayerGroup::kStage ? layout.ranks_per_stage()
                                                      : layout.tp * layout.cp;
    return groups;
  }
  groups.group_size = layout.cp;
  const auto tp = static_cast<std::size_t>(layout.tp);
  const auto tensor = static_cast<std::size_t>(stage.tensor_group);
  for (std::size_t first = 0; first < stage.ranks.size(); first += tensor) {
    for (std::size_t t = 0; t < tp; ++t) {
      for (std::size_t r = first + t; r < first + tensor; r += tp) groups.ranks.push_back(stage.ranks[r]);
    }
  }
  if (group == LayerGroup::kContextHeads) groups.group_size = heads;
  if (group == LayerGroup::kContextRing) groups = across_runs(groups, static_cast<std::size_t>(heads));
  return groups;
}

/// Everybody sends everybody the same part of what it holds.
CommTimes solve_even_all_to_all(const CommNetwork& network, const CommGroups& groups, base::Bytes buffer) {
  const auto n = static_cast<std::size_t>(groups.group_size);
  AllToAllTraffic traffic{groups.ranks, groups.group_size, {}};
  traffic.bytes.assign(groups.ranks.size() * n, buffer.count() / static_cast<std::int64_t>(n * n));
  return solve_flat_all_to_all(network, traffic);
}

}  // namespace

std::vector<std::vector<PlacedLayer>> place_layers(const ModelSpec& model, const PlanSpec& plan) {
  const int layers = static_cast<int>(model.layers.size());
  const StageSplit split =
      plan.split.layers_per_chunk.empty() ? even_split(layers, plan.layout.pp, plan.layout.vp) : plan.split;
  std::vector<std::vector<PlacedLayer>> chunks;
  int number = 0;
  int moe = 0;
  for (const int count : split.layers_per_chunk) {
    chunks.emplace_back();
    for (int i = 0; i < count; ++i, ++number) {
      MOEPLAN_CHECK(number < layers, "the stages hold the layers of the model");
      const LayerSpec& spec = model.layers[static_cast<std::size_t>(number)];
      chunks.back().push_back({spec, number, spec.ffn == FfnKind::kMoe ? moe++ : -1, false});
    }
  }
  MOEPLAN_CHECK(number == layers, "the stages hold the layers of the model");
  const LayerSpec mtp = mtp_layer(model);
  for (int i = 0; i < model.mtp_layers; ++i) {
    chunks.back().push_back({mtp, layers + i, mtp.ffn == FfnKind::kMoe ? moe++ : -1, true});
  }
  const ChunkMap map(plan);
  while (static_cast<int>(chunks.size()) < map.chunks())
    chunks.push_back(chunks[chunks.size() - static_cast<std::size_t>(map.route_length())]);
  return chunks;
}

StageModel::StageModel(const Job& job, const PlanSpec& plan, const CommNetwork& network, int stage,
                       bool free_comm, CostCache* solved)
    : plan_(plan),
      network_(network),
      free_comm_(free_comm),
      shared_(solved),
      ranks_(stage_ranks(plan.layout, stage)),
      kernels_(job.model, job.run, plan, job.profile,
               [this](LayerGroup group, CollectiveKind kind, base::Bytes buffer) {
                 return solve_comm(group, kind, buffer);
               }) {
  for (const base::RankId rank : ranks_.ranks) slow_.push_back(job.cluster.slow_factor(rank));
  for (const auto& chunk : place_layers(job.model, plan)) {
    for (const PlacedLayer& layer : chunk) {
      if (template_id(layer) >= 0) continue;
      specs_.push_back(layer.spec);
      template_is_mtp_.push_back(layer.is_mtp);
      templates_.push_back(build_template(layer, 0));
    }
  }
  embedding_forward_ = kernels_.embedding_forward();
  embedding_backward_ = kernels_.embedding_backward();
  head_forward_ = kernels_.head_forward();
  head_backward_ = kernels_.head_backward();
}

Estimate StageModel::solve_comm(LayerGroup group, CollectiveKind kind, base::Bytes buffer) {
  if (free_comm_) return {};
  const std::vector<std::int64_t> key{static_cast<std::int64_t>(group), static_cast<std::int64_t>(kind),
                                      buffer.count()};
  const auto found = solved_.find(key);
  if (found != solved_.end()) return found->second;
  const auto solve = [&] {
    const CommGroups groups = layer_groups(ranks_, plan_.layout, plan_.cp_heads(), group);
    return kind == CollectiveKind::kAllToAll ? solve_even_all_to_all(network_, groups, buffer).estimate()
                                             : solve_collective(network_, groups, kind, buffer).estimate();
  };
  const ParallelLayout& l = plan_.layout;
  const Estimate estimate =
      shared_ == nullptr ? solve()
                         : shared_->collective({kCollectiveKey, l.tp, l.cp, l.ranks_per_stage(), plan_.cp_heads(),
                                                static_cast<std::int64_t>(group), static_cast<std::int64_t>(kind),
                                                buffer.count()},
                                               solve);
  solved_.emplace(key, estimate);
  return estimate;
}

int StageModel::template_id(const PlacedLayer& layer) const {
  for (std::size_t i = 0; i < specs_.size(); ++i) {
    if (same(specs_[i], layer.spec) && template_is_mtp_[i] == layer.is_mtp) return static_cast<int>(i);
  }
  return -1;
}

const LayerTemplate& StageModel::layer(const PlacedLayer& layer) const {
  return templates_[static_cast<std::size_t>(template_id(layer))];
}

const LayerTemplate& StageModel::layer(const PlacedLayer& placed, std::int64_t document) {
  if (document == 0) return layer(placed);
  const std::pair<int, std::int64_t> key(template_id(placed), document);
  const auto found = packed_.find(key);
  if (found != packed_.end()) return found->second;
  return packed_.emplace(key, build_template(placed, document)).first->second;
}

LayerTemplate StageModel::build_template(const PlacedLayer& layer, std::int64_t document) const {
  LayerTemplate result;
  result.is_moe = layer.spec.ffn == FfnKind::kMoe;
  if (layer.is_mtp) result.attention_forward = kernels_.mtp_projection_forward();
  result.attention_forward.append(kernels_.attention_forward(layer.spec, document));
  Segment attention = kernels_.attention_backward(layer.spec, document);
  if (layer.is_mtp) attention.append(kernels_.mtp_projection_backward());
  Segment before, after;
  if (result.is_moe) {
    result.before_forward = kernels_.moe_before_forward();
    before = kernels_.moe_before_backward();
    result.after_forward = kernels_.moe_after_forward();
    after = kernels_.moe_after_backward();
  } else if (layer.spec.ffn == FfnKind::kDense) {
    result.before_forward = kernels_.dense_forward();
    before = kernels_.dense_backward();
  }
  if (layer.is_mtp) {  // the block has an output head of its own
    (result.is_moe ? result.after_forward : result.before_forward).append(kernels_.head_forward());
    Segment backward = kernels_.head_backward();
    Segment& first = result.is_moe ? after : before;
    backward.append(first);
    first = std::move(backward);
  }
  result.attention_backward = std::move(attention);
  result.before_backward = std::move(before);
  result.after_backward = std::move(after);
  return result;
}

ChunkEnds StageModel::ends(bool first, bool last) const {
  ChunkEnds ends;
  if (first) {
    ends.first_forward = &embedding_forward_;
    ends.first_backward = &embedding_backward_;
  }
  if (last) {
    ends.last_forward = &head_forward_;
    ends.last_backward = &head_backward_;
  }
  return ends;
}

}  // namespace moeplan::sim
