#include "planner/placement/node_search.h"

#include <algorithm>
#include <array>
#include <utility>

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
      iterations_(source.size() / (experts_ * nodes_)),
      source_(source.begin(), source.end()),
      costs_(costs),
      slot_(slots),
      holders_(experts_),
      on_node_(experts_ * nodes_, 0),
      load_(gpus_ * iterations_, 0.0),
      in_(gpus_ * iterations_, 0.0),
      out_(nodes_ * iterations_, 0.0) {
  MOEPLAN_CHECK(iterations_ > 0 && source_.size() == iterations_ * experts_ * nodes_,
                "loads by expert and node");
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
  for (std::size_t t = 0; t < iterations_; ++t) {
    const double* source = &source_[(t * experts_ + expert) * nodes_];
    const int* replicas = &on_node_[expert * nodes_];
    double far = 0;
    for (std::size_t n = 0; n < nodes_; ++n) {
      if (replicas[n] > 0) continue;
      far += source[n];
      out_[t * nodes_ + n] += sign * source[n];
    }
    const double each = far / static_cast<double>(holders_[expert].size());
    for (const std::uint32_t g : holders_[expert]) {
      load_[t * gpus_ + g] += sign * (source[node_of(g)] / replicas[node_of(g)] + each);
      in_[t * gpus_ + g] += sign * each;
    }
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
  const auto most = [](const std::vector<double>& values, std::size_t t, std::size_t n) {
    const auto first = values.begin() + static_cast<std::ptrdiff_t>(t * n);
    return *std::max_element(first, first + static_cast<std::ptrdiff_t>(n));
  };
  double sum = 0;
  for (std::size_t t = 0; t < iterations_; ++t) {
    const double out = most(out_, t, nodes_) / static_cast<double>(per_node_);
    sum += costs_.per_load * most(load_, t, gpus_) + costs_.per_cross * std::max(out, most(in_, t, gpus_));
  }
  return sum / static_cast<double>(iterations_);
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

std::vector<std::size_t> NodeSearch::list_ruling(const std::vector<double>& values) const {
  std::vector<std::pair<int, std::size_t>> count(gpus_);  // negative, so that sorting puts the most first
  for (std::size_t g = 0; g < gpus_; ++g) count[g].second = g;
  for (std::size_t t = 0; t < iterations_; ++t) {
    const auto first = values.begin() + static_cast<std::ptrdiff_t>(t * gpus_);
    --count[static_cast<std::size_t>(std::max_element(first, first + static_cast<std::ptrdiff_t>(gpus_)) -
                                     first)]
          .first;
  }
  std::sort(count.begin(), count.end());
  std::vector<std::size_t> gpus;
  for (const auto& [negative, gpu] : count) {
    if (negative < 0) gpus.push_back(gpu);
  }
  return gpus;
}

void NodeSearch::descend(std::int64_t valuations) {
  valuations /= static_cast<std::int64_t>(iterations_);
  const auto improve_any = [&](const std::vector<double>& values) {
    const std::vector<std::size_t> gpus = list_ruling(values);
    return std::any_of(gpus.begin(), gpus.end(), [&](std::size_t gpu) { return improve(gpu, valuations); });
  };
  while (valuations > 0 && (improve_any(load_) || improve_any(in_))) {
  }
}

Slots NodeSearch::slots() const {
  Slots slots = slot_;
  sort_slots_of_gpus(slots, shape_.slots_per_gpu);
  return slots;
}

}  // namespace moeplan::planner
