#include "sim/collective/comm_network.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "sim/cost/profile_data.h"

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

/// The links that routes touch, numbered in the order of their first use, with the capacity that is reached.
class UsedLinks {
 public:
  UsedLinks(const topology::Cluster& cluster, const std::array<double, kLinkClasses>& shares, bool latencies)
      : cluster_(cluster), shares_(shares), latencies_(latencies), number_(cluster.links().size(), -1) {}

  base::LinkId use(base::LinkId link) {
    std::int32_t& number = number_[link.index()];
    if (number < 0) {
      number = static_cast<std::int32_t>(links_.size());
      const topology::Link& original = cluster_.link(link);
      const auto c = static_cast<std::size_t>(profile_class(original.link_class));
      links_.push_back({original.capacity * shares_[c], latencies_ ? original.latency : Seconds()});
    }
    return base::LinkId(number);
  }
  /// A link of its own for one transfer.
  base::LinkId add(base::BytesPerSecond capacity) {
    links_.push_back({capacity, Seconds()});
    return base::LinkId(static_cast<std::int32_t>(links_.size()) - 1);
  }
  const std::vector<SharedLink>& links() const { return links_; }

 private:
  const topology::Cluster& cluster_;
  const std::array<double, kLinkClasses>& shares_;
  bool latencies_;
  std::vector<std::int32_t> number_;
  std::vector<SharedLink> links_;
};

/// The bands of NCCL's model for that size instead of the wider ones of the class.
void narrow_band(const Profile& profile, const ClassUse& use, CollectiveKind kind, base::Bytes size,
                 CommTimes& times) {
  double low = 1, high = 1;
  for (int c = 0; c < kLinkClasses; ++c) {
    if (!use.uses(c)) continue;
    const std::optional<NcclCost>& nccl = profile.data().links[static_cast<std::size_t>(c)].nccl;
    if (!nccl) return;
    const NcclBand& band = nccl->bands[static_cast<std::size_t>(kind)];
    low = std::min(low, band.low[NcclBand::size_class(size)]);
    high = std::max(high, band.high[NcclBand::size_class(size)]);
    // Over nodes the network's band holds what the links inside the node add.
    if (c == static_cast<int>(LinkClass::kNic)) {
      low = band.low[NcclBand::size_class(size)];
      high = band.high[NcclBand::size_class(size)];
      break;
    }
  }
  times.low = low;
  times.high = high;
}

/// When ranks are done and how long everything takes, without any overhead. False: nothing moves.
bool solve_flows(const topology::Cluster& cluster, const Sharing& sharing,
                 std::span<const base::RankId> ranks, std::span<const Transfer> transfers,
                 base::BytesPerSecond connection_rate, UsedLinks& links, CommTimes& times) {
  std::vector<std::int32_t> position(static_cast<std::size_t>(cluster.ranks()), -1);
  for (std::size_t i = 0; i < ranks.size(); ++i) position[ranks[i].index()] = static_cast<std::int32_t>(i);
  FlowSet flows;
  flows.reserve(transfers.size(), transfers.size() * 4);
  std::vector<std::int32_t> src, dst;
  std::array<base::LinkId, topology::Route::kCapacity + 1> hops;
  for (const Transfer& transfer : transfers) {
    if (transfer.src == transfer.dst || transfer.bytes.count() == 0) continue;
    const bool limited = connection_rate.bytes_per_s() > 0 && !cluster.same_node(transfer.src, transfer.dst);
    base::LinkId limit;
    const int parts = cluster.parts(transfer.src, transfer.dst);
    for (int part = 0; part < parts; ++part) {
      const topology::Route route = cluster.route(transfer.src, transfer.dst, part);
      std::transform(route.begin(), route.end(), hops.begin(),
                     [&](base::LinkId link) { return links.use(link); });
      std::size_t count = route.size();
      if (limited && part == 0) limit = links.add(connection_rate);
      if (limited) hops[count++] = limit;
      flows.add(std::span(hops).first(count), part_of(transfer.bytes, part, parts), transfer.start);
      src.push_back(position[transfer.src.index()]);
      dst.push_back(position[transfer.dst.index()]);
    }
  }
  if (flows.empty()) return false;
  const SharingResult shared = sharing.solve(links.links(), flows);
  const std::vector<Seconds> sent =
      compute_group_done(sharing, links.links(), flows, shared, src, ranks.size());
  const std::vector<Seconds> received =
      compute_group_done(sharing, links.links(), flows, shared, dst, ranks.size());
  for (std::size_t i = 0; i < ranks.size(); ++i) times.done[i] = max(sent[i], received[i]);
  times.makespan = shared.makespan;
  return true;
}

void add_overhead(CommTimes& times) {
  for (Seconds& done : times.done) {
    if (done > Seconds()) done += times.overhead;
  }
  times.makespan += times.overhead;
}

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
  UsedLinks links(cluster_, fractions, true);
  if (!solve_flows(cluster_, sharing_, ranks, transfers, {}, links, times)) return times;
  add_class_terms(profile_, use, kind, steps, times);
  add_overhead(times);
  return times;
}

CommTimes CommNetwork::solve(std::span<const base::RankId> ranks, std::span<const Transfer> transfers,
                             CollectiveKind kind, const CommTerms& terms) const {
  CommTimes times;
  times.done.resize(ranks.size());
  UsedLinks links(cluster_, terms.share, false);
  if (!solve_flows(cluster_, sharing_, ranks, transfers, terms.connection_rate, links, times)) return times;
  add_class_terms(profile_, measure_use(cluster_, transfers), kind, 0, times);
  narrow_band(profile_, measure_use(cluster_, transfers), kind, terms.size, times);
  times.overhead = terms.start;
  times.per_step = Seconds();
  add_overhead(times);
  return times;
}

}  // namespace moeplan::sim
