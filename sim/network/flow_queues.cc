#include "sim/network/flow_queues.h"

#include <algorithm>
#include <functional>

namespace moeplan::sim {

FlowQueues::FlowQueues(const Component& component, const std::vector<FlowDemand>& demands, WindowGate* gate)
    : component_(component),
      demands_(demands),
      bundles_(static_cast<std::size_t>(component.bundles())),
      pending_(component.flows.size()),
      gate_(gate),
      ends_(component.capacity.size()),
      bundles_on_(component.capacity.size(), 0) {
  starts_.reserve(component.flows.size());
  for (int bundle = 0; bundle < component.bundles(); ++bundle) {
    const auto at = static_cast<std::size_t>(bundle);
    for (int i = component.first_flow[at]; i < component.first_flow[at + 1]; ++i)
      starts_.emplace_back(bundle, component.flows[static_cast<std::size_t>(i)]);
  }
  if (gate_ != nullptr) {
    bundle_of_.resize(demands.size());
    for (const auto& [bundle, flow] : starts_) bundle_of_[static_cast<std::size_t>(flow)] = bundle;
    starts_.clear();
    release(gate_->open(), 0);
  } else {
    sort_starts();
  }
  for (const int link : component.hops) ++bundles_on_[static_cast<std::size_t>(link)];
}

void FlowQueues::sort_starts() {
  const auto earlier = [this](const auto& a, const auto& b) {
    return demands_[static_cast<std::size_t>(a.second)].ready <
           demands_[static_cast<std::size_t>(b.second)].ready;
  };
  if (!std::is_sorted(starts_.begin(), starts_.end(), earlier))
    std::stable_sort(starts_.begin(), starts_.end(), earlier);
}

void FlowQueues::release(const std::vector<int>& flows, double at) {
  for (const int flow : flows) {
    const FlowDemand& demand = demands_[static_cast<std::size_t>(flow)];
    released_.push_back({std::max(at + demand.latency, demand.ready), flow});
    std::push_heap(released_.begin(), released_.end(), std::greater<>());
  }
}

double FlowQueues::next_start() const {
  if (gate_ != nullptr) return released_.empty() ? kNever : released_.front().ready;
  return started_ < starts_.size() ? demands_[static_cast<std::size_t>(starts_[started_].second)].ready
                                   : kNever;
}

std::pair<int, int> FlowQueues::take_start() {
  if (gate_ == nullptr) return starts_[started_++];
  std::pop_heap(released_.begin(), released_.end(), std::greater<>());
  const int flow = released_.back().flow;
  released_.pop_back();
  return {bundle_of_[static_cast<std::size_t>(flow)], flow};
}

int FlowQueues::starts_until(double now) const {
  std::size_t last = started_;
  while (last < starts_.size() && demands_[static_cast<std::size_t>(starts_[last].second)].ready <= now)
    ++last;
  return static_cast<int>(last - started_);
}

void FlowQueues::add(int bundle, int flow, double service) {
  int& pending = bundles_[static_cast<std::size_t>(bundle)].pending;
  const auto first = first_pending(bundle);
  *(first + pending++) = {service + demands_[static_cast<std::size_t>(flow)].bytes, flow};
  std::push_heap(first, first + pending, std::greater<>());
}

int FlowQueues::drop_first(int bundle, double at) {
  Bundle& own = bundles_[static_cast<std::size_t>(bundle)];
  const auto first = first_pending(bundle);
  std::pop_heap(first, first + own.pending, std::greater<>());
  --own.pending;
  ++own.stamp;
  const int flow = (first + own.pending)->flow;
  if (gate_ != nullptr) release(gate_->end(flow), at);
  return flow;
}

void FlowQueues::queue_end(int bundle, int link, double offset) {
  std::vector<End>& ends = ends_[static_cast<std::size_t>(link)];
  if (ends.size() > 4 * bundles_on_[static_cast<std::size_t>(link)] + 64) {
    std::erase_if(ends, [&](const End& end) { return is_void(end); });
    std::make_heap(ends.begin(), ends.end(), std::greater<>());
  }
  ends.push_back(
      {first_pending(bundle)->target - offset, bundle, ++bundles_[static_cast<std::size_t>(bundle)].stamp});
  std::push_heap(ends.begin(), ends.end(), std::greater<>());
}

const FlowQueues::End* FlowQueues::first_end(int link) {
  std::vector<End>& ends = ends_[static_cast<std::size_t>(link)];
  while (!ends.empty() && is_void(ends.front())) {
    std::pop_heap(ends.begin(), ends.end(), std::greater<>());
    ends.pop_back();
  }
  return ends.empty() ? nullptr : &ends.front();
}

}  // namespace moeplan::sim
