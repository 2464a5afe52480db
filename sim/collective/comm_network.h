#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.h"
#include "base/units.h"
#include "sim/cost/estimate.h"
#include "sim/cost/profile.h"
#include "sim/network/sharing.h"
#include "topology/cluster.h"

namespace moeplan::sim {

/// Bytes that one rank sends to another.
struct Transfer {
  base::RankId src;
  base::RankId dst;
  base::Bytes bytes;
  base::Seconds start;  ///< earliest moment, from the start of the collective
};

/// When the ranks of one or several collectives that run at the same time are done.
struct CommTimes {
  std::vector<base::Seconds>
      done;                ///< [position in `ranks`]: the rank's own sends and receives, overhead included
  base::Seconds makespan;  ///< all of them; under `bound` the busiest-link bound
  base::Seconds overhead;  ///< in every `done` and in the makespan
  base::Seconds per_step;  ///< its part for one step
  double low = 1.0;        ///< 90 % band, multiplicative
  double high = 1.0;
  Evidence evidence = Evidence::kMeasured;

  Estimate estimate() const { return {makespan, low, high, evidence}; }
  Estimate estimate(std::size_t position) const { return {done[position], low, high, evidence}; }
};

/// What an algorithm adds to the transfers that it makes.
struct CommTerms {
  std::array<double, kLinkClasses> share{1.0, 1.0, 1.0};  ///< [class] of the capacity of its links
  base::Seconds start;                                    ///< launch, steps, filling of a pipeline
  base::Bytes size;                                       ///< S of nccl-tests, for the band
  base::BytesPerSecond connection_rate;  ///< what one transfer between nodes reaches at most; zero: no limit
};

/// The cluster's network as collectives of one profile see it.
///
/// Model (of `steps`; for NCCL's algorithms: nccl_model.h):
///          every link gets capacity * fraction(b), every transfer follows its route at a fair share of it,
/// and
///          t = overhead + finish;  overhead = base_latency + per_step * steps of the link class used
///          (of the slower class where both are used)
/// Symbols: b = what a sending rank sends over links of that class, in the mean over senders;
///          fraction, base_latency, per_step: CommEfficiency of the class and the kind of collective. A flow
///          between nodes counts as NIC traffic and its NIC and fabric links take the NIC class; a flow
///          inside a node counts as NVLink (or PCIe) traffic. Latencies of the links come on top.
/// Not modelled: SMs that communication takes from GEMMs, protocol switches, limits to the number of peers.
class CommNetwork {
 public:
  CommNetwork(const topology::Cluster& cluster, const Profile& profile, const Sharing& sharing);

  /// Transfers within a rank take no time. `ranks` lists who takes part; every src and dst is one of them.
  CommTimes solve(std::span<const base::RankId> ranks, std::span<const Transfer> transfers,
                  CollectiveKind kind, int steps) const;
  /// The same with the terms of an algorithm instead of a CommEfficiency; `kind` and terms.size
  /// give band and evidence.
  /// Latencies of links count as part of terms.start.
  CommTimes solve(std::span<const base::RankId> ranks, std::span<const Transfer> transfers,
                  CollectiveKind kind, const CommTerms& terms) const;

  const topology::Cluster& cluster() const { return cluster_; }
  const Profile& profile() const { return profile_; }
  std::string_view sharing_mode() const { return sharing_.name(); }

 private:
  const topology::Cluster& cluster_;
  const Profile& profile_;
  const Sharing& sharing_;
};

/// The class that a flow between two ranks is counted as.
LinkClass link_class(const topology::Cluster& cluster, base::RankId src, base::RankId dst);

}  // namespace moeplan::sim
