#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/units.h"
#include "calibrate/drift/drift.h"
#include "sim/cost/profile_data.h"
#include "topology/cluster_spec.h"

namespace moeplan::calibrate {

/// The links between ranks that `calibrate mpi` has measured, as a cluster file can say them.
struct RankFit {
  topology::ClusterSpec cluster;
  std::size_t points = 0;       ///< transfers that rates were fitted on
  double median_error = 0.0;    ///< of predicted / measured - 1, absolute
  double worst_error = 0.0;     ///< the largest, with its sign
  std::string worst;            ///< its case
  std::vector<std::string> remarks;
};

/// Rates and latencies from the cases `pair`, `grouped` and `ping_pong` of a file of measurements; nothing else of
/// it counts. Of each pattern the largest size is taken.
///
/// Model:   t = makespan of the pattern's transfers over the cluster's routes, max-min fair, latencies included
/// Fitted:  NIC rate; rate of a node's own links, where a node has several ranks; rate of a leaf's uplinks. The sum
///          of w |log(predicted / measured)|, smoothed below 0.5 %, is least; w = 1 for grouped transfers, and all
///          pairs together count half of them.
///          Leaves: for every divisor L of the nodes, 1 < L < nodes, node k under leaf k / L; the best L is taken
///          where it makes the loss less than kLeafGain of that of a single switch, and that is above 1 %.
///          Latencies: median of the ping-pongs inside a node, under a leaf, over the spine; what software adds is
///          in them.
/// Requires: pairs, for the NIC's rate where uplinks hold every shift up; without them it is only known to be no less
///          than the shifts need.
/// Not modelled: leaves that are not blocks of the host order, uneven NICs, traffic that acknowledges (so that a rate
///          is between that of links which carry data one way and both ways).
/// Throws InputError where the file lacks grouped transfers, or its provenance says no layout.
RankFit fit_rank_links(const MeasuredFile& measured, const std::string& name);

/// A fabric with leaves is believed where its loss is below this share of the loss without.
inline constexpr double kLeafGain = 0.6;

/// The cluster file (docs/formats/cluster.md): reads back to fit.cluster.
std::string write_rank_cluster(const RankFit& fit, const std::string& name, const std::string& profile,
                               const std::string& source);

/// Puts what was measured into links.nic of a profile (and line rates); returns what there is to say.
///
/// Model:   t = base_latency + per_step steps + flows(S) / fraction, flows(S) = time of the collective's flows over
///          the cluster: a ring of S (n-1)/n, twice that for all-reduce, S/n a pair for all-to-all, S over a chain
///          for broadcast. half_size stays 0: on one group of ranks its term is a constant.
/// Fitted per collective over its sizes by least |log(predicted / measured)|; bands are the 5 % and 95 % quantiles of
///          measured / predicted. A collective that was not measured takes the constants of send/recv, assumed.
std::vector<std::string> fit_rank_profile(sim::ProfileData& profile, const MeasuredFile& measured,
                                          const RankFit& fit);

}  // namespace moeplan::calibrate
