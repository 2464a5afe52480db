#include "sim/schedule/moe_traffic.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace moeplan::sim {

namespace {

/// Slots of every expert, one after the other: of expert e from first[e] to first[e + 1].
struct Replicas {
  std::vector<std::size_t> first;
  std::vector<std::int32_t> slots;
};

Replicas index_replicas(std::span<const std::int32_t> slots, std::size_t experts) {
  Replicas replicas{std::vector<std::size_t>(experts + 1), std::vector<std::int32_t>(slots.size())};
  for (const std::int32_t expert : slots) {
    MOEPLAN_CHECK(expert >= 0 && static_cast<std::size_t>(expert) < experts,
                  "a slot holds an expert of the model");
    ++replicas.first[static_cast<std::size_t>(expert) + 1];
  }
  for (std::size_t e = 0; e < experts; ++e) replicas.first[e + 1] += replicas.first[e];
  std::vector<std::size_t> fill(replicas.first.begin(), replicas.first.end() - 1);
  for (std::size_t s = 0; s < slots.size(); ++s)
    replicas.slots[fill[static_cast<std::size_t>(slots[s])]++] = static_cast<std::int32_t>(s);
  return replicas;
}

std::vector<std::int32_t> contiguous_slots(int experts) {
  std::vector<std::int32_t> slots(static_cast<std::size_t>(experts));
  for (int e = 0; e < experts; ++e) slots[static_cast<std::size_t>(e)] = e;
  return slots;
}

}  // namespace

RoutingMatrix balanced_routing(int sources, std::int64_t tokens, int experts, int top_k) {
  RoutingMatrix routing{
      sources, experts,
      std::vector<std::int32_t>(static_cast<std::size_t>(sources) * static_cast<std::size_t>(experts))};
  const std::int64_t copies = tokens * top_k;
  for (int s = 0; s < sources; ++s) {
    for (int e = 0; e < experts; ++e) {
      // What does not divide goes round: expert (s + e) mod E takes the e-th surplus copy.
      const std::int64_t surplus = (e - s % experts + experts) % experts < copies % experts ? 1 : 0;
      routing.tokens[static_cast<std::size_t>(s) * static_cast<std::size_t>(experts) +
                     static_cast<std::size_t>(e)] = static_cast<std::int32_t>(copies / experts + surplus);
    }
  }
  return routing;
}

void apply_capacity(RoutingMatrix& routing, double factor, std::int64_t tokens, int top_k) {
  const double share = static_cast<double>(tokens * top_k) / static_cast<double>(routing.experts);
  const auto capacity = static_cast<std::int32_t>(std::ceil(factor * share));
  for (std::int32_t& count : routing.tokens) {
    if (count <= capacity) continue;
    count = capacity;
    routing.sets.clear();
  }
}

MoeTraffic map_to_ranks(const RoutingMatrix& routing, const ParallelLayout& layout,
                        std::span<const std::int32_t> slots) {
  const auto experts = static_cast<std::size_t>(routing.experts);
  const auto sources = static_cast<std::size_t>(routing.sources);
  const auto ep = static_cast<std::size_t>(layout.ep);
  const auto etp = static_cast<std::size_t>(layout.etp);
  MOEPLAN_CHECK(sources % (etp * ep) == 0, "EP groups of whole ranks");
  const std::vector<std::int32_t> contiguous =
      slots.empty() ? contiguous_slots(routing.experts) : std::vector<std::int32_t>();
  if (slots.empty()) slots = contiguous;
  MOEPLAN_CHECK(slots.size() % ep == 0, "every rank of an EP group has the same number of slots");
  const Replicas replicas = index_replicas(slots, experts);
  const std::size_t per_rank = slots.size() / ep;

  MoeTraffic traffic;
  traffic.expert_group = layout.ep;
  traffic.etp = layout.etp;
  traffic.slots_per_rank = static_cast<int>(per_rank);
  traffic.copies.resize(sources * ep);
  traffic.slot_tokens.resize(sources * per_rank);
  for (std::size_t s = 0; s < sources; ++s) {
    const std::size_t group =
        s / (etp * ep) * (etp * ep) + s % etp;  // its first rank; the others follow etp apart
    const std::span<const std::int32_t> row = routing.row(static_cast<int>(s));
    for (std::size_t e = 0; e < experts; ++e) {
      const std::size_t k = replicas.first[e + 1] - replicas.first[e];
      if (row[e] == 0) continue;
      MOEPLAN_CHECK(k > 0, "every expert has a slot");
      const auto tokens = static_cast<std::size_t>(row[e]);
      for (std::size_t i = 0; i < k; ++i) {
        const auto slot = static_cast<std::size_t>(replicas.slots[replicas.first[e] + (s + i) % k]);
        const auto share = static_cast<std::int64_t>(tokens / k + (i < tokens % k ? 1 : 0));
        traffic.copies[s * ep + slot / per_rank] += share;
        traffic.slot_tokens[(group + etp * (slot / per_rank)) * per_rank + slot % per_rank] += share;
      }
    }
  }
  return traffic;
}

std::vector<std::int64_t> MoeTraffic::gathered(std::size_t rank) const {
  const auto peers = static_cast<std::size_t>(etp);
  std::vector<std::int64_t> sum(static_cast<std::size_t>(slots_per_rank));
  for (std::size_t peer = rank / peers * peers; peer < (rank / peers + 1) * peers; ++peer) {
    const std::span<const std::int64_t> own = slots(peer);
    for (std::size_t s = 0; s < sum.size(); ++s) sum[s] += own[s];
  }
  return sum;
}

void count_touched(const RoutingMatrix& routing, const ParallelLayout& layout,
                   std::span<const std::int32_t> slots, int node_block, MoeTraffic& traffic) {
  const auto experts = static_cast<std::size_t>(routing.experts);
  const auto sources = static_cast<std::size_t>(routing.sources);
  MOEPLAN_CHECK(layout.etp == 1, "token sets are counted without expert tensor parallelism");
  const auto ep = static_cast<std::size_t>(layout.ep);
  const auto k = static_cast<std::size_t>(routing.top_k);
  const std::vector<std::int32_t> contiguous =
      slots.empty() ? contiguous_slots(routing.experts) : std::vector<std::int32_t>();
  if (slots.empty()) slots = contiguous;
  const Replicas replicas = index_replicas(slots, experts);
  const std::size_t per_rank = slots.size() / ep;
  const std::size_t per_source = routing.sets.size() / sources;
  const auto block = static_cast<std::size_t>(node_block);
  traffic.touched.assign(sources * ep, 0);
  traffic.touched_node.assign(sources * ep, 0);
  std::vector<std::size_t> turn(experts);
  constexpr std::size_t kNever = std::numeric_limits<std::size_t>::max();
  std::vector<std::size_t> last(ep), last_node(ep);
  for (std::size_t s = 0; s < sources; ++s) {
    std::fill(turn.begin(), turn.end(), s);
    std::fill(last.begin(), last.end(), kNever);
    std::fill(last_node.begin(), last_node.end(), kNever);
    for (std::size_t i = 0; i < per_source; ++i) {
      const auto expert = static_cast<std::size_t>(routing.sets[s * per_source + i]);
      const std::size_t copies = replicas.first[expert + 1] - replicas.first[expert];
      const auto slot = static_cast<std::size_t>(replicas.slots[replicas.first[expert] + turn[expert]++ % copies]);
      const std::size_t rank = slot / per_rank;
      const std::size_t token = i / k;
      if (last[rank] != token) ++traffic.touched[s * ep + rank];
      last[rank] = token;
      if (block == 0 || last_node[rank / block] == token) continue;
      last_node[rank / block] = token;
      ++traffic.touched_node[s * ep + rank / block * block];
    }
    for (std::size_t r = 0; r < ep; ++r)
      traffic.touched_node[s * ep + r] = block == 0 ? static_cast<std::int64_t>(per_source / k)
                                                    : traffic.touched_node[s * ep + r / block * block];
  }
}

}  // namespace moeplan::sim
