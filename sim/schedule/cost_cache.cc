#include "sim/schedule/cost_cache.h"

namespace moeplan::sim {

const RoutedLayer& CostCache::routed_layer(const CacheKey& key, const std::function<RoutedLayer()>& compute) {
  return get(routed_layers_, key, compute);
}

const LayerEstimate& CostCache::layer_estimate(const CacheKey& key,
                                               const std::function<LayerEstimate()>& compute) {
  return get(layer_estimates_, key, compute);
}

double CostCache::number(const CacheKey& key, const std::function<double()>& compute) {
  return get(numbers_, key, compute);
}

std::unique_ptr<CostCache, void (*)(CostCache*)> make_cost_cache() {
  return {new CostCache, [](CostCache* cache) { delete cache; }};
}

}  // namespace moeplan::sim
