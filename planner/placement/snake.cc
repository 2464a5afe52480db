#include "planner/placement/snake.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"

namespace moeplan::planner {

namespace {

constexpr int kRoundsPerGpu = 50;
/// A swap has to lower the pair's larger load by this share of it, else rounding would swap for ever.
constexpr double kLeastGain = 1e-12;

bool holds(std::span<const Replica> gpu, std::int32_t expert) {
  return std::any_of(gpu.begin(), gpu.end(), [=](const Replica& r) { return r.expert == expert; });
}

struct Swap {
  std::size_t from = 0, to = 0;  // places on the busy and on the light GPU
  double largest = std::numeric_limits<double>::infinity();
};

/// The best swap between a busy and a light GPU, both sorted, heaviest first.
Swap find_swap(std::span<const Replica> busy, std::span<const Replica> light, double busy_load, double light_load) {
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

/// One round of the exchange; false where no swap helps.
bool exchange_once(PackedGpus& gpus, std::size_t busy, std::vector<std::size_t>& order) {
  const double load = gpus.load[busy];
  // The lightest first; a full sort only where the lightest has no swap to offer.
  const auto lightest = std::min_element(gpus.load.begin(), gpus.load.end());
  const auto try_gpu = [&](std::size_t g) {
    if (g == busy) return false;
    const Swap swap = find_swap(gpus.gpu(busy), gpus.gpu(g), load, gpus.load[g]);
    if (!(swap.largest < load * (1 - kLeastGain))) return false;
    std::swap(gpus.gpu(busy)[swap.from], gpus.gpu(g)[swap.to]);
    restore_order(gpus.gpu(busy), swap.from);
    restore_order(gpus.gpu(g), swap.to);
    gpus.load[busy] = sum_of(gpus.gpu(busy));
    gpus.load[g] = sum_of(gpus.gpu(g));
    return true;
  };
  const auto first = static_cast<std::size_t>(lightest - gpus.load.begin());
  if (try_gpu(first)) return true;
  order.resize(gpus.load.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return gpus.load[a] < gpus.load[b] || (gpus.load[a] == gpus.load[b] && a < b);
  });
  return std::any_of(order.begin(), order.end(), [&](std::size_t g) { return g != first && try_gpu(g); });
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
      std::rotate(order.begin() + static_cast<std::ptrdiff_t>(i), order.begin() + static_cast<std::ptrdiff_t>(at),
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
  std::vector<std::size_t> order;
  const std::size_t most = gpus.load.size() * kRoundsPerGpu;
  for (std::size_t round = 0; round < most; ++round) {
    const auto busiest = std::max_element(gpus.load.begin(), gpus.load.end());
    if (*busiest <= target) return;
    if (!exchange_once(gpus, static_cast<std::size_t>(busiest - gpus.load.begin()), order)) return;
  }
}

}  // namespace moeplan::planner
