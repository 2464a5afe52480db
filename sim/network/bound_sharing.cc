#include "sim/network/bound_sharing.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/check.h"

namespace moeplan::sim {

using base::Bytes;
using base::Seconds;

namespace {

/// One flow's share of a link's work.
struct Work {
  std::int64_t place;  // group * links + link
  double ready;        // seconds
  double time;         // bytes / capacity, seconds
};

/// The work of every flow on every link of its route, sorted by place and then latest first.
std::vector<Work> collect_work(std::span<const SharedLink> links, const FlowSet& flows,
                               std::span<const std::int32_t> group) {
  std::vector<Work> all;
  for (std::size_t i = 0; i < flows.size(); ++i) {
    const double ready = ready_time(links, flows, i).s();
    const std::int64_t first = group[i] * static_cast<std::int64_t>(links.size());
    for (const base::LinkId link : flows.route(i)) {
      all.push_back({first + link.value(), ready, (flows.bytes(i) / links[link.index()].capacity).s()});
    }
  }
  std::sort(all.begin(), all.end(), [](const Work& a, const Work& b) {
    return a.place != b.place ? a.place < b.place
                              : (a.ready != b.ready ? a.ready > b.ready : a.time < b.time);
  });
  return all;
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
  const std::vector<Work> all = collect_work(links, flows, group);
  double load = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (i == 0 || all[i].place != all[i - 1].place) load = 0;
    load += all[i].time;
    Seconds& bound = bounds[static_cast<std::size_t>(all[i].place) / links.size()];
    bound = base::max(bound, Seconds::of(all[i].ready + load));
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
