#include "topology/fabric_spec.h"

#include <cmath>

namespace moeplan::topology {

namespace {

/// The whole number nearest to `value`, or 0 where that is not it.
int whole(double value) {
  const double rounded = std::round(value);
  return rounded >= 1 && rounded <= 1 << 20 && std::abs(value - rounded) <= 1e-9 * rounded
             ? static_cast<int>(rounded)
             : 0;
}

}  // namespace

int count_leaf_uplinks(const FabricSpec& fabric, int ports_below) {
  return fabric.uplinks ? fabric.uplinks->count : whole(ports_below / fabric.oversubscription);
}

int count_pod_uplinks(const FabricSpec::Pods& pods, std::int64_t leaf_uplinks) {
  return pods.uplinks ? pods.uplinks->count
                      : whole(static_cast<double>(leaf_uplinks) / pods.oversubscription);
}

void scale_rates(FabricSpec& fabric, double factor) {
  const auto scale = [factor](base::BytesPerSecond& rate) { rate = rate * factor; };
  if (fabric.uplinks) scale(fabric.uplinks->bandwidth);
  if (fabric.pods && fabric.pods->uplinks) scale(fabric.pods->uplinks->bandwidth);
  scale(fabric.dragonfly.local.bandwidth);
  scale(fabric.dragonfly.global.bandwidth);
  scale(fabric.torus.link.bandwidth);
  for (FabricSpec::SwitchGraph::Link& link : fabric.graph.links) scale(link.cables.bandwidth);
}

}  // namespace moeplan::topology
