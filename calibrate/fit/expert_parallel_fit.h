#pragma once

#include <map>
#include <string>
#include <vector>

#include "sim/collective/expert_parallel_rows.h"
#include "sim/cost/expert_parallel.h"
#include "sim/cost/profile_data.h"

namespace moeplan::calibrate {

/// How well constants describe the rows that they were fitted on, and those that they were not.
struct ExpertParallelResidual {
  std::string system;
  sim::EpLibrary ep_library = sim::EpLibrary::kDeepEp;
  sim::EpOperation operation = sim::EpOperation::kDispatch;
  int fitted = 0, left_out = 0;
  double fitted_mean = 0.0, fitted_median = 0.0, left_out_mean = 0.0, left_out_median = 0.0,
         left_out_worst = 0.0;
};

/// What the constants of rows that stand in are shares of.
struct ExpertParallelMachine {
  base::BytesPerSecond nvlink, hbm;
  int sm_count = 0;
};

struct ExpertParallelFit {
  sim::ExpertParallelTable table;
  std::vector<ExpertParallelResidual> residuals;
};

/// Constants of one GPU from the rows of its profile (`rows` may hold those of others, too: constants of
/// other GPUs stand in where this one has no rows). Only rows that left_out_of_fit() does not name are used.
///
/// One node first; then what nodes add, from the rows on two; the NIC's share of its line rate is that which
/// a connection of NCCL's send/recv reaches on `device`'s NIC, as nothing on two nodes saturates it. The 90 %
/// band holds the 5th and 95th percentile of measured / predicted of rows whose shape (or, where the rows
/// have one shape, SM count) was left out in a refit; with fewer than 40 of them it is that of DeepEP on the
/// same GPU. A part without rows of its own is taken from the nearest GPU that has some: SM constants as they
/// are, link shares as they are, of that GPU's line rates in the fit and of this one's when used; evidence
/// then is assumed, and the source says from which GPU.
///
/// `device`: a profile without the section: SMs, bandwidths, links. `machines`: those of other GPUs, by
/// profile; a GPU that is not among them is taken to be like `device`. Deterministic.
ExpertParallelFit fit_expert_parallel(const sim::ProfileData& device, const std::string& stem,
                                      const std::vector<sim::EpRow>& rows,
                                      const std::map<std::string, ExpertParallelMachine>& machines = {});

}  // namespace moeplan::calibrate
