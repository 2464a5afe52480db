#include "sim/network/fluid_component.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <utility>

#include "base/check.h"
#include "sim/network/flow_log.h"

namespace moeplan::sim {

FluidComponent::FluidComponent(const Component& component, const std::vector<FlowDemand>& demands,
                               double hold, std::vector<base::Seconds>& finish,
                               std::vector<RateChange>* trace, WindowGate* gate, FlowLog* log)
    : component_(component),
      hold_(hold),
      finish_(finish),
      trace_(trace),
      flow_log_(log),
      queues_(component, demands, gate) {
  const auto bundles = static_cast<std::size_t>(component.bundles());
  links_.resize(component.capacity.size());
  lay_out_logs();
  place_.assign(links_.size(), kIdle);
  state_.resize(bundles);
  bundle_of_slot_.resize(component.hops.size());
  index_of_slot_.assign(component.hops.size(), -1);
  for (int bundle = 0; bundle < component.bundles(); ++bundle) {
    const auto at = static_cast<std::size_t>(bundle);
    for (int slot = component.first_hop[at]; slot < component.first_hop[at + 1]; ++slot) {
      bundle_of_slot_[static_cast<std::size_t>(slot)] = bundle;
    }
  }
}

/// A link's log grows by at most one entry for each bundle that is frozen elsewhere.
void FluidComponent::lay_out_logs() {
  tallies_.resize(component_.capacity.size());
  for (const int link : component_.hops) ++tally_at(link).first_log;
  int next = 0;
  for (std::size_t link = 0; link < tallies_.size(); ++link) {
    tallies_[link].capacity = component_.capacity[link];
    next += std::exchange(tallies_[link].first_log, next);
  }
  log_.resize(component_.hops.size());
}

void FluidComponent::run() {
  while (true) {
    const double end = next_end();
    const double start = queues_.next_start();
    double now = std::min(end, start);
    if (now == kNever) break;
    if (flow_log_ != nullptr) pass_edges(now);
    int place = static_cast<int>(order_.size());
    if (end <= start) place = retire(std::min(end + std::max(hold_, kSameInstant * end), start), now);
    if (queues_.next_start() <= now) place = std::min(place, admit(now));
    thaw(place, now);
    fill(now);
    ++rate_changes_;
    if (trace_ != nullptr) report_rates(now);
  }
  MOEPLAN_CHECK(order_.empty(), "flows are left that never end");
}

void FluidComponent::pass_edges(double now) {
  while (flow_log_->next_edge() < now) {
    const double edge = flow_log_->next_edge();
    flow_log_->pass_edge(queues_, [&](int bundle) { return service(bundle, edge); });
  }
}

double FluidComponent::next_end() const {
  const auto first = std::min_element(end_at_.begin(), end_at_.end());
  return first == end_at_.end() ? kNever : *first;
}

double FluidComponent::service(int bundle, double now) const {
  const BundleState& state = state_[static_cast<std::size_t>(bundle)];
  if (state.bottleneck < 0) return state.offset;
  const Link& link = links_[static_cast<std::size_t>(state.bottleneck)];
  return link.clock + link.level * (now - link.synced) + state.offset;
}

/// Takes out all flows that end by `until`; last becomes the latest of their ends. Returns the first place
/// that this changes.
int FluidComponent::retire(double until, double& last) {
  int changed = static_cast<int>(order_.size());
  for (int place = changed - 1; place >= 0; --place) {
    if (end_at_[static_cast<std::size_t>(place)] > until) continue;
    retire_on(order_[static_cast<std::size_t>(place)], until, last);
    changed = place;
  }
  if (hold_ > 0) note_held_back(last);
  return changed;
}

/// When the next flow with its bottleneck here ends, seconds.
double FluidComponent::end_on(int number) {
  const FlowQueues::End* end = queues_.first_end(number);
  if (end == nullptr) return kNever;
  const Link& link = link_at(number);
  return link.synced + std::max(0.0, end->at - link.clock) / link.level;
}

void FluidComponent::retire_on(int number, double until, double& last) {
  const Link& link = link_at(number);
  for (double at = end_on(number); at <= until; at = end_on(number)) {
    if (at == kNever) return;
    const int bundle = queues_.first_end(number)->bundle;
    const int flow = queues_.drop_first(bundle, at);
    finish_[static_cast<std::size_t>(flow)] = base::Seconds::of(at);
    if (flow_log_ != nullptr) flow_log_->finish(bundle, flow, at, queues_.pending(bundle) == 0);
    last = std::max(last, at);
    if (hold_ > 0) retired_.push_back({bundle, link.level, at});
    leave(bundle);
  }
}

/// Merged ends keep their rates up to the last of them.
void FluidComponent::note_held_back(double last) {
  for (const Retired& retired : retired_) {
    const auto [first, end] = slots_of(retired.bundle);
    for (int slot = first; slot < end; ++slot) {
      link_at(component_.hops[static_cast<std::size_t>(slot)]).held += retired.rate * (last - retired.at);
    }
  }
  retired_.clear();
}

double FluidComponent::held_back() const {
  double worst = 0;
  for (std::size_t link = 0; link < links_.size(); ++link)
    worst = std::max(worst, links_[link].held / component_.capacity[link]);
  return worst;
}

/// Lets in all flows that start by now. Returns the first place that this may change.
int FluidComponent::admit(double now) {
  double level = kNever;
  std::vector<int> admitted;
  while (queues_.next_start() <= now * (1 + kSameInstant)) {
    const auto [bundle, flow] = queues_.take_start();
    admit_flow(bundle, flow, now);
    admitted.push_back(bundle);
  }
  for (const int bundle : admitted) {
    const auto [slot, end] = slots_of(bundle);
    for (int at = slot; at < end; ++at) {
      const Tally& tally = tally_at(component_.hops[static_cast<std::size_t>(at)]);
      level = std::min(level, tally.capacity / tally.flows);
    }
  }
  // A little lower, for rounding in the levels.
  const auto place = std::lower_bound(levels_.begin(), levels_.end(), level * (1 - 1e-9));
  return static_cast<int>(place - levels_.begin());
}

void FluidComponent::admit_flow(int bundle, int flow, double now) {
  if (queues_.pending(bundle) == 0) enter(bundle);
  const double served = service(bundle, now);
  queues_.add(bundle, flow, served);
  if (flow_log_ != nullptr) flow_log_->start(bundle, flow, served, now);
  const auto [slot, end] = slots_of(bundle);
  for (int at = slot; at < end; ++at) ++tally_at(component_.hops[static_cast<std::size_t>(at)]).flows;
  const BundleState& state = state_at(bundle);
  if (state.bottleneck < 0) return;
  Link& link = link_at(state.bottleneck);
  ++link.own_flows;
  ++link.own[static_cast<std::size_t>(state.own_index)].flows;
  queues_.queue_end(bundle, state.bottleneck, state.offset);
}

/// A bundle's first flow: its links list it, and the idle ones take a place behind all others.
void FluidComponent::enter(int bundle) {
  const auto [first, end] = slots_of(bundle);
  for (int slot = first; slot < end; ++slot) {
    const int number = component_.hops[static_cast<std::size_t>(slot)];
    Link& link = link_at(number);
    index_of_slot_[static_cast<std::size_t>(slot)] = static_cast<int>(link.slots.size());
    link.slots.push_back(slot);
    int& place = place_[static_cast<std::size_t>(number)];
    if (place != kIdle) continue;
    place = static_cast<int>(order_.size());
    order_.push_back(number);
    levels_.push_back(kNever);
    end_at_.push_back(kNever);
  }
  state_at(bundle).offset = 0;
}

/// One flow less; with the last the bundle's links forget it.
void FluidComponent::leave(int bundle) {
  BundleState& state = state_at(bundle);
  Link& bottleneck = link_at(state.bottleneck);
  --bottleneck.own_flows;
  --bottleneck.own[static_cast<std::size_t>(state.own_index)].flows;
  const auto [first, end] = slots_of(bundle);
  for (int slot = first; slot < end; ++slot) {
    const int number = component_.hops[static_cast<std::size_t>(slot)];
    --tally_at(number).flows;
    if (queues_.pending(bundle) > 0) continue;
    Link& link = link_at(number);
    const auto index = static_cast<std::size_t>(index_of_slot_[static_cast<std::size_t>(slot)]);
    link.slots[index] = link.slots.back();
    index_of_slot_[static_cast<std::size_t>(link.slots[index])] = static_cast<int>(index);
    link.slots.pop_back();
  }
  if (queues_.pending(bundle) > 0) {
    queues_.queue_end(bundle, state.bottleneck, state.offset);
  } else {
    disown(bundle);
    state.bottleneck = -1;
  }
}

/// Takes the links from `place` on out of the order and undoes what they took from others.
void FluidComponent::thaw(int place, double now) {
  shares_.clear();
  spare_.clear();
  const auto first = static_cast<std::size_t>(place);
  for (std::size_t at = first; at < order_.size(); ++at) {
    const int number = order_[at];
    Link& link = link_at(number);
    if (levels_[at] != kNever) link.clock += link.level * (now - link.synced);
    link.synced = now;
    Tally& tally = tally_at(number);
    const Taken* log = log_.data() + tally.first_log;
    while (tally.log > 0 && log[tally.log - 1].place >= place) --tally.log;
    tally.place = tally.log > 0 ? log[tally.log - 1].place : kIdle;
    tally.taken_flows = tally.log > 0 ? log[tally.log - 1].flows : 0;
    tally.taken_rate = tally.log > 0 ? log[tally.log - 1].rate : 0;
    place_[static_cast<std::size_t>(number)] = tally.flows > 0 ? kThawed : kIdle;
    if (tally.flows > 0) shares_.push_back(share_of(number));
  }
  order_.resize(first);
  levels_.resize(first);
  end_at_.resize(first);
}

FluidComponent::Share FluidComponent::share_of(int number) const {
  const Tally& tally = tallies_[static_cast<std::size_t>(number)];
  const int left = tally.flows - tally.taken_flows;
  return {left > 0 ? (tally.capacity - tally.taken_rate) / left : kNever, number};
}

/// Restores the heap after its front has grown.
void FluidComponent::sink_front() {
  const Share moved = shares_.front();
  std::size_t hole = 0;
  for (std::size_t child = 1; child < shares_.size(); child = 2 * hole + 1) {
    if (child + 1 < shares_.size() && shares_[child] > shares_[child + 1]) ++child;
    if (!(moved > shares_[child])) break;
    shares_[hole] = shares_[child];
    hole = child;
  }
  shares_[hole] = moved;
}

/// Water-filling over the thawed links. A link's share only rises while others freeze, so a share in the heap
/// is at most too low: it is looked at again before the link is frozen.
void FluidComponent::fill(double now) {
  const std::size_t first = order_.size();
  std::make_heap(shares_.begin(), shares_.end(), std::greater<>());
  double level = first > 0 ? levels_.back() : 0;
  while (!shares_.empty()) {
    const Share share = share_of(shares_.front().link);
    if (share > shares_.front() && share.level != kNever) {
      shares_.front() = share;
      sink_front();
      if (shares_.front().link != share.link) continue;
    }
    shares_.front() = shares_.back();
    shares_.pop_back();
    if (!shares_.empty()) sink_front();
    if (share.level == kNever) {
      spare_.push_back(share.link);
    } else {
      level = std::max(level, share.level);
      freeze(share.link, level, now);
    }
  }
  for (std::size_t place = first; place < order_.size(); ++place) {
    end_at_.push_back(end_on(order_[place]));
    MOEPLAN_CHECK(end_at_.back() < kNever, "a bottleneck without flows");
  }
  for (const int link : spare_) {
    place_[static_cast<std::size_t>(link)] = static_cast<int>(order_.size());
    order_.push_back(link);
    levels_.push_back(kNever);
    end_at_.push_back(kNever);
  }
}

/// What flows frozen at `place` take from another link of theirs.
inline void FluidComponent::take(int hop, int flows, int place, double level) {
  Tally& tally = tally_at(hop);
  tally.taken_flows += flows;
  tally.taken_rate += level * flows;
  if (tally.place != place) {
    tally.place = place;
    ++tally.log;
  }
  log_[static_cast<std::size_t>(tally.first_log + tally.log - 1)] = {place, tally.taken_flows,
                                                                     tally.taken_rate};
}

/// Gives every flow of the link that is not frozen yet the rate `level`.
void FluidComponent::freeze(int number, double level, double now) {
  Link& link = link_at(number);
  link.level = level;
  const Tally& tally = tally_at(number);
  if (link.own_flows != tally.flows - tally.taken_flows) claim_all(number, now);
  const int place = static_cast<int>(order_.size());
  for (const Own& own : link.own) {
    if (own.other >= 0) {
      take(own.other, own.flows, place, level);
    } else if (own.other == kSeveral) {
      take_all(own.bundle, number, own.flows, place, level);
    }
  }
  place_[static_cast<std::size_t>(number)] = place;
  order_.push_back(number);
  levels_.push_back(level);
}

/// Makes the link the bottleneck of all its bundles that are not frozen yet.
void FluidComponent::claim_all(int number, double now) {
  for (const int slot : link_at(number).slots) {
    const int bundle = bundle_of_slot_[static_cast<std::size_t>(slot)];
    const int old = state_at(bundle).bottleneck;
    if (old != number && (old < 0 || place_[static_cast<std::size_t>(old)] == kThawed))
      move_bundle(bundle, number, now);
  }
}

void FluidComponent::take_all(int bundle, int number, int flows, int place, double level) {
  const auto [first, end] = slots_of(bundle);
  for (int slot = first; slot < end; ++slot) {
    const int hop = component_.hops[static_cast<std::size_t>(slot)];
    if (hop != number) take(hop, flows, place, level);
  }
}

int FluidComponent::other_link(int bundle, int number) const {
  const auto [first, end] = slots_of(bundle);
  if (end - first == 1) return kNoOther;
  if (end - first > 2) return kSeveral;
  const int hop = component_.hops[static_cast<std::size_t>(first)];
  return hop != number ? hop : component_.hops[static_cast<std::size_t>(first) + 1];
}

void FluidComponent::disown(int bundle) {
  BundleState& state = state_at(bundle);
  if (state.bottleneck < 0) return;
  Link& link = link_at(state.bottleneck);
  link.own_flows -= queues_.pending(bundle);
  const auto index = static_cast<std::size_t>(state.own_index);
  link.own[index] = link.own.back();
  state_at(link.own[index].bundle).own_index = state.own_index;
  link.own.pop_back();
}

void FluidComponent::move_bundle(int bundle, int number, double now) {
  BundleState& state = state_at(bundle);
  // Both clocks stand at `now`: the old bottleneck has been thawed like the new one.
  state.offset = service(bundle, now) - link_at(number).clock;
  disown(bundle);
  Link& link = link_at(number);
  state.bottleneck = number;
  state.own_index = static_cast<int>(link.own.size());
  link.own.push_back({bundle, queues_.pending(bundle), other_link(bundle, number)});
  link.own_flows += queues_.pending(bundle);
  queues_.queue_end(bundle, number, state.offset);
  if (flow_log_ != nullptr) flow_log_->bind(bundle, number, now);
}

void FluidComponent::report_rates(double now) {
  for (int bundle = 0; bundle < component_.bundles(); ++bundle) {
    queues_.for_each_flow(bundle, [&](int flow) {
      trace_->push_back({base::Seconds::of(now), base::FlowId(flow),
                         base::BytesPerSecond::of(link_at(state_at(bundle).bottleneck).level)});
    });
  }
}

}  // namespace moeplan::sim
