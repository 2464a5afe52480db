#include "planner/placement/local_search.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "planner/placement/replicas.h"

namespace moeplan::planner {

namespace {

/// A move has to gain this share of the objective.
constexpr double kLeastGain = 1e-9;
/// GPUs that are looked at where several are the busiest, each in other iterations.
constexpr std::size_t kBusiest = 4;

std::uint64_t draw(std::uint64_t& state) {  // splitmix64
  std::uint64_t z = (state += 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

}  // namespace

PlacementSearch::PlacementSearch(const LayerProblem& layer, const Slots& slots)
    : experts_(static_cast<std::size_t>(layer.experts)),
      gpus_(static_cast<std::size_t>(layer.shape.gpus)),
      per_gpu_(static_cast<std::size_t>(layer.shape.slots_per_gpu)),
      iterations_(static_cast<std::size_t>(layer.iterations)),
      load_(experts_ * iterations_),
      slot_(slots),
      count_(experts_, 0),
      held_(gpus_ * experts_, 0),
      gpu_load_(gpus_ * iterations_, 0.0),
      order_(gpus_ * iterations_),
      holders_(experts_) {
  for (std::size_t t = 0; t < iterations_; ++t) {
    const std::span<const double> row = layer.at(static_cast<int>(t));
    for (std::size_t e = 0; e < experts_; ++e) load_[e * iterations_ + t] = row[e];
  }
  for (std::size_t s = 0; s < slot_.size(); ++s) {
    const auto e = static_cast<std::size_t>(slot_[s]);
    MOEPLAN_CHECK(!holds(gpu_of(s), e), "no GPU holds an expert twice");
    ++count_[e];
    held_[gpu_of(s) * experts_ + e] = 1;
    holders_[e].push_back(static_cast<std::uint32_t>(gpu_of(s)));
  }
  for (std::size_t t = 0; t < iterations_; ++t) {
    std::iota(order_.begin() + static_cast<std::ptrdiff_t>(t * gpus_),
              order_.begin() + static_cast<std::ptrdiff_t>((t + 1) * gpus_), 0U);
  }
  refresh();
}

void PlacementSearch::refresh() {
  std::fill(gpu_load_.begin(), gpu_load_.end(), 0.0);
  for (std::size_t s = 0; s < slot_.size(); ++s) {
    const auto e = static_cast<std::size_t>(slot_[s]);
    const double portion = 1.0 / count_[e];
    double* row = &gpu_load_[at(gpu_of(s), 0)];
    for (std::size_t t = 0; t < iterations_; ++t) row[t] += load_[e * iterations_ + t] * portion;
  }
  objective_ = 0;
  for (std::size_t t = 0; t < iterations_; ++t) {
    const auto first = order_.begin() + static_cast<std::ptrdiff_t>(t * gpus_);
    std::sort(first, first + static_cast<std::ptrdiff_t>(gpus_), [&](std::uint32_t a, std::uint32_t b) {
      const double x = gpu_load_[at(a, t)];
      const double y = gpu_load_[at(b, t)];
      return x > y || (x == y && a < b);
    });
    objective_ += gpu_load_[at(*first, t)];
  }
  objective_ /= static_cast<double>(iterations_);
}

Slots PlacementSearch::slots() const {
  Slots slots = slot_;
  sort_slots_of_gpus(slots, static_cast<int>(per_gpu_));
  return slots;
}

std::vector<std::size_t> PlacementSearch::busiest_gpus() const {
  std::vector<std::pair<double, std::size_t>> lead(gpus_);  // by how much each is ahead, over all iterations
  for (std::size_t g = 0; g < gpus_; ++g) lead[g] = {0.0, g};
  for (std::size_t t = 0; t < iterations_; ++t) {
    const double first = gpu_load_[at(busiest(t, 0), t)];
    const double second = gpus_ > 1 ? gpu_load_[at(busiest(t, 1), t)] : 0.0;
    lead[busiest(t, 0)].first -= first - second + 1e-6 * first;
  }
  const std::size_t most = std::min(kBusiest, gpus_);
  std::partial_sort(lead.begin(), lead.begin() + static_cast<std::ptrdiff_t>(most), lead.end());
  std::vector<std::size_t> gpus;
  for (std::size_t i = 0; i < most && lead[i].first < 0.0; ++i) gpus.push_back(lead[i].second);
  return gpus;
}

PlacementSearch::Swap PlacementSearch::find_swap(std::size_t gpu) const {
  Swap best{0, 0, objective_ * static_cast<double>(iterations_) * (1 - kLeastGain)};
  std::vector<double> others(iterations_);
  for (std::size_t g = 0; g < gpus_; ++g) {
    if (g == gpu) continue;
    for (std::size_t t = 0; t < iterations_; ++t) {
      std::size_t rank = 0;
      while (rank < gpus_ && (busiest(t, rank) == gpu || busiest(t, rank) == g)) ++rank;
      others[t] = rank < gpus_ ? gpu_load_[at(busiest(t, rank), t)] : 0.0;
    }
    for (std::size_t a = gpu * per_gpu_; a < (gpu + 1) * per_gpu_; ++a) {
      const auto x = static_cast<std::size_t>(slot_[a]);
      if (holds(g, x)) continue;
      const double x_portion = 1.0 / count_[x];
      for (std::size_t b = g * per_gpu_; b < (g + 1) * per_gpu_; ++b) {
        const auto y = static_cast<std::size_t>(slot_[b]);
        if (holds(gpu, y)) continue;
        const double y_portion = 1.0 / count_[y];
        double sum = 0;
        for (std::size_t t = 0; t < iterations_ && sum < best.objective; ++t) {
          const double d = load_[x * iterations_ + t] * x_portion - load_[y * iterations_ + t] * y_portion;
          sum += std::max(others[t], std::max(gpu_load_[at(gpu, t)] - d, gpu_load_[at(g, t)] + d));
        }
        if (sum < best.objective) best = {a, b, sum};
      }
    }
  }
  best.objective /= static_cast<double>(iterations_);
  return best;
}

double PlacementSearch::objective_after(std::size_t slot, std::size_t expert) const {
  const auto old = static_cast<std::size_t>(slot_[slot]);
  const double lost = 1.0 / (count_[old] - 1) - 1.0 / count_[old];
  const double gained = 1.0 / (count_[expert] + 1);
  const double relief = gained - 1.0 / count_[expert];
  const std::size_t mine = gpu_of(slot);
  double sum = 0;
  for (std::size_t t = 0; t < iterations_; ++t) {
    const double x = load_[old * iterations_ + t];
    const double y = load_[expert * iterations_ + t];
    double largest = gpu_load_[at(mine, t)] + y * gained - x / count_[old];
    for (const std::uint32_t g : holders_[old]) {
      if (g != mine)
        largest = std::max(largest, gpu_load_[at(g, t)] + x * lost + (holds(g, expert) ? y * relief : 0.0));
    }
    for (const std::uint32_t g : holders_[expert]) {
      if (!holds(g, old)) largest = std::max(largest, gpu_load_[at(g, t)] + y * relief);
    }
    for (std::size_t rank = 0; rank < gpus_; ++rank) {
      const std::uint32_t g = busiest(t, rank);
      if (gpu_load_[at(g, t)] <= largest) break;
      if (g == mine || holds(g, old) || holds(g, expert)) continue;
      largest = gpu_load_[at(g, t)];
      break;
    }
    sum += largest;
  }
  return sum / static_cast<double>(iterations_);
}

PlacementSearch::Replacement PlacementSearch::find_replacement(std::size_t gpu) const {
  Replacement best{0, -1, objective_ * (1 - kLeastGain)};
  const auto consider = [&](std::size_t slot, std::size_t expert) {
    if (count_[static_cast<std::size_t>(slot_[slot])] < 2 || holds(gpu_of(slot), expert)) return;
    const double objective = objective_after(slot, expert);
    if (objective < best.objective) best = {slot, static_cast<std::int32_t>(expert), objective};
  };
  // The busy GPU gives a replica up ...
  for (std::size_t s = gpu * per_gpu_; s < (gpu + 1) * per_gpu_; ++s) {
    for (std::size_t e = 0; e < experts_; ++e) consider(s, e);
  }
  // ... or another one takes a replica of what it holds.
  for (std::size_t s = 0; s < slot_.size(); ++s) {
    if (gpu_of(s) == gpu) continue;
    for (std::size_t k = gpu * per_gpu_; k < (gpu + 1) * per_gpu_; ++k)
      consider(s, static_cast<std::size_t>(slot_[k]));
  }
  return best;
}

void PlacementSearch::move_holder(std::size_t expert, std::size_t from, std::size_t to) {
  std::vector<std::uint32_t>& gpus = holders_[expert];
  *std::find(gpus.begin(), gpus.end(), static_cast<std::uint32_t>(from)) = static_cast<std::uint32_t>(to);
  held_[from * experts_ + expert] = 0;
  held_[to * experts_ + expert] = 1;
}

void PlacementSearch::apply(const Swap& swap) {
  move_holder(static_cast<std::size_t>(slot_[swap.a]), gpu_of(swap.a), gpu_of(swap.b));
  move_holder(static_cast<std::size_t>(slot_[swap.b]), gpu_of(swap.b), gpu_of(swap.a));
  std::swap(slot_[swap.a], slot_[swap.b]);
}

void PlacementSearch::apply(std::size_t slot, std::size_t expert) {
  const auto old = static_cast<std::size_t>(slot_[slot]);
  const auto gpu = static_cast<std::uint32_t>(gpu_of(slot));
  held_[gpu * experts_ + old] = 0;
  held_[gpu * experts_ + expert] = 1;
  holders_[old].erase(std::find(holders_[old].begin(), holders_[old].end(), gpu));
  holders_[expert].push_back(gpu);
  --count_[old];
  ++count_[expert];
  slot_[slot] = static_cast<std::int32_t>(expert);
}

void PlacementSearch::descend(int moves, bool replace, double target) {
  for (int made = 0; made < moves && objective_ > target; ++made) {
    Swap swap{0, 0, objective_};
    Replacement replacement{0, -1, objective_};
    const std::vector<std::size_t> busiest = busiest_gpus();
    for (const std::size_t gpu : busiest) {
      swap = find_swap(gpu);
      if (swap.a != swap.b) break;
    }
    if (swap.a == swap.b && replace) {
      for (const std::size_t gpu : busiest) {
        replacement = find_replacement(gpu);
        if (replacement.expert >= 0) break;
      }
    }
    if (swap.a != swap.b) {
      apply(swap);
    } else if (replacement.expert >= 0) {
      apply(replacement.slot, static_cast<std::size_t>(replacement.expert));
    } else {
      return;
    }
    refresh();
  }
}

void PlacementSearch::shake(int count, std::uint64_t& state) {
  for (int i = 0; i < count; ++i) {
    const std::size_t a = draw(state) % slot_.size();
    if (draw(state) % 2 == 0) {
      const std::size_t expert = draw(state) % experts_;
      if (count_[static_cast<std::size_t>(slot_[a])] > 1 && !holds(gpu_of(a), expert)) apply(a, expert);
    } else {
      const std::size_t b = draw(state) % slot_.size();
      if (gpu_of(a) != gpu_of(b) && !holds(gpu_of(b), static_cast<std::size_t>(slot_[a])) &&
          !holds(gpu_of(a), static_cast<std::size_t>(slot_[b])))
        apply({a, b, 0});
    }
  }
  refresh();
}

}  // namespace moeplan::planner
