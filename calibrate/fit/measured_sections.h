#pragma once

#include <vector>

#include "calibrate/fit/fit.h"

namespace moeplan::calibrate {

/// Backward products of dense layers relative to the forward table, on the GPU's own burst samples in bf16 whose
/// sizes are all at least 512 (below that other terms of the model decide).
///
/// Method:  relative efficiency at which the median of measured / predicted is 1; band: its 5 % and 95 % quantiles.
/// Needs kLeastPassSamples of a pass; the factor stays where there are fewer.
void fit_gemm_passes(sim::ProfileData& profile, const std::vector<Sample>& samples, FitReport& report);
inline constexpr std::size_t kLeastPassSamples = 12;

/// Memory-bound kernels on the GPU's own samples: t = floor + bytes / (share * HBM bandwidth).
///
/// Method:  share of an op: median over samples of at least 32 MiB; floor: median over samples of at most 16 MiB
///          of what the shares leave, the two in turn until they stand. A share that a library's own kernel on this
///          GPU gave (measured or interpolated, with a source) stays. The band stays: frameworks' kernels are others.
void fit_memory_section(sim::ProfileData& profile, const std::vector<Sample>& samples, FitReport& report);

}  // namespace moeplan::calibrate
