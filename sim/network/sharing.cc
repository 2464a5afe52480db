#include "sim/network/sharing.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/check.h"
#include "base/diagnostics.h"
#include "sim/network/bound_sharing.h"
#include "sim/network/cluster_links.h"
#include "sim/network/flow_sharing.h"
#include "sim/network/window_sharing.h"

namespace moeplan::sim {

using base::Seconds;

void FlowSet::reserve(std::size_t flows, std::size_t hops) {
  bytes_.reserve(flows);
  start_.reserve(flows);
  first_hop_.reserve(flows + 1);
  hops_.reserve(hops);
}

base::FlowId FlowSet::add(std::span<const base::LinkId> route, base::Bytes bytes, Seconds start) {
  MOEPLAN_CHECK(bytes.count() >= 0 && start.s() >= 0, "a flow has negative bytes or a negative start");
  const base::FlowId id = base::FlowId::from(bytes_.size());
  bytes_.push_back(bytes);
  start_.push_back(start);
  hops_.insert(hops_.end(), route.begin(), route.end());
  first_hop_.push_back(hops_.size());
  return id;
}

void FlowSet::clear() {
  bytes_.clear();
  start_.clear();
  first_hop_.assign(1, 0);
  hops_.clear();
}

base::Bytes part_of(base::Bytes whole, int part, int parts) {
  return base::Bytes::of(whole.count() / parts + (part < whole.count() % parts ? 1 : 0));
}

SharingMode parse_sharing_mode(const std::string& text) {
  if (text == "bound") return SharingMode::kBound;
  if (text == "flow") return SharingMode::kFlow;
  if (text == "window") return SharingMode::kWindow;
  const std::string near = base::nearest_word(text, {"bound", "flow", "window"});
  throw base::InputError(fmt::format("found the sharing mode \"{}\", expected bound, flow or window", text),
                         near.empty() ? "" : fmt::format("did you mean \"{}\"?", near));
}

std::string_view name(SharingMode mode) {
  switch (mode) {
    case SharingMode::kBound:
      return "bound";
    case SharingMode::kFlow:
      return "flow";
    case SharingMode::kWindow:
      return "window";
  }
  return "?";
}

std::unique_ptr<Sharing> make_sharing(const SharingOptions& options) {
  if (!(options.tolerance >= 0 && options.tolerance < 1)) {
    throw base::InputError(fmt::format(
        "found the tolerance {}, expected a fraction from 0 (exact) to below 1", options.tolerance));
  }
  if (options.mode == SharingMode::kWindow) {
    if (options.window < 1)
      throw base::InputError(
          fmt::format("found a window of {}, expected the peers that a rank talks to at a time, 1 or more",
                      options.window),
          "write --window 8");
    return std::make_unique<WindowSharing>(options.window, options.endpoints, options.tolerance);
  }
  if (options.window != 0)
    throw base::InputError(
        fmt::format("a window belongs to the sharing mode \"window\", found \"{}\"", name(options.mode)),
        "leave it out, or use \"window\"");
  if (options.mode == SharingMode::kFlow) return std::make_unique<FlowSharing>(options.tolerance);
  if (options.tolerance != 0) {
    throw base::InputError("a tolerance belongs to the sharing modes \"flow\" and \"window\"",
                           "leave it out, or use \"flow\"");
  }
  return std::make_unique<BoundSharing>();
}

std::vector<Seconds> compute_group_done(const Sharing& sharing, std::span<const SharedLink> links,
                                        const FlowSet& flows, const SharingResult& result,
                                        std::span<const std::int32_t> group, std::size_t groups) {
  MOEPLAN_CHECK(group.size() == flows.size() && result.finish.size() == flows.size(),
                "a group for each flow");
  std::vector<Seconds> done(groups);
  for (std::size_t i = 0; i < flows.size(); ++i) {
    Seconds& latest = done[static_cast<std::size_t>(group[i])];
    latest = base::max(latest, result.finish[i]);
  }
  if (dynamic_cast<const BoundSharing*>(&sharing) == nullptr) return done;
  const std::vector<Seconds> bounds = compute_group_bounds(links, flows, group, groups);
  for (std::size_t i = 0; i < groups; ++i) done[i] = base::max(done[i], bounds[i]);
  return done;
}

std::vector<SharedLink> shared_links(const topology::Cluster& cluster) {
  std::vector<SharedLink> links;
  links.reserve(cluster.links().size());
  for (const topology::Link& link : cluster.links()) links.push_back({link.capacity, link.latency});
  return links;
}

}  // namespace moeplan::sim
