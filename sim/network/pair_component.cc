#include "sim/network/pair_component.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "sim/network/flow_log.h"
#include "sim/network/pair_kernels.h"

namespace moeplan::sim {

namespace {

constexpr int kFewLinks = 8;
constexpr int kMostLinks = 4096;
/// Bundles for each pair of links from which on a dense matrix pays.
constexpr double kDense = 1.0 / 8;
/// Levels closer together than this fraction may stand in either order.
constexpr double kSlack = 1e-12;
/// A link without flows of its own may be fuller than full by this fraction, from rounding.
constexpr double kFull = 1e-11;
constexpr int kFreshSums = 256;

/// The links that each link has bundles with.
std::vector<std::vector<int>> find_others(const Component& c) {
  std::vector<std::vector<int>> others(c.capacity.size());
  for (std::size_t b = 0; b + 1 < c.first_hop.size(); ++b) {
    if (c.first_hop[b + 1] - c.first_hop[b] < 2) continue;
    const int one = c.hops[static_cast<std::size_t>(c.first_hop[b])];
    const int two = c.hops[static_cast<std::size_t>(c.first_hop[b]) + 1];
    others[static_cast<std::size_t>(one)].push_back(two);
    others[static_cast<std::size_t>(two)].push_back(one);
  }
  return others;
}

}  // namespace

std::optional<std::vector<int>> PairComponent::find_sides(const Component& c) {
  if (c.links() < kFewLinks || c.links() > kMostLinks) return std::nullopt;
  for (std::size_t b = 0; b + 1 < c.first_hop.size(); ++b)
    if (c.first_hop[b + 1] - c.first_hop[b] > 2) return std::nullopt;
  const std::vector<std::vector<int>> others = find_others(c);
  std::vector<int> sides(c.capacity.size(), -1);
  sides[0] = 0;
  std::vector<int> stack{0};  // a component hangs together
  while (!stack.empty()) {
    const auto link = static_cast<std::size_t>(stack.back());
    stack.pop_back();
    for (const int other : others[link]) {
      int& side = sides[static_cast<std::size_t>(other)];
      if (side == sides[link]) return std::nullopt;
      if (side >= 0) continue;
      side = 1 - sides[link];
      stack.push_back(other);
    }
  }
  const auto second = std::count(sides.begin(), sides.end(), 1);
  const double pairs = static_cast<double>(second) * static_cast<double>(c.links() - second);
  if (c.bundles() < kDense * pairs) return std::nullopt;
  return sides;
}

PairComponent::PairComponent(const Component& component, const std::vector<int>& sides,
                             const std::vector<FlowDemand>& demands, std::vector<base::Seconds>& finish,
                             std::vector<RateChange>* trace, FlowLog* log)
    : component_(component),
      finish_(finish),
      trace_(trace),
      flow_log_(log),
      queues_(component, demands),
      state_(static_cast<Index>(component.bundles())) {
  number_links(sides);
  lay_out_pairs();
}

void PairComponent::number_links(const std::vector<int>& sides) {
  const Index links = sides.size();
  std::vector<int> number(links);
  int next = 0;
  for (const int side : {0, 1}) {
    for (Index link = 0; link < links; ++link) {
      if (sides[link] != side) continue;
      number[link] = next++;
      number_of_.push_back(static_cast<int>(link));
      ++sides_[side];
      capacity_.push_back(component_.capacity[link]);
    }
  }
  hops_.reserve(component_.hops.size());
  for (const int hop : component_.hops) hops_.push_back(number[static_cast<Index>(hop)]);
  left_ = capacity_;
  own_.assign(links, 0.0);
  level_.assign(links, 0.0);
  clock_.assign(links, 0.0);
  front_.assign(links, kNever);
  end_at_.assign(links, kNever);
  flows_.assign(links, 0);
  stale_.assign(links, 0);
  order_.resize(links);
  std::iota(order_.begin(), order_.end(), 0);
  rank_.assign(order_.begin(), order_.end());
}

void PairComponent::lay_out_pairs() {
  const Index pairs = static_cast<Index>(sides_[0]) * static_cast<Index>(sides_[1]);
  counts_.assign(2 * pairs, 0.0F);
  bundle_of_.assign(pairs, -1);
  behind_.resize(static_cast<Index>(std::max(sides_[0], sides_[1])));
  for (int bundle = 0; bundle < component_.bundles(); ++bundle) {
    const auto first = static_cast<Index>(component_.first_hop[static_cast<Index>(bundle)]);
    if (static_cast<Index>(component_.first_hop[static_cast<Index>(bundle) + 1]) - first < 2) continue;
    const auto [out, in] = std::minmax(hops_[first], hops_[first + 1]);
    bundle_of_[static_cast<Index>(out) * static_cast<Index>(sides_[1]) + static_cast<Index>(in - sides_[0])] =
        bundle;
  }
}

void PairComponent::run() {
  while (true) {
    const double start = queues_.next_start();
    double now = std::min(next_end_, start);
    if (now == kNever) break;
    if (flow_log_ != nullptr) pass_edges(now);
    first_ = links();
    changes_ = 0;
    if (next_end_ <= start) retire(std::min(next_end_ * (1 + kSameInstant), start), now);
    pass_time(now);
    if (start <= now) admit(now);
    // Many changes at once: the order is found sooner from scratch.
    if (changes_ > links() / 4 || !settle()) fill();
    find_next_end();
    ++rate_changes_;
    if (trace_ != nullptr) report_rates();
  }
  MOEPLAN_CHECK(std::all_of(flows_.begin(), flows_.end(), [](int n) { return n == 0; }),
                "flows are left that never end");
}

void PairComponent::pass_edges(double now) {
  while (flow_log_->next_edge() < now) {
    const double after = flow_log_->next_edge() - now_;
    flow_log_->pass_edge(queues_, [&](int bundle) {
      return service(bundle) +
             level_[static_cast<Index>(state_[static_cast<Index>(bundle)].bottleneck)] * after;
    });
  }
}

void PairComponent::pass_time(double now) {
  advance_clocks(clock_.data(), level_.data(), now - now_, clock_.size());
  now_ = now;
}

void PairComponent::find_next_end() {
  for (int link = 0; link < links(); ++link) {
    if (stale_[static_cast<Index>(link)] == 0) continue;
    stale_[static_cast<Index>(link)] = 0;
    const FlowQueues::End* end = queues_.first_end(link);
    front_[static_cast<Index>(link)] = end != nullptr ? end->at : kNever;
  }
  next_end_ = find_ends(end_at_.data(), front_.data(), clock_.data(), level_.data(), now_, end_at_.size());
}

double PairComponent::service(int bundle) const {
  const BundleState& state = state_[static_cast<Index>(bundle)];
  return (state.bottleneck < 0 ? 0.0 : clock_[static_cast<Index>(state.bottleneck)]) + state.offset;
}

/// Takes out all flows that end by `until`; last becomes the latest of their ends.
void PairComponent::retire(double until, double& last) {
  for (int link = 0; link < links(); ++link)
    if (end_at_[static_cast<Index>(link)] <= until) retire_on(link, until, last);
}

void PairComponent::retire_on(int link, double until, double& last) {
  const auto l = static_cast<Index>(link);
  stale_[l] = 1;
  for (const FlowQueues::End* end = queues_.first_end(link); end != nullptr; end = queues_.first_end(link)) {
    const double at = now_ + std::max(0.0, end->at - clock_[l]) / level_[l];
    if (at > until) return;
    const int bundle = end->bundle;
    const int flow = queues_.drop_first(bundle, at);
    finish_[static_cast<Index>(flow)] = base::Seconds::of(at);
    if (flow_log_ != nullptr) flow_log_->finish(bundle, flow, at, queues_.pending(bundle) == 0);
    last = std::max(last, at);
    leave(bundle);
  }
}

/// One flow of the bundle less.
void PairComponent::leave(int bundle) {
  BundleState& state = state_[static_cast<Index>(bundle)];
  const int bottleneck = state.bottleneck;
  const auto first = component_.first_hop[static_cast<Index>(bundle)];
  const auto last = component_.first_hop[static_cast<Index>(bundle) + 1];
  for (int slot = first; slot < last; ++slot) {
    const int link = hops_[static_cast<Index>(slot)];
    --flows_[static_cast<Index>(link)];
    if (link == bottleneck) continue;
    left_[static_cast<Index>(link)] += level_[static_cast<Index>(bottleneck)];
    count(bottleneck, link) -= 1.0F;
    count(link, bottleneck) -= 1.0F;
  }
  own_[static_cast<Index>(bottleneck)] -= 1.0;
  first_ = std::min(first_, static_cast<int>(rank_[static_cast<Index>(bottleneck)]));
  ++changes_;
  if (queues_.pending(bundle) > 0) {
    queues_.queue_end(bundle, bottleneck, state.offset);
  } else {
    state = {};
  }
}

/// Lets in all flows that start by now.
void PairComponent::admit(double now) {
  const double until = now * (1 + kSameInstant);
  changes_ += queues_.starts_until(until);
  while (queues_.next_start() <= until) {
    const auto [bundle, flow] = queues_.take_start();
    admit_flow(bundle, flow);
  }
}

void PairComponent::admit_flow(int bundle, int flow) {
  const BundleState& state = state_[static_cast<Index>(bundle)];
  const double served = service(bundle);
  queues_.add(bundle, flow, served);
  if (flow_log_ != nullptr) flow_log_->start(bundle, flow, served, now_);
  const auto first = static_cast<Index>(component_.first_hop[static_cast<Index>(bundle)]);
  const auto last = static_cast<Index>(component_.first_hop[static_cast<Index>(bundle) + 1]);
  int bottleneck = hops_[first];
  ++flows_[static_cast<Index>(bottleneck)];
  if (last - first == 2) {
    int other = hops_[first + 1];
    ++flows_[static_cast<Index>(other)];
    count(bottleneck, other) += 1.0F;
    count(other, bottleneck) += 1.0F;
    if (rank_[static_cast<Index>(other)] < rank_[static_cast<Index>(bottleneck)])
      std::swap(bottleneck, other);
    left_[static_cast<Index>(other)] -= level_[static_cast<Index>(bottleneck)];
  }
  own_[static_cast<Index>(bottleneck)] += 1.0;
  first_ = std::min(first_, static_cast<int>(rank_[static_cast<Index>(bottleneck)]));
  if (state.bottleneck < 0) {
    assign(bundle, bottleneck);
  } else {
    queues_.queue_end(bundle, bottleneck, state.offset);
    stale_[static_cast<Index>(bottleneck)] = 1;
  }
}

/// The level that the link would have as the next one frozen: kNever where it is no bottleneck, below 0 where
/// it is overfull without flows of its own.
double PairComponent::share_of(int link) const {
  const auto l = static_cast<Index>(link);
  if (own_[l] > 0) return left_[l] / own_[l];
  return left_[l] < -kFull * capacity_[l] ? -1.0 : kNever;
}

/// Brings levels and order from first_ on up to date. Returns false where the order has changed so much that
/// filling from scratch is as fast.
bool PairComponent::settle() {
  if (++since_fresh_sums_ >= kFreshSums) form_sums_anew();
  int steps = 6 * links();
  for (int place = first_; place < links(); ++place) {
    if (--steps < 0) return false;
    if (place + 1 < links() && fills_later(link_at(place), link_at(place + 1))) let_pass(place);
    const double share = share_of(link_at(place));
    if (share == kNever) {
      place = skip_idle(place);
      if (place == links()) break;
      place = sink(place);
    } else if (place > 0 && fills_before(share, link_at(place - 1))) {
      place = sink(place);
    }
    settle_at(place);
  }
  return true;
}

void PairComponent::form_sums_anew() {
  since_fresh_sums_ = 0;
  first_ = 0;
  left_ = capacity_;
  std::fill(level_.begin(), level_.end(), 0.0);
}

void PairComponent::settle_at(int place) {
  const int link = link_at(place);
  const double below = place > 0 ? level_[static_cast<Index>(link_at(place - 1))] : 0.0;
  set_level(link, std::max(share_of(link), below));
}

/// Links from `place` on are no bottlenecks: returns the place of the first that is, or links().
int PairComponent::skip_idle(int place) {
  for (; place < links() && share_of(link_at(place)) == kNever; ++place) set_level(link_at(place), 0.0);
  return place;
}

/// Whether `next`, which stands right behind `link`, would be full first if it came before it.
bool PairComponent::fills_later(int link, int next) const {
  const auto l = static_cast<Index>(link);
  const auto n = static_cast<Index>(next);
  if (own_[l] == 0) return own_[n] > 0 && left_[l] >= -kFull * capacity_[l];
  const double common = is_second(link) != is_second(next) ? static_cast<double>(count(link, next)) : 0.0;
  return (left_[n] + common * level_[l]) * own_[l] < left_[l] * (own_[n] + common) * (1 - kSlack);
}

/// Whether a link with this share would be full before `other`, which is settled.
bool PairComponent::fills_before(double share, int other) const {
  return own_[static_cast<Index>(other)] == 0 || share < level_[static_cast<Index>(other)] * (1 - kSlack);
}

/// The link at `place` lets the next one before it.
void PairComponent::let_pass(int place) {
  const int link = link_at(place);
  const int next = link_at(place + 1);
  give_flows(link, next);
  std::swap(order_[static_cast<Index>(place)], order_[static_cast<Index>(place) + 1]);
  std::swap(rank_[static_cast<Index>(link)], rank_[static_cast<Index>(next)]);
}

/// Moves the link at `place` before all that would be full after it. Returns its new place.
int PairComponent::sink(int place) {
  const int link = link_at(place);
  for (; place > 0; --place) {
    const int other = link_at(place - 1);
    if (!fills_before(share_of(link), other)) break;
    give_flows(other, link);
    order_[static_cast<Index>(place)] = other;
    rank_[static_cast<Index>(other)] = static_cast<float>(place);
  }
  order_[static_cast<Index>(place)] = link;
  rank_[static_cast<Index>(link)] = static_cast<float>(place);
  return place;
}

/// `to` is to stand before `from`, which it stands right behind: it becomes the bottleneck of their common
/// flows.
void PairComponent::give_flows(int from, int to) {
  if (is_second(from) == is_second(to)) return;
  const auto flows = static_cast<double>(count(from, to));
  if (flows == 0) return;
  const auto f = static_cast<Index>(from);
  const auto t = static_cast<Index>(to);
  left_[t] += flows * level_[f];
  left_[f] -= flows * level_[t];
  own_[t] += flows;
  own_[f] -= flows;
  assign(bundle_of(from, to), to);
}

/// The link's level, and what that changes for those behind it.
void PairComponent::set_level(int link, double level) {
  const auto l = static_cast<Index>(link);
  const double more = level - level_[l];
  if (more == 0.0) return;
  level_[l] = level;
  const auto first = static_cast<Index>(first_opposite(link));
  take_behind(left_.data() + first, counts_.data() + row(link), rank_.data() + first, behind_.data(),
              rank_[l], more, static_cast<Index>(links_opposite(link)));
}

void PairComponent::assign(int bundle, int link) {
  BundleState& state = state_[static_cast<Index>(bundle)];
  if (state.bottleneck >= 0) stale_[static_cast<Index>(state.bottleneck)] = 1;
  state.offset = service(bundle) - clock_[static_cast<Index>(link)];
  state.bottleneck = link;
  queues_.queue_end(bundle, link, state.offset);
  stale_[static_cast<Index>(link)] = 1;
  if (flow_log_ != nullptr) flow_log_->bind(bundle, number_of_[static_cast<Index>(link)], now_);
}

/// Water-filling from scratch. A link's share only rises while others freeze, so one in the heap is at most
/// too low.
void PairComponent::fill() {
  form_sums_anew();
  std::copy(flows_.begin(), flows_.end(), own_.begin());
  std::fill(rank_.begin(), rank_.end(), static_cast<float>(links()));
  using Share = std::pair<double, int>;
  std::vector<Share> heap;
  for (int link = 0; link < links(); ++link) heap.emplace_back(share_of(link), link);
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  for (int place = 0; place < links();) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const int link = heap.back().second;
    const double share = own_[static_cast<Index>(link)] > 0 ? share_of(link) : kNever;
    if (share > heap.back().first) {
      heap.back().first = share;
      std::push_heap(heap.begin(), heap.end(), std::greater<>());
      continue;
    }
    heap.pop_back();
    rank_[static_cast<Index>(link)] = static_cast<float>(place);
    order_[static_cast<Index>(place)] = link;
    if (share < kNever) {
      claim(link);
      settle_at(place);
    }
    ++place;
  }
}

/// Makes the link the bottleneck of its flows with links that are not frozen, in filling.
void PairComponent::claim(int link) {
  const int first = first_opposite(link);
  for (int other = first; other < first + links_opposite(link); ++other) {
    const float flows = count(link, other);
    if (flows == 0 || rank_[static_cast<Index>(other)] < rank_[static_cast<Index>(link)]) continue;
    own_[static_cast<Index>(other)] -= static_cast<double>(flows);
    const int bundle = bundle_of(link, other);
    if (state_[static_cast<Index>(bundle)].bottleneck != link) assign(bundle, link);
  }
}

void PairComponent::report_rates() {
  for (int bundle = 0; bundle < component_.bundles(); ++bundle) {
    queues_.for_each_flow(bundle, [&](int flow) {
      const auto bottleneck = static_cast<Index>(state_[static_cast<Index>(bundle)].bottleneck);
      trace_->push_back(
          {base::Seconds::of(now_), base::FlowId(flow), base::BytesPerSecond::of(level_[bottleneck])});
    });
  }
}

}  // namespace moeplan::sim
