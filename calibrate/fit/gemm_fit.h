#pragma once

#include <optional>
#include <vector>

#include "sim/cost/kernel_rows.h"
#include "sim/cost/profile_data.h"

namespace moeplan::calibrate {

struct GemmMeasurement {
  sim::GemmRow row;
  double seconds = 0.0;
};

/// What becomes of the rows that left_out_of_fit() names.
enum class GemmHoldOut {
  kOnlyJudge,    ///< never fitted on: what published accuracy rests on
  kThenAllRows,  ///< they judge a first fit (its residuals are `left_out`), then all rows are fitted on
};

/// Fits the table of one format; what it evaluates is sim::gemm_time itself.
///
/// Two stages, both on the mean |log(predicted / measured)| of rows that left_out_of_fit() does not name: the
/// mechanism (launch, wave and split overhead, memory efficiency, clock drop, tiles, quantisation of A for
/// formats other than bf16), then the correction grid as a penalised correction of what is left, held
/// constant beyond its nodes. The band comes from refits that leave out a quarter of the (n, k) and the
/// largest m, judged on both.
///
/// launch_s: of another format on this GPU; empty to fit it. Requires at least kLeastGemmRows fitted rows.
sim::GemmTable fit_gemm(const sim::ProfileData& device, sim::NumberFormat format,
                        const std::vector<GemmMeasurement>& rows, std::optional<double> launch_s,
                        int threads, GemmHoldOut hold_out = GemmHoldOut::kOnlyJudge);
inline constexpr std::size_t kLeastGemmRows = 40;

}  // namespace moeplan::calibrate
