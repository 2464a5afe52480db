#include "planner/placement/snake.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"

namespace moeplan::planner {

namespace {

constexpr int kRoundsPerGpu = 50;
/// A swap has to take this share of what the busiest GPU has above the target off it: many tiny steps do
/// little.
constexpr double kLeastShare = 0.05;
/// And this share of its load, else rounding would swap for ever.
constexpr double kLeastGain = 1e-12;

bool holds(std::span<const Replica> gpu, std::int32_t expert) {
  return std::any_of(gpu.begin(), gpu.end(), [=](const Replica& r) { return r.expert == expert; });
}

struct Swap {
  std::size_t from = 0, to = 0;  // places on the busy and on the light GPU
  double largest = std::numeric_limits<double>::infinity();
};

/// The best swap between a busy and a light GPU, both sorted, heaviest first.
Swap find_swap(std::span<const Replica> busy, std::span<const Replica> light, double busy_load,
               double light_load) {
  Swap best;
  const double half = (busy_load - light_load) / 2;
  std::size_t j = 0;
  for (std::size_t i = 0; i < busy.size(); ++i) {
    // The first b with a - b >= half, and the one before it, lie on both sides of the ideal difference.
    while (j < light.size() && busy[i].load - light[j].load < half) ++j;
    for (std::size_t at = j > 0 ? j - 1 : 0; at <= j && at < light.size(); ++at) {
      const double difference = busy[i].load - light[at].load;
      const double largest = std::max(busy_load - difference, light_load + difference);
      if (largest >= best.largest || holds(light, busy[i].expert) || holds(busy, light[at].expert)) continue;
      best = {i, at, largest};
    }
  }
  return best;
}

/// Moves the changed entry of a sorted list to where it belongs.
void restore_order(std::span<Replica> gpu, std::size_t at) {
  while (at > 0 && gpu[at - 1].load < gpu[at].load) {
    std::swap(gpu[at - 1], gpu[at]);
    --at;
  }
  while (at + 1 < gpu.size() && gpu[at + 1].load > gpu[at].load) {
    std::swap(gpu[at + 1], gpu[at]);
    ++at;
  }
}

double sum_of(std::span<const Replica> gpu) {
  double sum = 0;
  for (const Replica& r : gpu) sum += r.load;
  return sum;
}

/// GPUs in rising order of load (ties: the lower GPU), kept up to date.
class LoadOrder {
 public:
  explicit LoadOrder(const std::vector<double>& load) : load_(load), order_(load.size()) {
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) { return before(a, b); });
  }
  std::size_t operator[](std::size_t rank) const { return order_[rank]; }
  /// Puts the GPU at `rank` where its load now belongs.
  void restore(std::size_t rank) {
    for (; rank > 0 && before(order_[rank], order_[rank - 1]); --rank)
      std::swap(order_[rank], order_[rank - 1]);
    for (; rank + 1 < order_.size() && before(order_[rank + 1], order_[rank]); ++rank)
      std::swap(order_[rank], order_[rank + 1]);
  }

 private:
  bool before(std::size_t a, std::size_t b) const {
    return load_[a] < load_[b] || (load_[a] == load_[b] && a < b);
  }
  const std::vector<double>& load_;
  std::vector<std::size_t> order_;
};

/// One swap between the GPU at rank `top` and a lighter one; false where none brings it below `limit`.
bool exchange_once(PackedGpus& gpus, LoadOrder& order, std::size_t top, double limit) {
  const std::size_t busy = order[top];
  for (std::size_t rank = 0; rank < top; ++rank) {
    const std::size_t g = order[rank];
    if (gpus.load[g] >= limit) return false;
    const Swap swap = find_swap(gpus.gpu(busy), gpus.gpu(g), gpus.load[busy], gpus.load[g]);
    if (!(swap.largest < limit)) continue;
    std::swap(gpus.gpu(busy)[swap.from], gpus.gpu(g)[swap.to]);
    restore_order(gpus.gpu(busy), swap.from);
    restore_order(gpus.gpu(g), swap.to);
    gpus.load[busy] = sum_of(gpus.gpu(busy));
    gpus.load[g] = sum_of(gpus.gpu(g));
    order.restore(top);
    order.restore(order[rank] == g ? rank : rank + 1);
    return true;
  }
  return false;
}

/// Exchanges for the GPU at rank `top` until it is at the target or no swap helps.
void exchange_below(PackedGpus& gpus, LoadOrder& order, std::size_t top, double target, std::size_t& rounds) {
  for (; rounds > 0; --rounds) {
    const double load = gpus.load[order[top]];
    if (load <= target) return;
    const double limit = load - std::max(kLeastShare * (load - target), kLeastGain * load);
    if (!exchange_once(gpus, order, top, limit)) return;
  }
}

}  // namespace

Slots PackedGpus::slots() const {
  Slots slots(held.size());
  std::transform(held.begin(), held.end(), slots.begin(), [](const Replica& r) { return r.expert; });
  sort_slots_of_gpus(slots, slots_per_gpu);
  return slots;
}

PackedGpus deal_out(std::span<const Replica> replicas, int gpus) {
  const auto n = static_cast<std::size_t>(gpus);
  MOEPLAN_CHECK(n > 0 && replicas.size() % n == 0, "every GPU gets the same number of slots");
  PackedGpus packed;
  packed.slots_per_gpu = static_cast<int>(replicas.size() / n);
  packed.held.resize(replicas.size());
  packed.load.assign(n, 0.0);
  std::vector<std::pair<double, std::uint32_t>> order(n);
  for (std::size_t g = 0; g < n; ++g) order[g] = {0.0, static_cast<std::uint32_t>(g)};
  for (std::size_t round = 0; round * n < replicas.size(); ++round) {
    for (auto& [load, g] : order) load = packed.load[g];
    std::sort(order.begin(), order.end());
    for (std::size_t i = 0; i < n; ++i) {
      const Replica& replica = replicas[round * n + i];
      std::size_t at = i;
      while (at < n && holds(packed.gpu(order[at].second).first(round), replica.expert)) ++at;
      MOEPLAN_CHECK(at < n, "a GPU without this expert is left");
      std::rotate(order.begin() + static_cast<std::ptrdiff_t>(i),
                  order.begin() + static_cast<std::ptrdiff_t>(at),
                  order.begin() + static_cast<std::ptrdiff_t>(at) + 1);
      const std::uint32_t g = order[i].second;
      packed.gpu(g)[round] = replica;
      packed.load[g] += replica.load;
    }
  }
  return packed;
}

void exchange_evenly(PackedGpus& gpus, double target) {
  if (gpus.load.size() < 2 || gpus.slots_per_gpu < 2) return;
  LoadOrder order(gpus.load);
  std::size_t rounds = gpus.load.size() * kRoundsPerGpu;
  exchange_below(gpus, order, gpus.load.size() - 1, target, rounds);
}

void exchange_all(PackedGpus& gpus, double tolerance) {
  if (gpus.load.size() < 2 || gpus.slots_per_gpu < 2) return;
  LoadOrder order(gpus.load);
  std::size_t rounds = gpus.load.size() * kRoundsPerGpu;
  double left = std::accumulate(gpus.load.begin(), gpus.load.end(), 0.0);
  for (std::size_t top = gpus.load.size() - 1; top > 0; --top) {
    const double target = left / static_cast<double>(top + 1) * (1 + tolerance);
    exchange_below(gpus, order, top, target, rounds);
    if (gpus.load[order[top]] <= target) return;  // the rest is even, too
    left -= gpus.load[order[top]];
  }
}

}  // namespace moeplan::planner
