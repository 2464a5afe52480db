#pragma once

#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "sim/schedule/cost_cache.h"
#include "sim/schedule/load_sample.h"
#include "sim/schedule/stage_model.h"

namespace moeplan::sim {

/// The passes of one virtual stage for one micro-batch.
struct ChunkPair {
  ChunkTimes forward;
  ChunkTimes backward;
  ChunkTimes input, weight;  ///< the halves of backward, where the schedule splits it

  const ChunkTimes& of(Pass pass) const;
};

/// Times of all virtual stages for one routing sample. chunk[c] may be shared by stages that do the same.
struct ChunkSample {
  std::vector<const ChunkPair*> chunks;  ///< [c] of the plan's ChunkMap
  LoadSample load;
};

/// Simulates virtual stages. Stages that sit alike on the cluster and do the same work are simulated once.
class ChunkSimulator {
 public:
  struct Options {
    bool free_comm = false;
    bool keep_bars = false;
    int micro_batch_samples = kMicroBatchSamples;  ///< see SimulateOptions
    std::int32_t shown =
        -1;  ///< place in a stage of the rank whose bars are kept; -1: the one that ends last
  };
  ChunkSimulator(const Job& job, const PlanSpec& plan, const CommNetwork& network, Options options,
                 CostCache& cache);

  ChunkSample simulate(const LoadSample& sample);
  /// Dispatch and combine of a MoE layer until its last rank is done; nothing where there are no experts on
  /// other ranks. Requires: layers()[chunk][layer] is a MoE layer.
  base::Seconds all_to_all_time(std::size_t chunk, std::size_t layer, const LoadSample& sample);
  /// A forward on one chunk beside a backward on another of the same rank. Stays valid.
  const ChunkTimes& simulate_both(int forward_chunk, const LoadSample& forward_sample, int backward_chunk,
                                  const LoadSample& backward_sample);
  const Options& options() const { return options_; }
  const ChunkMap& map() const { return map_; }
  int distinct_matrices() const { return distinct_matrices_; }
  const std::vector<std::vector<PlacedLayer>>& layers() const { return layers_; }
  const StageModel& stage(int stage) const {
    return *models_[static_cast<std::size_t>(class_of_[static_cast<std::size_t>(stage)])];
  }

 private:
  ChunkPair simulate_chunk_pair(std::size_t chunk, const LoadSample& sample);
  ChunkWork chunk_work(std::size_t chunk, const LoadSample& sample);
  void add_copies(const StageModel& model, std::size_t kind, const std::vector<PlacedLayer>& layers,
                  const LoadSample& sample, ChunkWork& work);
  ChunkTimes launched_one_by_one(ChunkTimes pair, std::size_t forward_chunk, const LoadSample& forward_sample,
                                 std::size_t backward_chunk, const LoadSample& backward_sample);
  const ChunkPair& chunk_pair(std::size_t chunk, const LoadSample& sample);
  OverlapFactors factors(const StageModel& model, const ChunkWork& forward, const ChunkWork& backward) const;
  ChunkPlace place_of(const StageModel& model) const {
    return {model.ranks(),       model.slow(),  plan_.recompute, plan_.overlap.delay_weight_gradients,
            plan_.offload.any(), options_.shown};
  }
  std::size_t stage_class(std::size_t chunk) const {
    return static_cast<std::size_t>(class_of_[static_cast<std::size_t>(map_.stage(static_cast<int>(chunk)))]);
  }
  const RoutedLayer& routed_layer(const StageModel& model, std::size_t stage_class, const PlacedLayer& layer,
                                  const LoadSample& sample);
  RoutedLayer compute_routed_layer(const StageModel& model, const PlacedLayer& layer,
                                   const LoadSample& sample) const;
  CacheKey chunk_key(std::size_t chunk, const LoadSample& sample) const;
  std::span<const std::int32_t> slots(const PlacedLayer& layer) const;

  const Job& job_;
  const PlanSpec& plan_;
  const CommNetwork& network_;
  Options options_;
  CostCache& cache_;
  ChunkMap map_;
  std::vector<std::vector<PlacedLayer>> layers_;
  std::vector<int> class_of_;                        // [stage]
  std::vector<CacheKey> signatures_;                 // [class]
  std::vector<std::unique_ptr<StageModel>> models_;  // [class]
  std::map<CacheKey, ChunkPair> pairs_;
  std::map<CacheKey, ChunkTimes> overlapped_;
  std::deque<MoeTimes> moe_times_;               // kept for bars, which point into it
  std::deque<std::vector<LayerCopies>> copies_;  // likewise
  int distinct_matrices_ = 0;
};

}  // namespace moeplan::sim
