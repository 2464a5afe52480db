#include "planner/placement/node_search.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "planner/placement/replicas.h"

namespace moeplan::planner {

namespace {

constexpr double kLeastGain = 1e-6;  ///< of the objective

}  // namespace

NodeSearch::NodeSearch(const SlotShape& shape, int experts, std::span<const double> source,
                       const NodeCosts& costs, const Slots& slots)
    : shape_(shape),
      experts_(static_cast<std::size_t>(experts)),
      gpus_(static_cast<std::size_t>(shape.gpus)),
      nodes_(static_cast<std::size_t>(shape.nodes())),
      per_gpu_(static_cast<std::size_t>(shape.slots_per_gpu)),
      per_node_(static_cast<std::size_t>(shape.gpus_per_node)),
      source_(source.begin(), source.end()),
      costs_(costs),
      slot_(slots),
      holders_(experts_),
      on_node_(experts_ * nodes_, 0),
      load_(gpus_, 0.0),
      in_(gpus_, 0.0),
      out_(nodes_, 0.0) {
  MOEPLAN_CHECK(source_.size() == experts_ * nodes_, "loads by expert and node");
  for (std::size_t s = 0; s < slot_.size(); ++s) {
    const auto e = static_cast<std::size_t>(slot_[s]);
    holders_[e].push_back(static_cast<std::uint32_t>(gpu_of(s)));
    ++on_node_[e * nodes_ + node_of(gpu_of(s))];
  }
  for (std::size_t e = 0; e < experts_; ++e) add(e, 1.0);
  objective_ = value();
}

bool NodeSearch::holds(std::size_t gpu, std::int32_t expert) const {
  const std::vector<std::uint32_t>& gpus = holders_[static_cast<std::size_t>(expert)];
  return std::find(gpus.begin(), gpus.end(), static_cast<std::uint32_t>(gpu)) != gpus.end();
}

void NodeSearch::add(std::size_t expert, double sign) {
  double far = 0;
  for (std::size_t n = 0; n < nodes_; ++n) {
    if (on_node_[expert * nodes_ + n] > 0) continue;
    far += source_[expert * nodes_ + n];
    out_[n] += sign * source_[expert * nodes_ + n];
  }
  const double each = far / static_cast<double>(holders_[expert].size());
  for (const std::uint32_t g : holders_[expert]) {
    const std::size_t cell = expert * nodes_ + node_of(g);
    load_[g] += sign * (source_[cell] / on_node_[cell] + each);
    in_[g] += sign * each;
  }
}

void NodeSearch::set(const Change& change) {
  const auto old = static_cast<std::size_t>(slot_[change.slot]);
  const auto expert = static_cast<std::size_t>(change.expert);
  const auto gpu = static_cast<std::uint32_t>(gpu_of(change.slot));
  holders_[old].erase(std::find(holders_[old].begin(), holders_[old].end(), gpu));
  holders_[expert].push_back(gpu);
  --on_node_[old * nodes_ + node_of(gpu)];
  ++on_node_[expert * nodes_ + node_of(gpu)];
  slot_[change.slot] = change.expert;
}

double NodeSearch::value() const {
  const double out = *std::max_element(out_.begin(), out_.end()) / static_cast<double>(per_node_);
  return costs_.per_load * *std::max_element(load_.begin(), load_.end()) +
         costs_.per_cross * std::max(out, *std::max_element(in_.begin(), in_.end()));
}

bool NodeSearch::try_changes(std::span<const Change> changes) {
  std::array<std::size_t, 2> touched{static_cast<std::size_t>(slot_[changes[0].slot]),
                                     static_cast<std::size_t>(changes[0].expert)};
  std::array<Change, 2> back{};
  for (std::size_t i = 0; i < changes.size(); ++i) back[i] = {changes[i].slot, slot_[changes[i].slot]};
  const auto make = [&](std::span<const Change> list) {
    for (const std::size_t e : touched) add(e, -1.0);
    for (const Change& change : list) set(change);
    for (const std::size_t e : touched) add(e, 1.0);
  };
  make(changes);
  const double after = value();
  if (after < objective_ * (1 - kLeastGain)) {
    objective_ = after;
    return true;
  }
  make(std::span(back).first(changes.size()));
  return false;
}

bool NodeSearch::improve(std::size_t gpu, std::int64_t& valuations) {
  for (std::size_t a = gpu * per_gpu_; a < (gpu + 1) * per_gpu_; ++a) {
    for (std::size_t b = 0; b < slot_.size() && valuations > 0; ++b) {
      if (gpu_of(b) == gpu || slot_[a] == slot_[b]) continue;
      if (!holds(gpu_of(b), slot_[a]) && !holds(gpu, slot_[b])) {
        --valuations;
        const std::array<Change, 2> swap{Change{a, slot_[b]}, Change{b, slot_[a]}};
        if (try_changes(swap)) return true;
      }
      // Another replica of what is on the busy GPU, in place of a spare one elsewhere.
      if (holders_[static_cast<std::size_t>(slot_[b])].size() > 1 && !holds(gpu_of(b), slot_[a])) {
        --valuations;
        const std::array<Change, 1> more{Change{b, slot_[a]}};
        if (try_changes(more)) return true;
      }
    }
  }
  return false;
}

std::size_t NodeSearch::busiest_gpu() const {
  return static_cast<std::size_t>(std::max_element(load_.begin(), load_.end()) - load_.begin());
}

std::size_t NodeSearch::gpu_most_entered() const {
  return static_cast<std::size_t>(std::max_element(in_.begin(), in_.end()) - in_.begin());
}

void NodeSearch::descend(std::int64_t valuations) {
  while (valuations > 0) {
    if (improve(busiest_gpu(), valuations)) continue;
    if (!improve(gpu_most_entered(), valuations)) return;
  }
}

Slots NodeSearch::slots() const {
  Slots slots = slot_;
  sort_slots_of_gpus(slots, shape_.slots_per_gpu);
  return slots;
}

}  // namespace moeplan::planner
