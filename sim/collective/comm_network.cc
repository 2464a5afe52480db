#include "sim/collective/comm_network.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace moeplan::sim {

namespace {

using base::Seconds;

/// What the transfers put on each class of links.
struct ClassUse {
  std::array<double, kLinkClasses> bytes{};
  std::array<double, kLinkClasses> senders{};
  bool uses(int link_class) const { return bytes[static_cast<std::size_t>(link_class)] > 0; }
  base::Bytes per_sender(std::size_t c) const {
    return base::Bytes::rounded(senders[c] > 0 ? bytes[c] / senders[c] : 0.0);
  }
};

LinkClass profile_class(topology::LinkClass link_class) {
  switch (link_class) {
    case topology::LinkClass::kNvlink:
      return LinkClass::kNvlink;
    case topology::LinkClass::kPcie:
      return LinkClass::kPcie;
    default:
      return LinkClass::kNic;
  }
}

ClassUse measure_use(const topology::Cluster& cluster, std::span<const Transfer> transfers) {
  ClassUse use;
  std::vector<std::uint8_t> seen(static_cast<std::size_t>(cluster.ranks()) * kLinkClasses);
  for (const Transfer& transfer : transfers) {
    if (transfer.src == transfer.dst || transfer.bytes.count() == 0) continue;
    const auto c = static_cast<std::size_t>(link_class(cluster, transfer.src, transfer.dst));
    use.bytes[c] += transfer.bytes.as_double();
    std::uint8_t& counted = seen[transfer.src.index() * kLinkClasses + c];
    if (counted == 0) use.senders[c] += 1;
    counted = 1;
  }
  return use;
}

/// The links that routes touch, numbered in the order of their first use, with their calibrated capacity.
class UsedLinks {
 public:
  UsedLinks(const topology::Cluster& cluster, const std::array<double, kLinkClasses>& fractions)
      : cluster_(cluster), fractions_(fractions), number_(cluster.links().size(), -1) {}

  base::LinkId use(base::LinkId link) {
    std::int32_t& number = number_[link.index()];
    if (number < 0) {
      number = static_cast<std::int32_t>(links_.size());
      const topology::Link& original = cluster_.link(link);
      const auto c = static_cast<std::size_t>(profile_class(original.link_class));
      links_.push_back({original.capacity * fractions_[c], original.latency});
    }
    return base::LinkId(number);
  }
  const std::vector<SharedLink>& links() const { return links_; }

 private:
  const topology::Cluster& cluster_;
  const std::array<double, kLinkClasses>& fractions_;
  std::vector<std::int32_t> number_;
  std::vector<SharedLink> links_;
};

/// Band, evidence and overhead of the classes that carry traffic: the worst of each.
void add_class_terms(const Profile& profile, const ClassUse& use, CollectiveKind kind, int steps,
                     CommTimes& times) {
  for (int c = 0; c < kLinkClasses; ++c) {
    if (!use.uses(c)) continue;
    const CommEfficiency& efficiency = profile.comm(static_cast<LinkClass>(c), kind);
    const Seconds overhead = efficiency.base_latency + efficiency.per_step * static_cast<double>(steps);
    if (times.overhead < overhead) {
      times.overhead = overhead;
      times.per_step = efficiency.per_step;
    }
    times.low = std::min(times.low, efficiency.low);
    times.high = std::max(times.high, efficiency.high);
    times.evidence = worst(times.evidence, efficiency.evidence);
  }
}

}  // namespace

LinkClass link_class(const topology::Cluster& cluster, base::RankId src, base::RankId dst) {
  if (!cluster.same_node(src, dst)) return LinkClass::kNic;
  return cluster.nvlink_domain() > 1 ? LinkClass::kNvlink : LinkClass::kPcie;
}

CommNetwork::CommNetwork(const topology::Cluster& cluster, const Profile& profile, const Sharing& sharing)
    : cluster_(cluster), profile_(profile), sharing_(sharing) {}

CommTimes CommNetwork::solve(std::span<const base::RankId> ranks, std::span<const Transfer> transfers,
                             CollectiveKind kind, int steps) const {
  CommTimes times;
  times.done.resize(ranks.size());
  const ClassUse use = measure_use(cluster_, transfers);
  std::array<double, kLinkClasses> fractions{};
  for (int c = 0; c < kLinkClasses; ++c) {
    const auto i = static_cast<std::size_t>(c);
    fractions[i] = profile_.comm(static_cast<LinkClass>(c), kind).fraction(use.per_sender(i));
  }
  std::vector<std::int32_t> position(static_cast<std::size_t>(cluster_.ranks()), -1);
  for (std::size_t i = 0; i < ranks.size(); ++i) position[ranks[i].index()] = static_cast<std::int32_t>(i);

  UsedLinks links(cluster_, fractions);
  FlowSet flows;
  flows.reserve(transfers.size(), transfers.size() * 4);
  std::vector<std::int32_t> src, dst;
  std::array<base::LinkId, topology::Route::kCapacity> hops;
  for (const Transfer& transfer : transfers) {
    if (transfer.src == transfer.dst || transfer.bytes.count() == 0) continue;
    const topology::Route route = cluster_.route(transfer.src, transfer.dst);
    std::transform(route.begin(), route.end(), hops.begin(),
                   [&](base::LinkId link) { return links.use(link); });
    flows.add(std::span(hops).first(route.size()), transfer.bytes, transfer.start);
    src.push_back(position[transfer.src.index()]);
    dst.push_back(position[transfer.dst.index()]);
  }
  if (flows.empty()) return times;

  const SharingResult shared = sharing_.solve(links.links(), flows);
  const std::vector<Seconds> sent =
      compute_group_done(sharing_, links.links(), flows, shared, src, ranks.size());
  const std::vector<Seconds> received =
      compute_group_done(sharing_, links.links(), flows, shared, dst, ranks.size());
  add_class_terms(profile_, use, kind, steps, times);
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    const Seconds done = max(sent[i], received[i]);
    if (done > Seconds()) times.done[i] = done + times.overhead;
  }
  times.makespan = shared.makespan + times.overhead;
  return times;
}

}  // namespace moeplan::sim
