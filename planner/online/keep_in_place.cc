#include "planner/online/keep_in_place.h"

#include <algorithm>
#include <span>

#include "base/check.h"

namespace moeplan::planner {

namespace {

/// Experts of `fresh`'s GPU that `old`'s GPU holds too; both sorted.
int count_common(std::span<const std::int32_t> old, std::span<const std::int32_t> fresh) {
  int common = 0;
  std::size_t i = 0;
  std::size_t j = 0;
  while (i < old.size() && j < fresh.size()) {
    const std::int32_t left = old[i];
    const std::int32_t right = fresh[j];
    if (left == right) ++common;
    if (left <= right) ++i;
    if (right <= left) ++j;
  }
  return common;
}

}  // namespace

Slots keep_in_place(const Slots& old, const Slots& fresh, const SlotShape& shape) {
  MOEPLAN_CHECK(old.size() == fresh.size(), "placements of one shape");
  const auto gpus = static_cast<std::size_t>(shape.gpus);
  const auto per_gpu = static_cast<std::size_t>(shape.slots_per_gpu);
  Slots sorted_old = old;
  Slots sorted = fresh;
  const auto at = [&](const Slots& slots, std::size_t g) {
    return std::span(slots).subspan(g * per_gpu, per_gpu);
  };
  for (Slots* slots : {&sorted_old, &sorted}) {
    for (std::size_t g = 0; g < gpus; ++g) {
      const auto first = slots->begin() + static_cast<std::ptrdiff_t>(g * per_gpu);
      std::sort(first, first + static_cast<std::ptrdiff_t>(per_gpu));
    }
  }
  struct Pair {
    int common;
    std::size_t old, fresh;
  };
  std::vector<Pair> pairs;
  for (std::size_t a = 0; a < gpus; ++a) {
    for (std::size_t b = 0; b < gpus; ++b)
      pairs.push_back({count_common(at(sorted_old, a), at(sorted, b)), a, b});
  }
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const Pair& x, const Pair& y) { return x.common > y.common; });
  std::vector<bool> old_taken(gpus, false);
  std::vector<bool> fresh_taken(gpus, false);
  Slots result(fresh.size());
  for (const Pair& pair : pairs) {
    if (old_taken[pair.old] || fresh_taken[pair.fresh]) continue;
    old_taken[pair.old] = fresh_taken[pair.fresh] = true;
    const auto from = at(sorted, pair.fresh);
    std::copy(from.begin(), from.end(), result.begin() + static_cast<std::ptrdiff_t>(pair.old * per_gpu));
  }
  return result;
}

}  // namespace moeplan::planner
