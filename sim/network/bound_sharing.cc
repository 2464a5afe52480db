#include "sim/network/bound_sharing.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/check.h"

namespace moeplan::sim {

using base::Bytes;
using base::Seconds;

namespace {

/// The flows of each group, those that begin to share last in front.
struct GroupedFlows {
  std::vector<std::size_t> first;  // [group] -> in flows, and the end
  std::vector<std::size_t> flows;
};

GroupedFlows sort_by_group(const std::vector<double>& ready, std::span<const std::int32_t> group,
                           std::size_t groups) {
  GroupedFlows sorted;
  sorted.first.assign(groups + 1, 0);
  for (const std::int32_t g : group) ++sorted.first[static_cast<std::size_t>(g) + 1];
  for (std::size_t g = 0; g < groups; ++g) sorted.first[g + 1] += sorted.first[g];
  sorted.flows.resize(group.size());
  std::vector<std::size_t> next(sorted.first.begin(), sorted.first.end() - 1);
  for (std::size_t i = 0; i < group.size(); ++i) sorted.flows[next[static_cast<std::size_t>(group[i])]++] = i;
  const auto at = [&](std::size_t place) {
    return sorted.flows.begin() + static_cast<std::ptrdiff_t>(place);
  };
  for (std::size_t g = 0; g < groups; ++g) {
    std::sort(at(sorted.first[g]), at(sorted.first[g + 1]), [&](std::size_t x, std::size_t y) {
      return ready[x] != ready[y] ? ready[x] > ready[y] : x < y;
    });
  }
  return sorted;
}

/// All flows of a link together: enough to see whether it can be the busiest.
struct LinkLoad {
  double time = 0;  // sum of bytes / capacity, seconds
  double first = std::numeric_limits<double>::infinity();
  double last = 0;  // earliest and latest instant at which a flow begins to share
};

/// max over x of  x + work that becomes ready at x or later.
double compute_latest_end(std::vector<std::pair<double, double>>& ready_and_time) {
  std::sort(ready_and_time.begin(), ready_and_time.end());
  double load = 0;
  double end = 0;
  for (std::size_t i = ready_and_time.size(); i-- > 0;) {
    load += ready_and_time[i].second;
    end = std::max(end, ready_and_time[i].first + load);
  }
  return end;
}

/// The bound over all links. A link is looked at closely only if it might be the busiest.
double compute_bound(std::span<const SharedLink> links, const FlowSet& flows,
                     const std::vector<double>& ready) {
  std::vector<LinkLoad> loads(links.size());
  for (std::size_t i = 0; i < flows.size(); ++i) {
    for (const base::LinkId link : flows.route(i)) {
      LinkLoad& load = loads[link.index()];
      load.time += (flows.bytes(i) / links[link.index()].capacity).s();
      load.first = std::min(load.first, ready[i]);
      load.last = std::max(load.last, ready[i]);
    }
  }
  double bound = 0;
  for (const LinkLoad& load : loads) {
    if (load.time > 0) bound = std::max(bound, load.first + load.time);
  }
  // place[link] >= 0: its flows have several ready times that may push the bound up.
  std::vector<int> place(links.size(), -1);
  std::vector<std::vector<std::pair<double, double>>> close;
  for (std::size_t link = 0; link < links.size(); ++link) {
    if (loads[link].last <= loads[link].first || loads[link].last + loads[link].time <= bound) continue;
    place[link] = static_cast<int>(close.size());
    close.emplace_back();
  }
  if (close.empty()) return bound;
  for (std::size_t i = 0; i < flows.size(); ++i) {
    for (const base::LinkId link : flows.route(i)) {
      if (place[link.index()] < 0) continue;
      close[static_cast<std::size_t>(place[link.index()])].emplace_back(
          ready[i], (flows.bytes(i) / links[link.index()].capacity).s());
    }
  }
  for (auto& each : close) bound = std::max(bound, compute_latest_end(each));
  return bound;
}

}  // namespace

Seconds ready_time(std::span<const SharedLink> links, const FlowSet& flows, std::size_t flow) {
  Seconds ready = flows.start(flow);
  for (const base::LinkId link : flows.route(flow)) {
    MOEPLAN_CHECK(link.valid() && link.index() < links.size(), "a route names a link that does not exist");
    ready += links[link.index()].latency;
  }
  return ready;
}

std::vector<Bytes> count_link_bytes(std::size_t links, const FlowSet& flows) {
  std::vector<Bytes> bytes(links);
  for (std::size_t i = 0; i < flows.size(); ++i) {
    for (const base::LinkId link : flows.route(i)) bytes[link.index()] += flows.bytes(i);
  }
  return bytes;
}

std::vector<Seconds> compute_group_bounds(std::span<const SharedLink> links, const FlowSet& flows,
                                          std::span<const std::int32_t> group, std::size_t groups) {
  std::vector<Seconds> bounds(groups);
  MOEPLAN_CHECK(group.size() == flows.size(), "a group for each flow");
  std::vector<double> ready(flows.size());
  for (std::size_t i = 0; i < flows.size(); ++i) ready[i] = ready_time(links, flows, i).s();
  const GroupedFlows sorted = sort_by_group(ready, group, groups);
  std::vector<double> load(links.size());  // of the group's flows so far, seconds
  for (std::size_t g = 0; g < groups; ++g) {
    double bound = 0;
    for (std::size_t k = sorted.first[g]; k < sorted.first[g + 1]; ++k) {
      const std::size_t i = sorted.flows[k];
      for (const base::LinkId link : flows.route(i)) {
        double& work = load[link.index()];
        work += (flows.bytes(i) / links[link.index()].capacity).s();
        bound = std::max(bound, ready[i] + work);
      }
    }
    bounds[g] = Seconds::of(bound);
    for (std::size_t k = sorted.first[g]; k < sorted.first[g + 1]; ++k)
      for (const base::LinkId link : flows.route(sorted.flows[k])) load[link.index()] = 0;
  }
  return bounds;
}

SharingResult BoundSharing::solve(std::span<const SharedLink> links, const FlowSet& flows) const {
  SharingResult result;
  std::vector<double> ready(flows.size());
  result.finish.reserve(flows.size());
  for (std::size_t i = 0; i < flows.size(); ++i) {
    double slowest = std::numeric_limits<double>::infinity();
    for (const base::LinkId link : flows.route(i))
      slowest = std::min(slowest, links[link.index()].capacity.bytes_per_s());
    const double alone = flows.route(i).empty() ? 0 : flows.bytes(i).as_double() / slowest;
    ready[i] = ready_time(links, flows, i).s();
    result.finish.push_back(Seconds::of(ready[i] + alone));
    result.makespan = base::max(result.makespan, result.finish.back());
  }
  result.link_bytes = count_link_bytes(links.size(), flows);
  result.makespan = base::max(result.makespan, Seconds::of(compute_bound(links, flows, ready)));
  return result;
}

}  // namespace moeplan::sim
