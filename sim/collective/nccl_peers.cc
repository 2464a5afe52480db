#include "sim/collective/nccl_peers.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <vector>

namespace moeplan::sim {

namespace {

using base::Bytes;
using base::BytesPerSecond;
using base::Seconds;

constexpr int kRoundsPerBase = 8;  // NCCL_MAX_DEV_WORK_P2P_PER_BATCH
constexpr std::array kPeerProtocols{NcclProtocol::kLl, NcclProtocol::kSimple};

/// Of the NIC's rate, what rounds dealt out over few sets of channels leave of it.
///
/// Reference: sets with r_1 >= r_2 >= ... rounds share the NIC (rate 1), each at most `most` of it; the
/// smallest end first and leave their share to the others.
double rounds_share(std::vector<double> rounds, double most) {
  std::erase(rounds, 0.0);
  std::sort(rounds.begin(), rounds.end());
  double total = 0, end = 0, done = 0;
  for (const double r : rounds) total += r;
  for (std::size_t i = 0; i < rounds.size(); ++i) {
    const double rate = std::min(most, 1.0 / static_cast<double>(rounds.size() - i));
    end += (rounds[i] - done) / rate;
    done = rounds[i];
  }
  return end > 0 ? total / end : 1.0;
}

int reverse_bits(int value, int count) {
  int reversed = 0;
  for (int bit = 1; bit < count; bit *= 2) reversed = reversed * 2 + ((value & bit) != 0 ? 1 : 0);
  return reversed;
}

/// Of the NIC's rate that grouped sends to all other nodes reach.
///
/// Round d * g + l goes to the l-th rank of the d-th node after this one; its channels start at bit-reversed
/// d ceil(g/8) + l/8 and lie channels / peer channels apart, so rounds with equal start modulo that share
/// them.
double set_share(const NcclMachine& machine, NcclGroup group, double nic_rate) {
  const int total = machine.channels(group), each = machine.peer_channels(group, Bytes());
  const int sets = std::max(1, total / each);
  const int bases = (group.local + kRoundsPerBase - 1) / kRoundsPerBase;
  std::vector<double> rounds(static_cast<std::size_t>(sets), 0.0);
  for (int node = 1; node < group.nodes; ++node) {
    for (int base = 0; base < bases; ++base) {
      const int start = reverse_bits((node * bases + base) % total, total);
      const int count = std::min(kRoundsPerBase, group.local - base * kRoundsPerBase);
      rounds[static_cast<std::size_t>(start % sets)] += count;
    }
  }
  const double most = each * machine.nic.channel_rate.bytes_per_s() / nic_rate;
  return std::min(1.0, rounds_share(std::move(rounds), std::min(1.0, most)));
}

/// The terms of the protocol that is done first.
template <typename Offer>
PeerTerms fastest(const NcclMachine& machine, NcclGroup group, const Offer& offer) {
  std::optional<PeerTerms> best;
  double best_time = 0;
  for (const NcclProtocol protocol : kPeerProtocols) {
    if (!machine.allows(group, protocol)) continue;
    const auto [terms, time] = offer(protocol);
    if (best && time >= best_time) continue;
    best = terms;
    best_time = time;
  }
  return *best;
}

}  // namespace

PeerTerms all_to_all_terms(const NcclMachine& machine, NcclGroup group, const PeerTraffic& traffic) {
  const double others = group.ranks() > 1 ? 1.0 - 1.0 / group.ranks() : 1.0;
  return fastest(machine, group, [&](NcclProtocol protocol) {
    PeerTerms terms;
    const double free_rate = machine.local_line * machine.local_share(protocol);
    const double rate = std::min(free_rate, machine.channels(group) * others * machine.block_rate(protocol));
    terms.local_share = group.local > 1 ? rate / machine.local_line : 1.0;
    terms.start = machine.local.of(protocol).start + machine.local.of(protocol).step;
    double nic_time = 0;
    if (group.nodes > 1) {
      terms.start =
          machine.launch(group, protocol) + machine.nic_step(group, protocol) * traffic.remote_peers;
      terms.nic_share = machine.nic.of(protocol).share;
      if (traffic.remote_peers <= 1.0 && group.local == 1) {
        terms.connection_rate = send_terms(machine, group, Bytes::rounded(traffic.remote)).connection_rate;
      } else {
        terms.nic_share *= set_share(machine, group, machine.nic_rate(protocol));
      }
      nic_time = traffic.remote / (machine.nic_line * terms.nic_share);
    }
    const double local_time = traffic.local / rate;
    const double copy_time = traffic.own / machine.local.copy_rate.bytes_per_s();
    terms.start += Seconds::of(
        group.nodes > 1 ? copy_time : std::max(0.0, traffic.local / free_rate + copy_time - local_time));
    return std::pair(terms, terms.start.s() + std::max(local_time, nic_time));
  });
}

PeerTerms send_terms(const NcclMachine& machine, NcclGroup group, Bytes bytes) {
  const int count = machine.peer_channels(group, bytes);
  return fastest(machine, group, [&](NcclProtocol protocol) {
    PeerTerms terms;
    const double rate =
        std::min(machine.local_line * machine.local_share(protocol), count * machine.block_rate(protocol));
    terms.local_share = rate / machine.local_line;
    terms.start = machine.local.of(protocol).start + machine.local.of(protocol).step;
    double time = machine.has_local ? bytes.as_double() / rate : 0.0;
    if (group.nodes > 1) {
      const double relative = machine.nic.of(protocol).share / machine.nic.of(NcclProtocol::kSimple).share;
      terms.start = machine.launch(group, protocol) + machine.nic_step(group, protocol);
      terms.nic_share = machine.nic.of(protocol).share;
      terms.connection_rate =
          BytesPerSecond::of(relative * std::min(machine.nic_line * machine.nic.connection_share,
                                                 count * machine.nic.channel_rate.bytes_per_s()));
      time = std::max(time, bytes.as_double() / terms.connection_rate.bytes_per_s());
    }
    return std::pair(terms, time + terms.start.s());
  });
}

}  // namespace moeplan::sim
