#include "sim/schedule/chunk_set.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "base/files.h"
#include "sim/cost/profile_data.h"
#include "sim/schedule/activation_bytes.h"
#include "sim/schedule/shared_experts.h"
#include "sim/schedule/tile_fused.h"

namespace moeplan::sim {

namespace {

using base::Seconds;

constexpr std::int64_t kRoutedLayerKey = 1;

std::int64_t digest(std::span<const std::int32_t> slots) {
  base::Digest digest;
  digest.add({reinterpret_cast<const char*>(slots.data()), slots.size_bytes()});
  return static_cast<std::int64_t>(digest.value());
}

/// Of all EP groups of a stage; 0 where they differ.
int common_node_block(const topology::Cluster& cluster, const StageRanks& stage) {
  const int block = node_block(cluster, stage, 0);
  for (std::size_t first = 0; first < stage.ranks.size();
       first += static_cast<std::size_t>(stage.expert_group))
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
      map_(plan),
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
    count_touched(routing, plan_.layout, slots(layer), common_node_block(job_.cluster, model.ranks()),
                  result.traffic);
  if (plan_.layout.ep * plan_.layout.etp > 1) {
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
               shape.parts,
               plan_.layout.ep,
               plan_.layout.etp,
               static_cast<int>(plan_.dispatcher),
               plan_.dispatcher_sms,
               plan_.chunk_degree,
               plan_.backward_chunks(),
               digest(slots(layer))};
  key.insert(key.end(), signatures_[stage_class].begin(), signatures_[stage_class].end());
  return cache_.routed_layer(key, [&] { return compute_routed_layer(model, layer, sample); });
}

CacheKey ChunkSimulator::chunk_key(std::size_t chunk, const LoadSample& sample) const {
  const std::size_t kind = stage_class(chunk);
  CacheKey key{static_cast<std::int64_t>(kind),
               map_.is_first(static_cast<int>(chunk)),
               map_.is_last(static_cast<int>(chunk)),
               sample.iteration,
               sample.micro_batch,
               sample.document};
  const bool same_routing = sample.is_balanced() && plan_.placement.is_contiguous() && !options_.keep_bars;
  for (const PlacedLayer& layer : layers_[chunk]) {
    key.push_back(models_[kind]->template_id(layer));
    key.push_back(same_routing ? 0 : layer.number);
  }
  return key;
}

ChunkWork ChunkSimulator::chunk_work(std::size_t chunk, const LoadSample& sample) {
  const std::size_t kind = stage_class(chunk);
  StageModel& model = *models_[kind];
  ChunkWork work;
  std::map<std::pair<int, std::int64_t>, const MoeTimes*>
      alike;  // balanced layers with the same slots do the same
  for (const PlacedLayer& placed : layers_[chunk]) {
    ChunkLayer layer{&model.layer(placed, sample.document), nullptr, placed.number};
    if (layer.kernels->is_moe) {
      const MoeTimes*& moe = alike[{sample.is_balanced() ? -1 : placed.moe_index, digest(slots(placed))}];
      if (moe == nullptr) {
        const RoutedLayer& routed = routed_layer(model, kind, placed, sample);
        const AllToAllTimes times = options_.free_comm ? routed.times.without_time() : routed.times;
        moe_times_.push_back(build_moe_times(model.kernels(), routed.traffic, times, plan_.chunk_degree,
                                             plan_.backward_chunks()));
        if (plan_.overlap.shared_experts) add_shared_experts(model.kernels(), moe_times_.back());
        if (plan_.overlap.tile_fused) fuse_tiles(model.kernels(), routed.traffic, moe_times_.back());
        if (splits_backward(plan_.schedule()) || plan_.overlap.delay_weight_gradients)
          moe_times_.back().split_backward();
        moe = &moe_times_.back();
        if (!sample.is_balanced()) ++distinct_matrices_;
      }
      layer.moe = moe;
    }
    work.layers.push_back(layer);
  }
  work.ends = model.ends(map_.is_first(static_cast<int>(chunk)), map_.is_last(static_cast<int>(chunk)));
  if (plan_.offload.any()) add_copies(model, kind, layers_[chunk], sample, work);
  return work;
}

/// What each rank copies of the layers whose activations wait on the host: there is one chunk, which holds
/// them all.
void ChunkSimulator::add_copies(const StageModel& model, std::size_t kind,
                                const std::vector<PlacedLayer>& layers, const LoadSample& sample,
                                ChunkWork& work) {
  const ActivationBytes activations(job_.model, job_.run, plan_);
  const HostLink link(job_);
  work.offload = offload_order(job_.model, plan_);
  std::map<std::pair<int, const MoeTimes*>, const std::vector<LayerCopies>*> alike;
  for (std::size_t i = 0; i < static_cast<std::size_t>(work.offload.offloaded); ++i) {
    ChunkLayer& layer = work.layers[i];
    const std::vector<LayerCopies>*& copies = alike[{model.template_id(layers[i]), layer.moe}];
    if (copies == nullptr) {
      const LayerBytes bytes = activations.layer(layers[i].spec);
      std::vector<LayerCopies>& made = copies_.emplace_back();
      if (layer.moe == nullptr) {
        made.push_back(link.copies(bytes.kept));
      } else {
        const MoeTraffic& traffic = routed_layer(model, kind, layers[i], sample).traffic;
        for (std::size_t r = 0; r < model.ranks().ranks.size(); ++r) {
          const std::vector<std::int64_t> rows = traffic.gathered(r);
          made.push_back(
              link.copies(bytes.kept + bytes.kept_per_row * static_cast<double>(std::accumulate(
                                                                rows.begin(), rows.end(), std::int64_t{0}))));
        }
      }
      copies = &made;
    }
    layer.copies = copies;
  }
}

ChunkPair ChunkSimulator::simulate_chunk_pair(std::size_t chunk, const LoadSample& sample) {
  const StageModel& model = *models_[stage_class(chunk)];
  const ChunkPlace place = place_of(model);
  const ChunkWork work = chunk_work(chunk, sample);
  ChunkPair pair;
  pair.forward = simulate_chunk(place, work, Pass::kForward, options_.keep_bars);
  pair.backward = simulate_chunk(place, work, Pass::kBackward, options_.keep_bars);
  if (splits_backward(plan_.schedule())) {
    pair.input = simulate_chunk(place, work, Pass::kInput, options_.keep_bars);
    pair.weight = simulate_chunk(place, work, Pass::kWeight, options_.keep_bars);
  }
  if (!options_.keep_bars) {
    moe_times_.clear();
    copies_.clear();
  }
  return pair;
}

/// Work and all-to-alls of the mean rank, summed over the layers of both.
OverlapFactors ChunkSimulator::factors(const StageModel& model, const ChunkWork& forward,
                                       const ChunkWork& backward) const {
  OverlapInput input;
  CostSum work;
  double rate = 0.0;
  const auto add_mean = [](const std::vector<Segment>& segments, CostSum& sum) {
    for (const Segment& segment : segments)
      sum.add(segment.cost(), 1.0 / static_cast<double>(segments.size()));
  };
  CostSum out, back;
  for (const ChunkLayer& layer : forward.layers) {
    for (const Segment* s :
         {&layer.kernels->attention_forward, &layer.kernels->before_forward, &layer.kernels->after_forward})
      work.add(s->cost());
    if (layer.moe == nullptr) continue;
    add_mean(layer.moe->experts, work);
    add_mean(layer.moe->dispatch, out);
    add_mean(layer.moe->combine, back);
    rate = std::max(rate, layer.moe->traffic_rate.bytes_per_s());
  }
  for (const ChunkLayer& layer : backward.layers) {
    for (const BackwardSegment* s : {&layer.kernels->attention_backward, &layer.kernels->before_backward,
                                     &layer.kernels->after_backward})
      work.add(s->whole.cost());
    if (layer.moe == nullptr) continue;
    add_mean(layer.moe->experts_backward, work);
    add_mean(layer.moe->dispatch_gradient, out);
    add_mean(layer.moe->combine_gradient, back);
    rate = std::max(rate, layer.moe->traffic_rate.bytes_per_s());
  }
  input.dispatch = out.total();
  input.combine = back.total();
  input.products = work.at(TimeClass::kGemm) + work.at(TimeClass::kAttention);
  input.memory = work.at(TimeClass::kMemory);
  input.sms = model.kernels().communication_sms();
  input.gpu_sms = job_.profile.sm_count();
  input.memory_factor = job_.profile.data().interference.memory_factor(base::BytesPerSecond::of(rate),
                                                                       job_.profile.hbm_bandwidth());
  return paired_factors(input);
}

const ChunkTimes& ChunkSimulator::simulate_both(int forward_chunk, const LoadSample& forward_sample,
                                                int backward_chunk, const LoadSample& backward_sample) {
  const auto f = static_cast<std::size_t>(forward_chunk);
  const auto b = static_cast<std::size_t>(backward_chunk);
  CacheKey key = chunk_key(f, forward_sample);
  const CacheKey other = chunk_key(b, backward_sample);
  key.push_back(static_cast<std::int64_t>(key.size()));
  key.insert(key.end(), other.begin(), other.end());
  const auto found = overlapped_.find(key);
  if (found != overlapped_.end()) return found->second;
  const StageModel& model = *models_[stage_class(f)];
  const ChunkWork forward = chunk_work(f, forward_sample);
  const ChunkWork backward = chunk_work(b, backward_sample);
  const ChunkPlace place = place_of(model);
  ChunkTimes times =
      simulate_pair(place, forward, backward, factors(model, forward, backward), options_.keep_bars);
  if (!options_.keep_bars) moe_times_.clear();
  if (plan_.overlap.all_to_all && !job_.run.graph.whole_step)
    times = launched_one_by_one(std::move(times), f, forward_sample, b, backward_sample);
  return overlapped_.emplace(std::move(key), std::move(times)).first->second;
}

/// A pair whose kernels the host launches one by one hides only kEagerHiding of what it could: it takes that
/// share of the gain over one pass after the other. Its bars stay those of a pair that hides all.
ChunkTimes ChunkSimulator::launched_one_by_one(ChunkTimes pair, std::size_t forward_chunk,
                                               const LoadSample& forward_sample, std::size_t backward_chunk,
                                               const LoadSample& backward_sample) {
  const ChunkTimes& forward = chunk_pair(forward_chunk, forward_sample).forward;
  const ChunkTimes& backward = chunk_pair(backward_chunk, backward_sample).backward;
  for (std::size_t block = 0; block < pair.duration.size(); ++block) {
    const Seconds apart = forward.duration[block] + backward.duration[block];
    if (apart <= pair.duration[block]) continue;
    pair.duration[block] = apart * (1.0 - kEagerHiding) + pair.duration[block] * kEagerHiding;
    CostSum critical;
    critical.add(pair.critical[block], kEagerHiding);
    critical.add(forward.critical[block], 1.0 - kEagerHiding);
    critical.add(backward.critical[block], 1.0 - kEagerHiding);
    pair.critical[block] = critical;
  }
  return pair;
}

const ChunkTimes& ChunkPair::of(Pass pass) const {
  switch (pass) {
    case Pass::kForward:
      return forward;
    case Pass::kBackward:
      return backward;
    case Pass::kInput:
      return input;
    case Pass::kWeight:
      return weight;
  }
  return forward;
}

Seconds ChunkSimulator::all_to_all_time(std::size_t chunk, std::size_t layer, const LoadSample& sample) {
  const std::size_t kind = stage_class(chunk);
  const AllToAllTimes& times = routed_layer(*models_[kind], kind, layers_[chunk][layer], sample).times;
  const auto last = [](const CommTimes& t) {
    return t.done.empty() ? Seconds() : *std::max_element(t.done.begin(), t.done.end());
  };
  return last(times.dispatch) + last(times.combine);
}

const ChunkPair& ChunkSimulator::chunk_pair(std::size_t chunk, const LoadSample& sample) {
  const CacheKey key = chunk_key(chunk, sample);
  auto found = pairs_.find(key);
  if (found == pairs_.end()) found = pairs_.emplace(key, simulate_chunk_pair(chunk, sample)).first;
  return found->second;
}

ChunkSample ChunkSimulator::simulate(const LoadSample& sample) {
  ChunkSample result;
  result.load = sample;
  for (std::size_t chunk = 0; chunk < layers_.size(); ++chunk) {
    result.chunks.push_back(&chunk_pair(chunk, sample));
  }
  return result;
}

}  // namespace moeplan::sim
