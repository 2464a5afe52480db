#include "sim/schedule/chunk_set.h"

#include <algorithm>
#include <string>

#include "base/files.h"

namespace moeplan::sim {

namespace {

constexpr std::int64_t kRoutedLayerKey = 1;

std::int64_t digest(std::span<const std::int32_t> slots) {
  base::Digest digest;
  digest.add({reinterpret_cast<const char*>(slots.data()), slots.size_bytes()});
  return static_cast<std::int64_t>(digest.value());
}

/// Of all EP groups of a stage; 0 where they differ.
int common_node_block(const topology::Cluster& cluster, const StageRanks& stage) {
  const int block = node_block(cluster, stage, 0);
  for (std::size_t first = 0; first < stage.ranks.size(); first += static_cast<std::size_t>(stage.expert_group))
    if (node_block(cluster, stage, first) != block) return 0;
  return block;
}

}  // namespace

ChunkSimulator::ChunkSimulator(const Job& job, const PlanSpec& plan, const CommNetwork& network,
                               Options options, CostCache& cache)
    : job_(job),
      plan_(plan),
      network_(network),
      options_(options),
      cache_(cache),
      layers_(place_layers(job.model, plan)) {
  for (int stage = 0; stage < plan.layout.pp; ++stage) {
    CacheKey signature = stage_signature(job.cluster, stage_ranks(plan.layout, stage), stage);
    const auto found = std::find(signatures_.begin(), signatures_.end(), signature);
    class_of_.push_back(static_cast<int>(found - signatures_.begin()));
    if (found != signatures_.end()) continue;
    signatures_.push_back(std::move(signature));
    models_.push_back(std::make_unique<StageModel>(job, plan, network, stage, options.free_comm));
  }
}

std::span<const std::int32_t> ChunkSimulator::slots(const PlacedLayer& layer) const {
  const auto& rows = plan_.placement.slots;
  const auto row = static_cast<std::size_t>(layer.moe_index);
  return row < rows.size() ? std::span<const std::int32_t>(rows[row]) : std::span<const std::int32_t>();
}

RoutedLayer ChunkSimulator::compute_routed_layer(const StageModel& model, const PlacedLayer& layer,
                                                 const LoadSample& sample) const {
  const RoutingShape shape = routing_shape(job_, plan_);
  RoutingMatrix routing;
  if (sample.is_balanced()) {
    routing = balanced_routing(shape.sources, shape.tokens, job_.model.experts, job_.model.top_k);
  } else {
    // An MTP block behind the last MoE layer of the load routes as that layer does.
    const int row = std::min(layer.moe_index, job_.loads.moe_layers() - 1);
    routing = job_.loads.routing(sample.iteration, row, sample.micro_batch, shape);
  }
  if (job_.run.gate == GatePolicy::kCapacity)
    apply_capacity(routing, job_.run.capacity_factor, shape.tokens, job_.model.top_k);
  RoutedLayer result;
  result.traffic = map_to_ranks(routing, plan_.layout, slots(layer));
  if (!routing.sets.empty() && removes_duplicates(plan_.dispatcher))
    count_touched(routing, plan_.layout, slots(layer), common_node_block(job_.cluster, model.ranks()), result.traffic);
  if (plan_.layout.ep > 1) {
    result.times = solve_all_to_alls(network_, model.ranks(), result.traffic,
                                     make_exchange(plan_, job_.model, model.kernels()));
  }
  return result;
}

const RoutedLayer& ChunkSimulator::routed_layer(const StageModel& model, std::size_t stage_class,
                                                const PlacedLayer& layer, const LoadSample& sample) {
  const RoutingShape shape = routing_shape(job_, plan_);
  CacheKey key{kRoutedLayerKey,
               network_.sharing_mode() == "flow",
               sample.iteration,
               sample.micro_batch,
               sample.is_balanced() ? 0 : layer.moe_index,
               shape.sources,
               shape.tokens,
               shape.micro_batches,
               plan_.layout.ep,
               static_cast<int>(plan_.dispatcher),
               plan_.dispatcher_sms,
               plan_.chunk_degree,
               digest(slots(layer))};
  key.insert(key.end(), signatures_[stage_class].begin(), signatures_[stage_class].end());
  return cache_.routed_layer(key, [&] { return compute_routed_layer(model, layer, sample); });
}

CacheKey ChunkSimulator::chunk_key(std::size_t chunk, const LoadSample& sample) const {
  const std::size_t stage = chunk % static_cast<std::size_t>(plan_.layout.pp);
  const int stage_class = class_of_[stage];
  CacheKey key{stage_class, chunk == 0, chunk + 1 == layers_.size(), sample.iteration, sample.micro_batch};
  const bool same_routing = sample.is_balanced() && plan_.placement.is_contiguous() && !options_.keep_bars;
  for (const PlacedLayer& layer : layers_[chunk]) {
    key.push_back(models_[static_cast<std::size_t>(stage_class)]->template_id(layer));
    key.push_back(same_routing ? 0 : layer.number);
  }
  return key;
}

ChunkPair ChunkSimulator::simulate_chunk_pair(std::size_t chunk, const LoadSample& sample) {
  const std::size_t stage = chunk % static_cast<std::size_t>(plan_.layout.pp);
  const auto stage_class = static_cast<std::size_t>(class_of_[stage]);
  const StageModel& model = *models_[stage_class];
  std::vector<ChunkLayer> layers;
  std::map<std::pair<int, std::int64_t>, const MoeTimes*>
      alike;  // balanced layers with the same slots do the same
  for (const PlacedLayer& placed : layers_[chunk]) {
    ChunkLayer layer{&model.layer(placed), nullptr, placed.number};
    if (layer.kernels->is_moe) {
      const MoeTimes*& moe = alike[{sample.is_balanced() ? -1 : placed.moe_index, digest(slots(placed))}];
      if (moe == nullptr) {
        const RoutedLayer& routed = routed_layer(model, stage_class, placed, sample);
        const AllToAllTimes times = options_.free_comm ? routed.times.without_time() : routed.times;
        moe_times_.push_back(build_moe_times(model.kernels(), routed.traffic, times, plan_.chunk_degree));
        moe = &moe_times_.back();
        if (!sample.is_balanced()) ++distinct_matrices_;
      }
      layer.moe = moe;
    }
    layers.push_back(layer);
  }
  const ChunkEnds ends = model.ends(chunk == 0, chunk + 1 == layers_.size());
  ChunkPair pair;
  pair.forward =
      simulate_chunk(model.ranks(), model.slow(), plan_.recompute, layers, ends, false, options_.keep_bars);
  pair.backward =
      simulate_chunk(model.ranks(), model.slow(), plan_.recompute, layers, ends, true, options_.keep_bars);
  if (!options_.keep_bars) moe_times_.clear();
  return pair;
}

ChunkSample ChunkSimulator::simulate(const LoadSample& sample) {
  ChunkSample result;
  for (std::size_t chunk = 0; chunk < layers_.size(); ++chunk) {
    const CacheKey key = chunk_key(chunk, sample);
    auto found = pairs_.find(key);
    if (found == pairs_.end()) found = pairs_.emplace(key, simulate_chunk_pair(chunk, sample)).first;
    result.chunks.push_back(&found->second);
  }
  return result;
}

}  // namespace moeplan::sim
