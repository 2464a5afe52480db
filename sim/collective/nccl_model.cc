#include "sim/collective/nccl_model.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "sim/collective/nccl_broadcast.h"
#include "sim/collective/nccl_collnet.h"
#include "sim/collective/nccl_nvls.h"
#include "sim/collective/nccl_nvls_tree.h"
#include "sim/collective/nccl_reduce.h"
#include "sim/collective/nccl_ring.h"
#include "sim/collective/nccl_tree.h"
#include "sim/collective/nccl_tuner.h"
#include "sim/cost/profile_data.h"

namespace moeplan::sim {

namespace {

using base::Bytes;
using base::Seconds;

constexpr std::array kProtocols{NcclProtocol::kLl, NcclProtocol::kLl128, NcclProtocol::kSimple};
constexpr int kLeastNvlsRanks = 3;  // two ranks gain nothing from a switch that adds

/// Keeps the path that `cost` says is cheapest among those that a pin allows.
class Cheapest {
 public:
  explicit Cheapest(const NcclPin& pin) : pin_(pin) {}
  void offer(const NcclPath& path, double cost) {
    if (pin_.algorithm && *pin_.algorithm != path.algorithm) return;
    if (pin_.protocol && *pin_.protocol != path.protocol) return;
    if (found_ && cost >= cost_) return;
    found_ = true;
    best_ = path;
    cost_ = cost;
  }
  void offer(const NcclPath& path) { offer(path, path.time().s()); }
  bool found() const { return found_; }
  const NcclPath& best() const { return best_; }

 private:
  NcclPin pin_;
  bool found_ = false;
  NcclPath best_;
  double cost_ = 0;
};

}  // namespace

std::optional<NcclModel> NcclModel::find(const topology::Cluster& cluster, const Profile& profile) {
  const auto table = [&](LinkClass link) -> const LinkTable& {
    return profile.link(link);
  };
  NcclModel model;
  NcclMachine& machine = model.machine_;
  if (cluster.gpus_per_node() > 1) {
    const LinkTable& local = table(cluster.nvlink_domain() > 1 ? LinkClass::kNvlink : LinkClass::kPcie);
    if (!local.nccl) return std::nullopt;
    machine.local = *local.nccl;
    machine.has_local = true;
    const double nvlink = cluster.nvlink_bandwidth().bytes_per_s();
    const auto& pcie = cluster.spec().node.pcie;
    machine.local_line = nvlink > 0 ? nvlink
                         : pcie     ? pcie->bandwidth.bytes_per_s()
                                    : local.line_rate.bytes_per_s();
    // A mesh has no switch that could reduce.
    const auto& spec = cluster.spec().node.nvlink;
    if (!spec || spec->kind != topology::NvlinkSpec::Kind::kSwitch) machine.local.nvls_efficiency = 0;
  }
  if (cluster.nodes() > 1) {
    const LinkTable& nic = table(LinkClass::kNic);
    if (!nic.nccl) return std::nullopt;
    machine.nic = *nic.nccl;
    machine.has_nic = true;
    machine.nic_line = cluster.nic_bandwidth_per_gpu().bytes_per_s();
    if (const auto& nics = cluster.spec().node.nics) {
      machine.transport = facts_of(nics->transport);
      machine.nics_per_gpu = std::min(1.0, static_cast<double>(nics->count) / cluster.gpus_per_node());
    }
    model.in_fabric_ = cluster.spec().fabric.in_network_reduction;
  }
  if (!machine.has_local && !machine.has_nic) return std::nullopt;
  if (!machine.has_local) machine.local = machine.nic;
  return model;
}

NcclModel NcclModel::make(const std::optional<NcclCost>& local, double local_line,
                          const std::optional<NcclCost>& nic, double nic_line,
                          const NicTransportFacts& transport, double nics_per_gpu) {
  NcclModel model;
  NcclMachine& machine = model.machine_;
  if (local) {
    machine.has_local = true;
    machine.local = *local;
    machine.local_line = local_line;
  }
  if (nic) {
    machine.has_nic = true;
    machine.nic = *nic;
    machine.nic_line = nic_line;
    machine.transport = transport;
    machine.nics_per_gpu = nics_per_gpu;
    if (!local) machine.local = *nic;
  }
  return model;
}

Seconds NcclModel::idle_time(CollectiveKind kind, NcclGroup group, Bytes size) const {
  const double bytes = size.as_double();
  if (kind == CollectiveKind::kAllToAll) {
    const double part = bytes / group.ranks();
    const double peers = group.ranks() - group.local;
    const PeerTraffic traffic{part * (group.local - 1), part, part * peers, peers};
    const PeerTerms terms = all_to_all_terms(group, traffic);
    double nic_rate = machine_.nic_line * terms.nic_share;
    if (terms.connection_rate.bytes_per_s() > 0)
      nic_rate = std::min(nic_rate, terms.connection_rate.bytes_per_s());
    return terms.start + Seconds::of(std::max(traffic.local / (machine_.local_line * terms.local_share),
                                              traffic.remote / nic_rate));
  }
  if (kind == CollectiveKind::kSendRecv) {
    const PeerTerms terms = send_terms(group, size);
    const double local = group.local > 1 ? bytes / (machine_.local_line * terms.local_share) : 0.0;
    const double remote = group.nodes > 1 ? bytes / std::min(terms.connection_rate.bytes_per_s(),
                                                             machine_.nic_line * terms.nic_share)
                                          : 0.0;
    return terms.start + Seconds::of(std::max(local, remote));
  }
  return choose(kind, group, size).time();
}

bool NcclModel::has_nvls(NcclGroup group) const {
  if (!machine_.has_local || machine_.local.nvls_efficiency <= 0 || group.local < kLeastNvlsRanks)
    return false;
  return group.nodes == 1 || machine_.transport.reduces_in_nvlink;
}

NcclPath NcclModel::choose(CollectiveKind kind, NcclGroup group, Bytes size, const NcclPin& pin) const {
  MOEPLAN_CHECK(group.ranks() > 1 && size.count() > 0, "a collective needs two ranks and a byte");
  const double bytes = size.as_double();
  Cheapest ring(pin), tree(pin);
  for (const NcclProtocol protocol : kProtocols) {
    if (!machine_.allows(group, protocol)) continue;
    if (kind == CollectiveKind::kBroadcast) {
      ring.offer(broadcast_path(machine_, group, bytes, protocol));
    } else if (kind == CollectiveKind::kReduce) {
      ring.offer(reduce_path(machine_, group, bytes, protocol));
    } else {
      ring.offer(ring_path(machine_, kind, group, bytes, protocol));
    }
    if (kind == CollectiveKind::kAllReduce && group.nodes > 1)
      tree.offer(tree_path(machine_, group, bytes, protocol));
  }
  Cheapest all(pin);
  if (kind != CollectiveKind::kAllReduce || group.nodes == 1) {
    if (ring.found()) all.offer(ring.best());
    if (kind == CollectiveKind::kAllReduce && has_nvls(group)) all.offer(nvls_path(machine_, group, bytes));
  } else {
    const auto expected = [&](NcclAlgorithm algorithm) {
      double least = tuner_time(machine_, group, bytes, algorithm, NcclProtocol::kSimple);
      if (algorithm == NcclAlgorithm::kNvlsTree) return least;
      for (const NcclProtocol protocol : {NcclProtocol::kLl, NcclProtocol::kLl128}) {
        if (machine_.allows(group, protocol))
          least = std::min(least, tuner_time(machine_, group, bytes, algorithm, protocol));
      }
      return least;
    };
    if (ring.found()) all.offer(ring.best(), expected(NcclAlgorithm::kRing));
    if (tree.found()) all.offer(tree.best(), expected(NcclAlgorithm::kTree));
    if (has_nvls(group))
      all.offer(nvls_tree_path(machine_, group, bytes), expected(NcclAlgorithm::kNvlsTree));
  }
  const bool fabric = in_fabric_ || pin.algorithm == NcclAlgorithm::kCollNet;
  if (kind == CollectiveKind::kAllReduce && group.nodes > 1 && fabric) {
    // Where the fabric adds, that is what it is there for.
    const NcclPath path = collnet_path(machine_, group, bytes);
    if (!all.found() || path.time() < all.best().time()) all.offer(path, 0.0);
  }
  return all.found() ? all.best() : ring_path(machine_, kind, group, bytes, NcclProtocol::kSimple);
}

}  // namespace moeplan::sim
