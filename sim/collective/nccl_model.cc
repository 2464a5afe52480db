#include "sim/collective/nccl_model.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/check.h"
#include "sim/cost/profile_data.h"

namespace moeplan::sim {

namespace {

using base::Bytes;
using base::BytesPerSecond;
using base::Seconds;

constexpr double kMiB = 1024.0 * 1024.0;

// NCCL 2.29, as its source states them.
constexpr int kMaxChannels = 32;               // p2p channels of a communicator in one node
constexpr int kMaxNetChannels = 16;            // of a communicator over nodes (src/graph/connect.cc)
constexpr int kChannelsPerNic = 4;             // below that
constexpr double kNetChannelRate = 14e9;       // NCCL_P2P_PER_CHANNEL_NET_BW
constexpr int kPeersPerBatch = 8;              // NCCL_MAX_DEV_WORK_P2P_PER_BATCH
constexpr double kChannelPart = 16 * kMiB;     // 32 chunks of 512 KiB: beyond it a send takes more channels
constexpr double kTreeEfficiency = 0.92;       // of a ring's bandwidth
constexpr double kNvlsStepRatio = 25.0 / 3.4;  // NVLS latency: step of a Simple ring, over NVLink
constexpr double kNvlsTreeStepRatio =
    20.9 / 14.0;                     // NVLSTree latency: step of a Simple ring, over the network
constexpr double kFarChunk = 65536;  // largest NVLS chunk from four nodes on
constexpr double kChunk = 131072;

int power_of_two_up(int value) {
  int power = 1;
  while (power < value) power *= 2;
  return power;
}

/// NCCL's chunk for NVLS: smaller where few would be in flight.
double nvls_chunk(double size, double operations, int nodes) {
  double chunk = nodes >= 4 ? kFarChunk : kChunk;
  for (const auto& [in_flight, smaller] : {std::pair(64.0, 65536.0), {8.0, 32768.0}, {2.0, 16384.0}}) {
    if (size < in_flight * operations * chunk && chunk > smaller) chunk = smaller;
  }
  return chunk;
}

/// S/g that the busiest node's NICs send in a double binary tree.
double tree_factor(int nodes) { return nodes <= 1 ? 0.0 : nodes == 2 ? 1.0 : 2.0; }

double tree_depth(int nodes) { return nodes <= 1 ? 0.0 : std::ceil(std::log2(nodes)); }

}  // namespace

std::string_view name(NcclAlgorithm algorithm) {
  static constexpr std::array<std::string_view, 4> kNames{"ring", "tree", "nvls", "nvls_tree"};
  return kNames[static_cast<std::size_t>(algorithm)];
}

std::string_view name(NcclProtocol protocol) {
  static constexpr std::array<std::string_view, 3> kNames{"ll", "ll128", "simple"};
  return kNames[static_cast<std::size_t>(protocol)];
}

Seconds NcclPath::time() const {
  return start + Seconds::of(std::max(local_bytes / local_rate, nic_bytes / nic_rate));
}

std::optional<NcclModel> NcclModel::find(const topology::Cluster& cluster, const Profile& profile) {
  const auto table = [&](LinkClass link) { return profile.data().links[static_cast<std::size_t>(link)]; };
  NcclModel model;
  if (cluster.gpus_per_node() > 1) {
    const LinkTable local = table(cluster.nvlink_domain() > 1 ? LinkClass::kNvlink : LinkClass::kPcie);
    if (!local.nccl) return std::nullopt;
    model.local_ = *local.nccl;
    model.has_local_ = true;
    const double nvlink = cluster.nvlink_bandwidth().bytes_per_s();
    const auto& pcie = cluster.spec().node.pcie;
    model.local_line_ = nvlink > 0 ? nvlink
                        : pcie     ? pcie->bandwidth.bytes_per_s()
                                   : local.line_rate.bytes_per_s();
    // A mesh has no switch that could reduce.
    const auto& spec = cluster.spec().node.nvlink;
    if (!spec || spec->kind != topology::NvlinkSpec::Kind::kSwitch) model.local_.nvls_efficiency = 0;
  }
  if (cluster.nodes() > 1) {
    const LinkTable nic = table(LinkClass::kNic);
    if (!nic.nccl) return std::nullopt;
    model.nic_ = *nic.nccl;
    model.has_nic_ = true;
    model.nic_line_ = cluster.nic_bandwidth_per_gpu().bytes_per_s();
  }
  if (!model.has_local_ && !model.has_nic_) return std::nullopt;
  if (!model.has_local_) model.local_ = model.nic_;
  return model;
}

NcclModel NcclModel::make(const std::optional<NcclCost>& local, double local_line,
                          const std::optional<NcclCost>& nic, double nic_line) {
  NcclModel model;
  if (local) {
    model.has_local_ = true;
    model.local_ = *local;
    model.local_line_ = local_line;
  }
  if (nic) {
    model.has_nic_ = true;
    model.nic_ = *nic;
    model.nic_line_ = nic_line;
    if (!local) model.local_ = *nic;
  }
  return model;
}

Seconds NcclModel::idle_time(CollectiveKind kind, NcclGroup group, Bytes size) const {
  const double bytes = size.as_double();
  if (kind == CollectiveKind::kAllToAll) {
    const double part = bytes / group.ranks();
    const double local = part * (group.local - 1), remote = part * (group.ranks() - group.local);
    const PeerTerms terms = all_to_all_terms(group, local, part, remote, group.ranks() - group.local);
    double nic_rate = nic_line_ * terms.nic_share;
    if (terms.connection_rate.bytes_per_s() > 0)
      nic_rate = std::min(nic_rate, terms.connection_rate.bytes_per_s());
    return terms.start + Seconds::of(std::max(local / (local_line_ * terms.local_share), remote / nic_rate));
  }
  if (kind == CollectiveKind::kSendRecv) {
    const PeerTerms terms = send_terms(group, size);
    const double local = group.local > 1 ? bytes / (local_line_ * terms.local_share) : 0.0;
    const double remote =
        group.nodes > 1 ? bytes / std::min(terms.connection_rate.bytes_per_s(), nic_line_ * terms.nic_share)
                        : 0.0;
    return terms.start + Seconds::of(std::max(local, remote));
  }
  return choose(kind, group, size).time();
}

int NcclModel::channels(NcclGroup group) const {
  return group.nodes <= 1 ? kMaxChannels : std::min(kMaxNetChannels, kChannelsPerNic * group.local);
}

int NcclModel::peer_channels(NcclGroup group, Bytes bytes) const {
  const int total = channels(group);
  if (group.nodes <= 1) {
    int count = std::max(1, total / power_of_two_up(group.ranks()));
    while (count < total && bytes.as_double() / count > kChannelPart) count *= 2;
    return count;
  }
  const int wanted = static_cast<int>(std::ceil(nic_line_ / kNetChannelRate));
  int count = power_of_two_up(std::max(2, wanted));
  const int batches = (group.ranks() + kPeersPerBatch - 1) / kPeersPerBatch;
  while (count > 1 && count * batches > total) count /= 2;
  return count;
}

double NcclModel::local_share(NcclProtocol protocol) const { return local_.of(protocol).share; }

NcclPath NcclModel::ring(CollectiveKind kind, NcclGroup group, double size, NcclProtocol protocol) const {
  const double n = group.ranks();
  const double g = group.local;
  const bool chain = kind == CollectiveKind::kBroadcast;
  const double passes = kind == CollectiveKind::kAllReduce ? 2 : 1;
  const double bus = chain ? size : passes * size * (n - 1) / n;
  const double between = passes * (group.nodes - 1);
  const double inside = passes * (n - 1) - between;
  const NcclProtocolCost& local = local_.of(protocol);
  NcclPath path{NcclAlgorithm::kRing, protocol, {}};
  path.start = local.start + local.step * inside;
  if (group.nodes > 1) {
    const NcclProtocolCost& nic = nic_.of(protocol);
    path.start = max(local.start, nic.start) + local.step * inside + nic.step * between;
    path.nic_bytes = bus / g;
    path.nic_rate = nic_line_ * nic.share;
    path.local_bytes = bus * (g - 1) / g;
    path.local_rate = std::min(local_line_ * local.share,
                               channels(group) * (g - 1) / g * local_.channel_rate.bytes_per_s() *
                                   local.share / local_share(NcclProtocol::kSimple));
    if (group.local == 1) path.local_rate = local_line_;
  } else {
    path.local_bytes = bus;
    path.local_rate = local_line_ * local.share;
  }
  // LL moves no data aside: it writes the output as it goes.
  if (!chain && protocol != NcclProtocol::kLl)
    path.start += Seconds::of(size / n / local_.copy_rate.bytes_per_s());
  return path;
}

NcclPath NcclModel::tree(NcclGroup group, double size, NcclProtocol protocol) const {
  const NcclProtocolCost& local = local_.of(protocol);
  const NcclProtocolCost& nic = nic_.of(protocol);
  const double depth = tree_depth(group.nodes);
  NcclPath path{NcclAlgorithm::kTree, protocol, {}};
  path.start =
      max(local.start, nic.start) + local.step * (2.0 * (group.local - 1)) + nic.step * (2.0 * depth);
  path.local_bytes = group.local > 1 ? 2 * size : 0;
  path.local_rate = std::min(local_line_ * local.share, channels(group) * local_.channel_rate.bytes_per_s()) *
                    kTreeEfficiency;
  path.nic_bytes = tree_factor(group.nodes) * size / group.local;
  path.nic_rate = nic_line_ * nic.share * kTreeEfficiency;
  return path;
}

NcclPath NcclModel::nvls(NcclGroup group, double size) const {
  const NcclProtocolCost& local = local_.of(NcclProtocol::kSimple);
  const double g = group.local;
  NcclPath path{group.nodes > 1 ? NcclAlgorithm::kNvlsTree : NcclAlgorithm::kNvls, NcclProtocol::kSimple, {}};
  path.local_bytes = size * (1 + 1 / g);
  path.local_rate = local_line_ * local.share * local_.nvls_efficiency;
  const double operations = local_.nvls_channels * g;
  const double piece = std::min(size, operations * nvls_chunk(size, operations, group.nodes));
  const double depth = tree_depth(group.nodes);
  double stage = piece * (1 + 1 / g) / path.local_rate;
  path.start = local.start + local.step * kNvlsStepRatio;
  if (group.nodes > 1) {
    const NcclProtocolCost& nic = nic_.of(NcclProtocol::kSimple);
    path.nic_bytes = tree_factor(group.nodes) * size / g;
    path.nic_rate = nic_line_ * nic.share;
    stage = std::max(stage, path.nic_bytes * piece / size / path.nic_rate);
    path.start = max(local.start, nic.start) + local.step * kNvlsStepRatio +
                 nic.step * (2 * depth * kNvlsTreeStepRatio);
  }
  // Of 2 + 2 depth stages one is counted with the bytes.
  path.start += Seconds::of(stage * (1 + 2 * depth));
  return path;
}

NcclPath NcclModel::choose(CollectiveKind kind, NcclGroup group, Bytes size, const NcclPin& pin) const {
  MOEPLAN_CHECK(group.ranks() > 1 && size.count() > 0, "a collective needs two ranks and a byte");
  std::optional<NcclPath> best;
  const auto offer = [&](const NcclPath& path) {
    if (pin.algorithm && *pin.algorithm != path.algorithm) return;
    if (pin.protocol && *pin.protocol != path.protocol) return;
    if (!best || path.time() < best->time()) best = path;
  };
  const double bytes = size.as_double();
  for (const NcclProtocol protocol : {NcclProtocol::kLl, NcclProtocol::kLl128, NcclProtocol::kSimple}) {
    offer(ring(kind, group, bytes, protocol));
    if (kind == CollectiveKind::kAllReduce && group.nodes > 1) offer(tree(group, bytes, protocol));
  }
  if (kind == CollectiveKind::kAllReduce && has_local_ && local_.nvls_efficiency > 0 && group.local > 2)
    offer(nvls(group, bytes));
  // A pin that this machine cannot follow falls back on the plain ring.
  return best ? *best : ring(kind, group, bytes, NcclProtocol::kSimple);
}

NcclModel::PeerTerms NcclModel::all_to_all_terms(NcclGroup group, double local_bytes, double own_bytes,
                                                 double nic_bytes, double remote_peers) const {
  const double g = group.local;
  const double channel_rate = local_.channel_rate.bytes_per_s();
  const double others = group.ranks() > 1 ? 1.0 - 1.0 / group.ranks() : 1.0;
  std::optional<PeerTerms> best;
  double best_time = 0;
  for (const NcclProtocol protocol : {NcclProtocol::kLl, NcclProtocol::kSimple}) {
    const NcclProtocolCost& local = local_.of(protocol);
    PeerTerms terms;
    const double free_rate = local_line_ * local.share;
    // The blocks are dealt out evenly over the peers, the rank itself one of them.
    const double rate = std::min(free_rate, channels(group) * others * channel_rate * local.share /
                                                local_share(NcclProtocol::kSimple));
    terms.local_share = g > 1 ? rate / local_line_ : 1.0;
    terms.start = local.start + local.step;
    double nic_time = 0;
    if (group.nodes > 1) {
      const NcclProtocolCost& nic = nic_.of(protocol);
      terms.start = max(local.start, nic.start) + nic.step * remote_peers;
      terms.nic_share = nic.share;
      nic_time = nic_bytes / (nic_line_ * nic.share);
      if (remote_peers <= 1.0 && g == 1)
        terms.connection_rate = send_terms(group, Bytes::rounded(nic_bytes)).connection_rate;
    }
    const double local_time = local_bytes / rate;
    const double copy_time = own_bytes / local_.copy_rate.bytes_per_s();
    // In one node the own part delays the others only where the blocks are not the bottleneck anyway.
    terms.start += Seconds::of(
        group.nodes > 1 ? copy_time : std::max(0.0, local_bytes / free_rate + copy_time - local_time));
    const double time = terms.start.s() + std::max(local_time, nic_time);
    if (!best || time < best_time) {
      best = terms;
      best_time = time;
    }
  }
  return *best;
}

NcclModel::PeerTerms NcclModel::send_terms(NcclGroup group, Bytes bytes) const {
  std::optional<PeerTerms> best;
  double best_time = 0;
  const int count = peer_channels(group, bytes);
  for (const NcclProtocol protocol : {NcclProtocol::kLl, NcclProtocol::kSimple}) {
    const NcclProtocolCost& local = local_.of(protocol);
    const double slow_down = local.share / local_share(NcclProtocol::kSimple);
    PeerTerms terms;
    const double rate =
        std::min(local_line_ * local.share, count * local_.channel_rate.bytes_per_s() * slow_down);
    terms.local_share = rate / local_line_;
    terms.start = local.start + local.step;
    double time = has_local_ ? bytes.as_double() / rate : 0.0;
    if (group.nodes > 1) {
      const NcclProtocolCost& nic = nic_.of(protocol);
      terms.start = max(local.start, nic.start) + nic.step;
      terms.nic_share = nic.share;
      const double relative = nic.share / nic_.of(NcclProtocol::kSimple).share;
      terms.connection_rate = BytesPerSecond::of(
          relative * std::min(nic_line_ * nic_.connection_share, count * nic_.channel_rate.bytes_per_s()));
      time = std::max(time, bytes.as_double() / terms.connection_rate.bytes_per_s());
    }
    time += terms.start.s();
    if (!best || time < best_time) {
      best = terms;
      best_time = time;
    }
  }
  return *best;
}

}  // namespace moeplan::sim
