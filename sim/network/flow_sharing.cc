#include "sim/network/flow_sharing.h"

#include <algorithm>

#include "sim/network/bound_sharing.h"
#include "sim/network/fluid_component.h"
#include "sim/network/pair_component.h"
#include "sim/network/reduction.h"

namespace moeplan::sim {

using base::Seconds;

SharingResult FlowSharing::solve(std::span<const SharedLink> links, const FlowSet& flows) const {
  return run(links, flows, nullptr);
}

SharingResult FlowSharing::solve_traced(std::span<const SharedLink> links, const FlowSet& flows,
                                        std::vector<RateChange>& trace) const {
  trace.clear();
  return run(links, flows, &trace);
}

SharingResult FlowSharing::run(std::span<const SharedLink> links, const FlowSet& flows,
                               std::vector<RateChange>* trace) const {
  SharingResult result;
  std::vector<FlowDemand> demands;
  demands.reserve(flows.size());
  result.finish.reserve(flows.size());
  for (std::size_t i = 0; i < flows.size(); ++i) {
    const Seconds ready = ready_time(links, flows, i);
    demands.push_back({ready.s(), flows.bytes(i).as_double()});
    result.finish.push_back(ready);  // what moves no bytes is done then
  }
  const double hold = tolerance_ > 0 ? tolerance_ * BoundSharing().solve(links, flows).makespan.s() : 0;
  for (const Component& component : reduce(links, flows)) {
    // A tolerance merges so many changes that filling from lists is as fast.
    if (const auto sides = hold > 0 ? std::nullopt : PairComponent::find_sides(component)) {
      PairComponent pairs(component, *sides, demands, result.finish, trace);
      pairs.run();
      result.rate_changes += pairs.rate_changes();
      continue;
    }
    FluidComponent fluid(component, demands, hold, result.finish, trace);
    fluid.run();
    result.rate_changes += fluid.rate_changes();
    result.held_back = base::max(result.held_back, Seconds::of(fluid.held_back()));
  }
  for (const Seconds finish : result.finish) result.makespan = base::max(result.makespan, finish);
  result.link_bytes = count_link_bytes(links.size(), flows);
  return result;
}

}  // namespace moeplan::sim
