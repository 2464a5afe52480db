#include "sim/schedule/cost_cache.h"

namespace moeplan::sim {

const RoutedLayer& CostCache::routed_layer(const CacheKey& key, const std::function<RoutedLayer()>& compute) {
  return get(routed_layers_, key, compute);
}

const RoutedCosts& CostCache::routed_costs(const CacheKey& key, const std::function<RoutedCosts()>& compute) {
  return get(routed_costs_, key, compute);
}

const RoutedFloor& CostCache::routed_floor(const CacheKey& key, const std::function<RoutedFloor()>& compute) {
  return get(routed_floors_, key, compute);
}

const VariantCosts& CostCache::variant(const CacheKey& key, const std::function<VariantCosts()>& compute) {
  return get(variants_, key, compute);
}

const TailCosts& CostCache::tail(const CacheKey& key, const std::function<TailCosts()>& compute) {
  return get(tails_, key, compute);
}

const StageContents& CostCache::contents(const CacheKey& key, const std::function<StageContents()>& compute) {
  return get(contents_, key, compute);
}

const std::vector<LayerKind>& CostCache::kinds(const std::function<std::vector<LayerKind>()>& compute) {
  return get(kinds_, {}, compute);
}

const Estimate& CostCache::collective(const CacheKey& key, const std::function<Estimate()>& compute) {
  return get(collectives_, key, compute);
}

double CostCache::number(const CacheKey& key, const std::function<double()>& compute) {
  return get(numbers_, key, compute);
}

std::unique_ptr<CostCache, void (*)(CostCache*)> make_cost_cache() {
  return {new CostCache, [](CostCache* cache) { delete cache; }};
}

}  // namespace moeplan::sim
