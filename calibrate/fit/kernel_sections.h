#pragma once

#include <vector>

#include "calibrate/fit/fit.h"

namespace moeplan::calibrate {

/// Fits the grouped GEMM section on the samples of profile.name: a table for each format and kernel, of the
/// newest release with enough rows, and the two gradients on the pairs of any GPU. The default of a format is
/// the one that reaches most rows of a rank,
/// of equal ones the one of more shapes. Formats without samples stay like another. Kept where nothing is
/// there.
/// The passes hold what is left of a weight gradient without its sums (weight_sums_fit.h, fitted before).
void fit_grouped_section(sim::ProfileData& profile, const std::vector<Sample>& samples,
                         const FitOptions& options, FitReport& report);

/// The same of attention: forward on the GPU's own samples, backward on the pairs of any GPU.
void fit_attention_section(sim::ProfileData& profile, const std::vector<Sample>& samples, int threads,
                           FitReport& report);

}  // namespace moeplan::calibrate
