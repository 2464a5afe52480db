#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

#include "sim/schedule/moe_times.h"
#include "sim/schedule/segment.h"
#include "sim/schedule/simulate.h"
#include "sim/schedule/stage_contents.h"

namespace moeplan::sim {

/// Everything that a cached value depends on besides the Job, as numbers; the first one says what kind of
/// value it is.
using CacheKey = std::vector<std::int64_t>;

/// Routing of one MoE layer and one micro-batch mapped to ranks, and its all-to-alls.
struct RoutedLayer {
  MoeTraffic traffic;
  AllToAllTimes times;
};

/// A pass through a layer: the GPU's time, or the host's where that is longer, since the host runs ahead over
/// the segments of a pass. In seconds.
struct PassTime {
  double gpu = 0, host = 0;
  void add(const Segment& segment, double share = 1.0) {
    gpu += segment.gpu_time().s() * share;
    host += segment.host().s() * share;
  }
  void add(const PassTime& other, double share = 1.0) {
    gpu += other.gpu * share;
    host += other.host * share;
  }
  double time() const { return std::max(gpu, host); }
};

/// Routed experts with their all-to-alls.
struct RoutedTimes {
  PassTime forward, backward, weight;
};
struct RoutedCosts {
  RoutedTimes plain, again;  ///< without and with activations of experts recomputed
};

/// Of a MoE layer's routed part, in seconds.
struct RoutedFloor {
  double experts_forward = 0, experts_backward = 0;
  double exchange_forward = 0, exchange_backward = 0;
  double host_forward = 0, host_backward = 0;
};

/// Time of one layer for estimates, in seconds.
struct LayerEstimate {
  double forward = 0;
  double backward = 0;
  double weight = 0;                         ///< of backward: products that give gradients of weights
  double low_forward = 0, low_backward = 0;  ///< of the GPU: what no routing and no overlap goes below
  double low_host = 0;                       ///< of the host, forward and backward
};

/// What plans share that differ in virtual stages, schedule and split alone.
struct VariantCosts {
  std::vector<LayerEstimate> layers;  ///< [kind]
  LayerEstimate first, last;          ///< embedding; output head and loss
  double transfer = 0;                ///< s, of one micro-batch's activations to the next stage
  bool stages_alike = true;           ///< no stage sits better on the cluster than the first
};

/// What a stage does once a step, in seconds.
struct TailCosts {
  double reduce = 0, gather = 0;  ///< of a layer
  double update = 0;
};

/// Values that candidates share. A value is a pure function of the Job and its key, so it does not matter
/// which thread computes it first. References stay valid as long as the cache lives.
class CostCache {
 public:
  const RoutedLayer& routed_layer(const CacheKey& key, const std::function<RoutedLayer()>& compute);
  const RoutedCosts& routed_costs(const CacheKey& key, const std::function<RoutedCosts()>& compute);
  const RoutedFloor& routed_floor(const CacheKey& key, const std::function<RoutedFloor()>& compute);
  const VariantCosts& variant(const CacheKey& key, const std::function<VariantCosts()>& compute);
  const TailCosts& tail(const CacheKey& key, const std::function<TailCosts()>& compute);
  const StageContents& contents(const CacheKey& key, const std::function<StageContents()>& compute);
  const std::vector<LayerKind>& kinds(const std::function<std::vector<LayerKind>()>& compute);
  const Estimate& collective(const CacheKey& key, const std::function<Estimate()>& compute);
  double number(const CacheKey& key, const std::function<double()>& compute);

 private:
  template <class Value>
  const Value& get(std::map<CacheKey, Value>& values, const CacheKey& key,
                   const std::function<Value()>& compute) {
    {
      const std::lock_guard lock(mutex_);
      if (const auto found = values.find(key); found != values.end()) return found->second;
    }
    Value value = compute();
    const std::lock_guard lock(mutex_);
    return values.try_emplace(key, std::move(value)).first->second;
  }

  std::mutex mutex_;
  std::map<CacheKey, RoutedLayer> routed_layers_;
  std::map<CacheKey, RoutedCosts> routed_costs_;
  std::map<CacheKey, RoutedFloor> routed_floors_;
  std::map<CacheKey, VariantCosts> variants_;
  std::map<CacheKey, TailCosts> tails_;
  std::map<CacheKey, StageContents> contents_;
  std::map<CacheKey, std::vector<LayerKind>> kinds_;
  std::map<CacheKey, Estimate> collectives_;
  std::map<CacheKey, double> numbers_;
};

}  // namespace moeplan::sim
