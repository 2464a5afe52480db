#pragma once

#include <string>

#include "base/units.h"
#include "report/validation/case.h"
#include "sim/collective/nccl_log.h"
#include "sim/collective/nccl_model.h"
#include "sim/cost/profile.h"
#include "topology/cluster.h"

namespace moeplan::report {

/// One measured collective over all ranks of a cluster.
struct NcclMeasurement {
  std::string name;  ///< FILE#ID
  std::string gpu;
  sim::NcclTest test = sim::NcclTest::kAllGather;
  base::Bytes size;
  base::Seconds time;
};

/// Predicted by the functions that the simulator calls, on an otherwise idle cluster. The note says where the
/// constants were fitted on rows of this kind.
///
/// Baseline: one node: busbw = NVLink's line rate. Over N nodes with g of n ranks each and B = NIC rate per
/// GPU: all-to-all busbw = B N/(N-1) (n-1)/n; send/recv B; all others g B, every NIC of the nodes.
Case judge_collective(const NcclMeasurement& row, const topology::Cluster& cluster,
                      const sim::Profile& profile);

/// Send/recv and all-gathers of few ranks: what link constants are fitted on (calibrate/fit/link_fit.h).
bool is_fitted_kind(sim::NcclTest test, sim::NcclGroup group);

}  // namespace moeplan::report
