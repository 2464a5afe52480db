#include "sim/network/flow_log.h"

#include <algorithm>

#include "base/check.h"
#include "sim/network/flow_sharing.h"
#include "sim/network/window_sharing.h"

namespace moeplan::sim {

namespace {

/// Shorter than this fraction of the time is no time.
constexpr double kInstant = 1e-9;

}  // namespace

FlowLog::FlowLog(std::span<const SharedLink> links, const FlowSet& flows, double until, int bins)
    : flows_(flows),
      bins_(until > 0 ? bins : 0),
      width_(bins_ > 0 ? until / bins_ : 0),
      records_(flows.size()),
      last_(flows.size()),
      carried_(links.size() * static_cast<std::size_t>(bins_)) {}

void FlowLog::begin(const Component& component) {
  component_ = &component;
  bundles_.assign(static_cast<std::size_t>(component.bundles()), {});
  snapshots_.clear();
  bin_ = 0;
}

void FlowLog::add(Spent& spent, int link, double seconds) {
  const auto at =
      std::find_if(spent.begin(), spent.end(), [&](const auto& each) { return each.first == link; });
  if (at == spent.end()) {
    spent.emplace_back(link, seconds);
  } else {
    at->second += seconds;
  }
}

FlowLog::Spent FlowLog::spent_until(const BundleLog& log, double at) const {
  Spent spent = log.spent;
  if (log.link >= 0) add(spent, log.link, std::max(0.0, at - log.since));
  return spent;
}

void FlowLog::start(int bundle, int flow, double service, double now) {
  Record& record = records_[static_cast<std::size_t>(flow)];
  record.begin = now;
  record.served_at_start = service;
  const BundleLog& log = bundles_[static_cast<std::size_t>(bundle)];
  if (log.link < 0) return;
  record.snapshot = static_cast<int>(snapshots_.size());
  snapshots_.push_back(spent_until(log, now));
}

void FlowLog::bind(int bundle, int link, double now) {
  BundleLog& log = bundles_[static_cast<std::size_t>(bundle)];
  if (log.link >= 0 && now > log.since) add(log.spent, log.link, now - log.since);
  if (log.link >= 0 && now - log.since > kInstant * now) log.before = log.link;
  log.link = link;
  log.since = now;
}

void FlowLog::finish(int bundle, int flow, double at, bool last_of_bundle) {
  BundleLog& log = bundles_[static_cast<std::size_t>(bundle)];
  Record& record = records_[static_cast<std::size_t>(flow)];
  MOEPLAN_CHECK(log.link >= 0, "a flow has ended without a bottleneck");
  Spent spent = spent_until(log, at);
  if (record.snapshot >= 0) {
    for (const auto& [link, seconds] : snapshots_[static_cast<std::size_t>(record.snapshot)])
      add(spent, link, -seconds);
  }
  double life = 0;
  for (const auto& each : spent) life += std::max(0.0, each.second);
  record.first_limit = limits_.size();
  for (const auto& [link, seconds] : spent) {
    const bool only = life <= 0 && link == log.link;
    if (seconds <= 0 && !only) continue;
    limits_.push_back(
        {base::LinkId(component_->link_of[static_cast<std::size_t>(link)]), only ? 1.0 : seconds / life});
  }
  record.limits = limits_.size() - record.first_limit;
  // Ends that are one but for rounding may be two: what was bound between them does not count.
  const bool rounding =
      at - log.since <= kInstant * at && log.before >= 0 && at - record.begin > kInstant * at;
  last_[static_cast<std::size_t>(flow)] =
      base::LinkId(component_->link_of[static_cast<std::size_t>(rounding ? log.before : log.link)]);
  credit(flow, flows_.bytes(static_cast<std::size_t>(flow)).as_double());
  if (last_of_bundle) log = {};
}

void FlowLog::credit(int flow, double served) {
  if (bins_ == 0) return;
  Record& record = records_[static_cast<std::size_t>(flow)];
  const double now =
      std::clamp(served, record.credited, flows_.bytes(static_cast<std::size_t>(flow)).as_double());
  carry(static_cast<std::size_t>(flow), bin_, now - record.credited);
  record.credited = now;
}

void FlowLog::carry(std::size_t flow, int bin, double bytes) {
  for (const base::LinkId link : flows_.route(flow))
    carried_[link.index() * static_cast<std::size_t>(bins_) + static_cast<std::size_t>(bin)] += bytes;
}

void FlowLog::add_steady(std::size_t flow, base::LinkId link, double from, double to) {
  last_[flow] = link;
  records_[flow].first_limit = limits_.size();
  records_[flow].limits = 1;
  limits_.push_back({link, 1.0});
  const double rate = flows_.bytes(flow).as_double() / (to - from);
  for (int bin = 0; bin < bins_; ++bin) {
    const double end = bin + 1 < bins_ ? std::min(to, width_ * (bin + 1)) : to;
    const double begin = std::max(from, width_ * bin);
    if (end > begin) carry(flow, bin, rate * (end - begin));
  }
}

std::pair<SharingResult, FlowLog> solve_logged(const SharingOptions& options,
                                               std::span<const SharedLink> links, const FlowSet& flows,
                                               int bins) {
  MOEPLAN_CHECK(options.mode != SharingMode::kBound, "the bound has no bottlenecks over time");
  const double until = bins > 0 ? make_sharing(options)->solve(links, flows).makespan.s() : 0;
  FlowLog log(links, flows, until, bins);
  SharingResult result = options.mode == SharingMode::kWindow
                             ? WindowSharing(options.window, options.endpoints, options.tolerance)
                                   .solve_logged(links, flows, log)
                             : FlowSharing(options.tolerance).solve_logged(links, flows, log);
  return {std::move(result), std::move(log)};
}

}  // namespace moeplan::sim
