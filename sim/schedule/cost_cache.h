#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

#include "sim/schedule/moe_times.h"
#include "sim/schedule/simulate.h"

namespace moeplan::sim {

/// Everything that a cached value depends on besides the Job, as numbers; the first one says what kind of
/// value it is.
using CacheKey = std::vector<std::int64_t>;

/// Routing of one MoE layer and one micro-batch mapped to ranks, and its all-to-alls.
struct RoutedLayer {
  MoeTraffic traffic;
  AllToAllTimes times;
};

/// Time of one layer, one direction, for estimates.
struct LayerEstimate {
  double forward = 0;   ///< s
  double backward = 0;  ///< s
  double weight = 0;    ///< s, of backward: products that give gradients of weights
};

/// Values that candidates share. A value is a pure function of the Job and its key, so it does not matter
/// which thread computes it first. References stay valid as long as the cache lives.
class CostCache {
 public:
  const RoutedLayer& routed_layer(const CacheKey& key, const std::function<RoutedLayer()>& compute);
  const LayerEstimate& layer_estimate(const CacheKey& key, const std::function<LayerEstimate()>& compute);
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
  std::map<CacheKey, LayerEstimate> layer_estimates_;
  std::map<CacheKey, double> numbers_;
};

}  // namespace moeplan::sim
