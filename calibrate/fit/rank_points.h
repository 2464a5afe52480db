#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/units.h"
#include "calibrate/drift/drift.h"
#include "calibrate/measure/communicator.h"
#include "sim/network/sharing.h"
#include "topology/cluster.h"

namespace moeplan::calibrate {

/// What the provenance of a file of `calibrate mpi` says.
struct RankFacts {
  int nodes = 0, per_node = 0;
  base::Bytes memory;    ///< of a rank: its share of the host
  std::string software;
};
/// Throws InputError where it says no layout.
RankFacts read_rank_facts(const MeasuredFile& measured);

/// One measured set of transfers.
struct RankPoint {
  std::string name;  ///< the case
  Operation operation;
  double seconds = 0.0, weight = 1.0;
};

/// The ping-pongs of a file.
std::vector<RankPoint> ping_points(const MeasuredFile& measured, const RankFacts& facts);
/// The largest size of each pattern of `pair` and `grouped`. All pairs together weigh half of the grouped ones.
/// Throws InputError where there is no grouped one.
std::vector<RankPoint> transfer_points(const MeasuredFile& measured, const RankFacts& facts);
/// Of all sizes and kinds "collective": S, by their name.
std::vector<RankPoint> collective_points(const MeasuredFile& measured, const RankFacts& facts,
                                         Operation::Kind kind);

/// The highest rate of any single transfer among the points, in bytes/s: inside nodes or between them; 0: none.
double fastest_rate(const std::vector<RankPoint>& points, int per_node, bool inside);

/// Max-min fair times over a cluster.
class RankNetwork {
 public:
  explicit RankNetwork(const topology::ClusterSpec& spec);
  base::Seconds predict(const Operation& operation) const;

 private:
  topology::Cluster cluster_;
  std::vector<sim::SharedLink> links_;
  std::unique_ptr<sim::Sharing> sharing_;
};

}  // namespace moeplan::calibrate
