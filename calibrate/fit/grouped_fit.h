#pragma once

#include <vector>

#include "calibrate/samples/sample.h"
#include "sim/cost/profile_data.h"

namespace moeplan::calibrate {

struct GroupedMeasurement {
  GroupedGemmSample sample;
  double seconds = 0.0;
};

/// True for the rows that time one rank's own work: no tensor parallelism, and of the fused kernels expert
/// parallelism 1 or balanced loads on up to 16 ranks with at least 1,024 rows each (with more ranks or fewer
/// rows the fixed part of the operation is all one sees; skewed loads on many ranks hold the imbalance
/// between ranks, too). The DeepEP tables draw the counts of the rank that they time: all of their rows.
bool fits_grouped(const GroupedGemmSample& sample);

/// Fits the table of one format and kernel; what it evaluates is sim::expert_operation_time.
///
/// One stage: the mechanism (fixed part, host floor, wave overhead, memory efficiency, weight re-reads, clock
/// drop, activation, movement, one efficiency a row tile, rising with its rows) by coordinate descent on the
/// mean |log(predicted / measured)| of rows that left_out_of_fit() does not name. There is no correction
/// grid: on slabs left out it gained nothing. A grouped tile is held to the best dense tile, a wave to twice
/// the dense overhead: without that the regression trades the products against what surrounds them. The band
/// comes from refits that leave out an eighth of the slabs (hidden, inter, experts of a rank) each, judged on
/// those.
///
/// dense: the GEMM table of the format on this GPU. Requires: every row fits_grouped() and is of `format` and
/// `kernel`; at least kLeastGroupedRows rows to fit.
sim::GroupedTable fit_grouped(const sim::ProfileData& device, sim::NumberFormat format,
                              sim::GroupedKernel kernel, const std::vector<GroupedMeasurement>& rows,
                              const sim::GemmTable& dense, int threads);
inline constexpr std::size_t kLeastGroupedRows = 20;

/// Of the rows, those that are fitted.
std::size_t count_fitted(const std::vector<GroupedMeasurement>& rows);

}  // namespace moeplan::calibrate
