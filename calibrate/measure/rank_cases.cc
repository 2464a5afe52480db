#include <set>

#include "calibrate/measure/case_list.h"
#include "calibrate/measure/rank_device.h"

namespace moeplan::calibrate {

namespace {

constexpr std::int64_t kKib = 1 << 10, kMib = 1 << 20;
/// Beyond so many ranks shifts and pairs are those of distances 1, 2, 4 ... and the same in nodes.
constexpr int kAllDistances = 16;

std::string size(std::int64_t bytes) { return " bytes=" + std::to_string(bytes); }

std::vector<int> distances(const RankLayout& layout) {
  std::set<int> all;
  const int n = layout.ranks();
  for (int k = 1; k < n; k = n <= kAllDistances ? k + 1 : 2 * k) all.insert(k);
  for (int k = layout.per_node; k < n; k *= 2) all.insert(k);
  return {all.begin(), all.end()};
}

}  // namespace

std::vector<Case> default_rank_cases(const RankLayout& layout, base::Bytes largest) {
  CaseList list;
  const int n = layout.ranks();
  const auto fits = [&](std::int64_t bytes) { return bytes <= largest.count(); };
  for (const int k : distances(layout))
    list.add("ping_pong src=0 dst=" + std::to_string(k) + size(kKib));
  // The rate inside a node, which shifts do not tell: their slowest transfer leaves the node.
  for (const std::int64_t bytes : {64 * kKib, 4 * kMib, 64 * kMib})
    if (layout.per_node > 1 && fits(bytes)) list.add("pair src=0 dst=1" + size(bytes));
  for (const std::int64_t bytes : {64 * kKib, 512 * kKib, 4 * kMib, 64 * kMib, 1024 * kMib})
    for (const int k : distances(layout))
      if (fits(bytes)) list.add("grouped first=" + std::to_string(k) + " peers=1" + size(bytes));
  for (const std::int64_t bytes : {64 * kKib, 512 * kKib, 4 * kMib, 64 * kMib, 1024 * kMib})
    for (int src = 0; src < n; ++src)
      for (const int k : distances(layout))
        if (fits(bytes))
          list.add("pair src=" + std::to_string(src) + " dst=" + std::to_string((src + k) % n) + size(bytes));
  const std::string shape =
      " nodes=" + std::to_string(layout.nodes) + " gpus_per_node=" + std::to_string(layout.per_node);
  for (std::int64_t bytes = kKib; bytes <= 1024 * kMib; bytes *= 4) {
    if (!fits(bytes)) break;
    for (const char* name : {"alltoall", "all_gather", "reduce_scatter", "all_reduce", "broadcast"})
      list.add(std::string("collective collective=") + name + shape + size(bytes));
    for (const char* skew : {"zipf_0.5", "zipf_1.0"})
      list.add(std::string("alltoallv skew=") + skew + " hot=0" + size(bytes));
    if (n > 2) list.add("grouped first=1 peers=" + std::to_string(n - 1) + size(bytes));
  }
  return list.take();
}

}  // namespace moeplan::calibrate
