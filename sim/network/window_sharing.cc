#include "sim/network/window_sharing.h"

#include <algorithm>

#include "base/check.h"
#include "sim/network/bound_sharing.h"
#include "sim/network/flow_log.h"
#include "sim/network/fluid_component.h"
#include "sim/network/reduction.h"
#include "sim/network/window_gate.h"

namespace moeplan::sim {

using base::Seconds;

SharingResult WindowSharing::solve(std::span<const SharedLink> links, const FlowSet& flows) const {
  return run(links, flows, nullptr);
}

SharingResult WindowSharing::solve_logged(std::span<const SharedLink> links, const FlowSet& flows,
                                          FlowLog& log) const {
  return run(links, flows, &log);
}

SharingResult WindowSharing::run(std::span<const SharedLink> links, const FlowSet& flows,
                                 FlowLog* log) const {
  MOEPLAN_CHECK(endpoints_.size() == flows.size(), "endpoints of each flow");
  SharingResult result;
  std::vector<FlowDemand> demands;
  std::vector<char> sized;
  for (std::size_t i = 0; i < flows.size(); ++i) {
    const Seconds ready = ready_time(links, flows, i);
    demands.push_back({ready.s(), flows.bytes(i).as_double(), (ready - flows.start(i)).s()});
    sized.push_back(flows.bytes(i).count() > 0 && !flows.route(i).empty() ? 1 : 0);
    result.finish.push_back(ready);  // what moves no bytes is done then
  }
  const double hold = tolerance_ > 0 ? tolerance_ * BoundSharing().solve(links, flows).makespan.s() : 0;
  WindowGate gate(endpoints_, sized, window_);
  for (const Component& component : reduce(links, flows, true)) {
    if (log != nullptr) log->begin(component);
    FluidComponent fluid(component, demands, hold, result.finish, nullptr, &gate, log);
    fluid.run();
    result.rate_changes += fluid.rate_changes();
    result.held_back = base::max(result.held_back, Seconds::of(fluid.held_back()));
  }
  for (const Seconds finish : result.finish) result.makespan = base::max(result.makespan, finish);
  result.link_bytes = count_link_bytes(links.size(), flows);
  return result;
}

}  // namespace moeplan::sim
