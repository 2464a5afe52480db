#pragma once

#include <optional>

#include "base/units.h"
#include "sim/collective/nccl_machine.h"
#include "sim/collective/nccl_path.h"
#include "sim/collective/nccl_peers.h"
#include "sim/cost/profile.h"
#include "topology/cluster.h"

namespace moeplan::sim {

/// NCCL on one machine: which algorithm and protocol it takes for a collective, and how long that is. The
/// algorithms stand in files of their own (nccl_ring.h, nccl_tree.h, nccl_nvls.h, nccl_nvls_tree.h,
/// nccl_collnet.h, nccl_broadcast.h, nccl_reduce.h, nccl_peers.h).
///
/// Model:   all-reduce over nodes: what NCCL's own tuner expects to be fastest (nccl_tuner.h), then our time
///          of it; the protocol of a ring or tree is the one that we expect to be fastest. Everything else:
///          the least of our times over algorithm x protocol
/// Not modelled: PAT, symmetric kernels, user-buffer registration, tuner plug-ins, environment variables that
///          a transport does not set by itself
class NcclModel {
 public:
  /// Empty where the profile has no NCCL constants for the links that this cluster has.
  static std::optional<NcclModel> find(const topology::Cluster& cluster, const Profile& profile);

  /// The links of one machine by their line rates (bytes/s per GPU and direction); an absent class has none.
  static NcclModel make(const std::optional<NcclCost>& local, double local_line,
                        const std::optional<NcclCost>& nic, double nic_line,
                        const NicTransportFacts& transport = {}, double nics_per_gpu = 1);

  /// Time of a whole collective on an idle machine; S as nccl-tests counts it, all-to-all and the exchange
  /// between neighbours included. What solve_collective and its like give where nothing else is on the links.
  base::Seconds idle_time(CollectiveKind kind, NcclGroup group, base::Bytes size) const;

  /// The way that NCCL takes to all-gather, reduce-scatter, all-reduce, broadcast or reduce; S as nccl-tests
  /// counts it. A pin that this machine cannot follow falls back on the plain ring.
  /// Requires: more than one rank, S > 0.
  NcclPath choose(CollectiveKind kind, NcclGroup group, base::Bytes size, const NcclPin& pin = {}) const;

  int peer_channels(NcclGroup group, base::Bytes bytes) const { return machine_.peer_channels(group, bytes); }
  int channels(NcclGroup group) const { return machine_.channels(group); }
  const NcclMachine& machine() const { return machine_; }

  PeerTerms all_to_all_terms(NcclGroup group, const PeerTraffic& traffic) const {
    return sim::all_to_all_terms(machine_, group, traffic);
  }
  PeerTerms send_terms(NcclGroup group, base::Bytes bytes) const {
    return sim::send_terms(machine_, group, bytes);
  }

 private:
  NcclModel() = default;
  bool has_nvls(NcclGroup group) const;
  NcclMachine machine_;
  bool in_fabric_ = false;  // switches of the fabric can add
};

}  // namespace moeplan::sim
