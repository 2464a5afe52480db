#include "planner/placement/placement.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "base/check.h"

namespace moeplan::planner {

namespace {

/// One thing to pack: what it weighs and what it is.
struct Item {
  double weight = 0;
  std::int32_t expert = 0;
};

void sort_heaviest_first(std::vector<Item>& items) {
  std::stable_sort(items.begin(), items.end(), [](const Item& a, const Item& b) { return a.weight > b.weight; });
}

/// Packs items, heaviest first, `room` onto each bin. A second copy of an expert avoids bins that hold one.
std::vector<std::vector<std::int32_t>> pack(std::vector<Item> items, int bins, std::size_t room) {
  sort_heaviest_first(items);
  std::vector<std::vector<std::int32_t>> bin(static_cast<std::size_t>(bins));
  std::vector<double> load(bin.size(), 0.0);
  for (const Item& item : items) {
    std::size_t best = bin.size();
    bool best_holds = true;
    for (std::size_t b = 0; b < bin.size(); ++b) {
      if (bin[b].size() == room) continue;
      const bool holds = std::find(bin[b].begin(), bin[b].end(), item.expert) != bin[b].end();
      if (best == bin.size() || (best_holds && !holds) || (holds == best_holds && load[b] < load[best])) {
        best = b;
        best_holds = holds;
      }
    }
    MOEPLAN_CHECK(best < bin.size(), "there is room for every item");
    bin[best].push_back(item.expert);
    load[best] += item.weight;
  }
  return bin;
}

Slots flatten(std::vector<std::vector<std::int32_t>> bins) {
  Slots slots;
  for (std::vector<std::int32_t>& bin : bins) {
    std::sort(bin.begin(), bin.end());
    slots.insert(slots.end(), bin.begin(), bin.end());
  }
  return slots;
}

/// Copies of each expert for `slots` slots in all: each further slot halves the heaviest, and so on.
std::vector<int> count_copies(std::span<const double> share, int slots) {
  std::vector<int> copies(share.size(), 1);
  for (int left = slots - static_cast<int>(share.size()); left > 0; --left) {
    std::size_t heaviest = 0;
    for (std::size_t e = 1; e < share.size(); ++e) {
      if (share[e] / copies[e] > share[heaviest] / copies[heaviest]) heaviest = e;
    }
    ++copies[heaviest];
  }
  return copies;
}

Slots contiguous(std::size_t experts) {
  Slots slots(experts);
  std::iota(slots.begin(), slots.end(), 0);
  return slots;
}

/// Whole groups to ranks: a rank holds several groups, or a group covers several ranks.
Slots place_groups(std::span<const double> share, int groups, int ranks) {
  const auto g = static_cast<std::size_t>(groups);
  const std::size_t size = share.size() / g;
  if (groups <= ranks || groups % ranks != 0) return contiguous(share.size());  // moving whole ranks changes no load
  std::vector<Item> items;
  for (std::size_t i = 0; i < g; ++i) {
    const double weight = std::accumulate(share.begin() + static_cast<std::ptrdiff_t>(i * size),
                                          share.begin() + static_cast<std::ptrdiff_t>((i + 1) * size), 0.0);
    items.push_back({weight, static_cast<std::int32_t>(i)});
  }
  Slots slots;
  for (const std::int32_t group : flatten(pack(std::move(items), ranks, g / static_cast<std::size_t>(ranks)))) {
    for (std::size_t e = 0; e < size; ++e) slots.push_back(static_cast<std::int32_t>(static_cast<std::size_t>(group) * size + e));
  }
  return slots;
}

}  // namespace

Slots place_greedily(std::span<const double> share, int ranks) {
  MOEPLAN_CHECK(ranks > 0 && share.size() % static_cast<std::size_t>(ranks) == 0, "experts divide over ranks");
  return replicate_greedily(share, ranks, static_cast<int>(share.size()) / ranks);
}

Slots replicate_greedily(std::span<const double> share, int ranks, int slots_per_rank) {
  const int slots = ranks * slots_per_rank;
  MOEPLAN_CHECK(slots >= static_cast<int>(share.size()), "every expert has a slot");
  const std::vector<int> copies = count_copies(share, slots);
  std::vector<Item> items;
  for (std::size_t e = 0; e < share.size(); ++e) {
    for (int k = 0; k < copies[e]; ++k) items.push_back({share[e] / copies[e], static_cast<std::int32_t>(e)});
  }
  return flatten(pack(std::move(items), ranks, static_cast<std::size_t>(slots_per_rank)));
}

std::vector<double> rank_loads(std::span<const double> share, const Slots& slots, int ranks) {
  std::vector<int> copies(share.size(), 0);
  for (const std::int32_t e : slots) ++copies[static_cast<std::size_t>(e)];
  const std::size_t per_rank = slots.size() / static_cast<std::size_t>(ranks);
  std::vector<double> load(static_cast<std::size_t>(ranks), 0.0);
  for (std::size_t s = 0; s < slots.size(); ++s) {
    const auto e = static_cast<std::size_t>(slots[s]);
    load[s / per_rank] += share[e] / copies[e];
  }
  return load;
}

double max_over_mean(std::span<const double> share, const Slots& slots, int ranks) {
  const std::vector<double> load = rank_loads(share, slots, ranks);
  const double total = std::accumulate(load.begin(), load.end(), 0.0);
  return total <= 0 ? 1.0 : *std::max_element(load.begin(), load.end()) * ranks / total;
}

double lower_bound_max_over_mean(std::span<const double> share, int ranks, int slots_in_all) {
  const std::vector<int> copies = count_copies(share, slots_in_all);
  double total = 0;
  double hottest = 0;
  for (std::size_t e = 0; e < share.size(); ++e) {
    total += share[e];
    hottest = std::max(hottest, share[e] / copies[e]);
  }
  return total <= 0 ? 1.0 : std::max(1.0, hottest * ranks / total);
}

std::string find_placement_fault(const sim::Placement& placement, int moe_layers, int experts, int ranks) {
  if (placement.slots.empty()) return experts % ranks == 0 ? "" : fmt::format("{} experts do not divide over {} ranks", experts, ranks);
  if (static_cast<int>(placement.slots.size()) != moe_layers) {
    return fmt::format("{} layers placed, the model has {}", placement.slots.size(), moe_layers);
  }
  for (std::size_t layer = 0; layer < placement.slots.size(); ++layer) {
    const Slots& slots = placement.slots[layer];
    if (slots.size() != placement.slots[0].size() || slots.size() % static_cast<std::size_t>(ranks) != 0) {
      return fmt::format("layer {}: {} slots on {} ranks", layer, slots.size(), ranks);
    }
    for (int e = 0; e < experts; ++e) {
      if (std::find(slots.begin(), slots.end(), e) == slots.end()) return fmt::format("layer {}: expert {} has no slot", layer, e);
    }
    for (const std::int32_t e : slots) {
      if (e < 0 || e >= experts) return fmt::format("layer {}: there is no expert {}", layer, e);
    }
  }
  return "";
}

std::vector<std::vector<double>> mean_shares(const sim::ExpertLoads& loads, int max_iterations) {
  const int have = loads.iterations();
  const int take = std::min(have, max_iterations);
  std::vector<std::vector<double>> shares;
  for (int layer = 0; layer < loads.moe_layers(); ++layer) {
    std::vector<double> sum(static_cast<std::size_t>(loads.experts()), 0.0);
    for (int i = 0; i < take; ++i) {
      const std::span<const double> share = loads.mean_share(static_cast<int>(std::int64_t{i} * have / take), layer);
      for (std::size_t e = 0; e < sum.size(); ++e) sum[e] += share[e] / take;
    }
    shares.push_back(std::move(sum));
  }
  return shares;
}

sim::Placement greedy_placement(const std::vector<std::vector<double>>& shares, const sim::ModelSpec& model, int ranks) {
  sim::Placement placement;
  placement.algorithm = "greedy";
  for (const std::vector<double>& share : shares) {
    placement.slots.push_back(model.groups > 1 ? place_groups(share, model.groups, ranks) : place_greedily(share, ranks));
  }
  return placement;
}

sim::Placement replicated_placement(const std::vector<std::vector<double>>& shares, int ranks, int spare_per_rank) {
  sim::Placement placement;
  placement.algorithm = fmt::format("replicated-{}", spare_per_rank);
  for (const std::vector<double>& share : shares) {
    placement.slots.push_back(replicate_greedily(share, ranks, static_cast<int>(share.size()) / ranks + spare_per_rank));
  }
  return placement;
}

double mean_max_over_mean(const std::vector<std::vector<double>>& shares, const sim::Placement& placement, int ranks) {
  double sum = 0;
  for (std::size_t layer = 0; layer < shares.size(); ++layer) {
    sum += max_over_mean(shares[layer], placement.is_contiguous() ? contiguous(shares[layer].size()) : placement.slots[layer], ranks);
  }
  return shares.empty() ? 1.0 : sum / static_cast<double>(shares.size());
}

}  // namespace moeplan::planner
