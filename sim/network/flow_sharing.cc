#include "sim/network/flow_sharing.h"

#include <algorithm>
#include <optional>

#include "sim/network/bound_sharing.h"
#include "sim/network/flow_log.h"
#include "sim/network/fluid_component.h"
#include "sim/network/pair_component.h"
#include "sim/network/reduction.h"

namespace moeplan::sim {

using base::Seconds;

namespace {

/// The common end of all flows where they start together, move the same bytes, and each would get the same
/// share of its narrowest link if every link were parted evenly: those shares are then the max-min fair
/// rates, and there is nothing to simulate. Uniform traffic through a switch is of this kind. Cost: O(hops)
std::optional<Seconds> find_common_end(std::span<const SharedLink> links, const FlowSet& flows) {
  if (flows.empty() || flows.bytes(0).count() == 0) return std::nullopt;
  std::vector<double> on(links.size(), 0);
  for (std::size_t i = 0; i < flows.size(); ++i) {
    if (flows.bytes(i) != flows.bytes(0) || flows.start(i) != flows.start(0) || flows.route(i).empty())
      return std::nullopt;
    for (const base::LinkId link : flows.route(i)) on[link.index()] += 1;
  }
  const Seconds ready = ready_time(links, flows, 0);
  double common = 0;
  for (std::size_t i = 0; i < flows.size(); ++i) {
    double share = kNever;
    for (const base::LinkId link : flows.route(i))
      share = std::min(share, links[link.index()].capacity.bytes_per_s() / on[link.index()]);
    if (i == 0) common = share;
    if (share != common || ready_time(links, flows, i) != ready) return std::nullopt;
  }
  return ready + Seconds::of(flows.bytes(0).as_double() / common);
}

/// The link that gives a flow its even share is its bottleneck, the first of its route where several do.
void log_common_end(std::span<const SharedLink> links, const FlowSet& flows, Seconds end, FlowLog& log) {
  std::vector<double> on(links.size(), 0);
  for (std::size_t i = 0; i < flows.size(); ++i)
    for (const base::LinkId link : flows.route(i)) on[link.index()] += 1;
  const auto share = [&](base::LinkId link) {
    return links[link.index()].capacity.bytes_per_s() / on[link.index()];
  };
  for (std::size_t i = 0; i < flows.size(); ++i) {
    const auto route = flows.route(i);
    const auto narrowest = std::min_element(
        route.begin(), route.end(), [&](base::LinkId a, base::LinkId b) { return share(a) < share(b); });
    log.add_steady(i, *narrowest, ready_time(links, flows, i).s(), end.s());
  }
}

}  // namespace

SharingResult FlowSharing::solve(std::span<const SharedLink> links, const FlowSet& flows) const {
  return run(links, flows, nullptr, nullptr);
}

SharingResult FlowSharing::solve_logged(std::span<const SharedLink> links, const FlowSet& flows,
                                        FlowLog& log) const {
  return run(links, flows, nullptr, &log);
}

SharingResult FlowSharing::solve_traced(std::span<const SharedLink> links, const FlowSet& flows,
                                        std::vector<RateChange>& trace) const {
  trace.clear();
  return run(links, flows, &trace, nullptr);
}

SharingResult FlowSharing::run(std::span<const SharedLink> links, const FlowSet& flows,
                               std::vector<RateChange>* trace, FlowLog* log) const {
  SharingResult result;
  if (const auto end = trace == nullptr ? find_common_end(links, flows) : std::nullopt) {
    result.finish.assign(flows.size(), *end);
    result.makespan = *end;
    result.link_bytes = count_link_bytes(links.size(), flows);
    result.rate_changes = 2;  // all start, all end
    if (log != nullptr) log_common_end(links, flows, *end, *log);
    return result;
  }
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
    if (log != nullptr) log->begin(component);
    // A tolerance merges so many changes that filling from lists is as fast.
    if (const auto sides = hold > 0 ? std::nullopt : PairComponent::find_sides(component)) {
      PairComponent pairs(component, *sides, demands, result.finish, trace, log);
      pairs.run();
      result.rate_changes += pairs.rate_changes();
      continue;
    }
    FluidComponent fluid(component, demands, hold, result.finish, trace, nullptr, log);
    fluid.run();
    result.rate_changes += fluid.rate_changes();
    result.held_back = base::max(result.held_back, Seconds::of(fluid.held_back()));
  }
  for (const Seconds finish : result.finish) result.makespan = base::max(result.makespan, finish);
  result.link_bytes = count_link_bytes(links.size(), flows);
  return result;
}

}  // namespace moeplan::sim
