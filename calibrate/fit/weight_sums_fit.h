#pragma once

#include <vector>

#include "calibrate/fit/fit.h"
#include "calibrate/samples/sample.h"
#include "sim/cost/profile_data.h"

namespace moeplan::calibrate {

/// Tokens up to which reading and writing the sums decides how long a weight gradient takes, tokens from
/// which on most of it hides, and those between, where it is seen beside the product.
inline constexpr std::int64_t kSumsDecide = 256, kSumsSeenFrom = 512, kSumsSeenTo = 2048, kSumsHidden = 4096;
/// Fewer pairs of a kind than these change nothing.
inline constexpr std::size_t kLeastSumPairs = 3;

/// What weight gradients that add to sums take beyond the forward product of the same sizes (`gemm`,
/// `weight_sums` in a profile), and their efficiency without that where no burst samples of the GPU gave one.
///
/// Pairs: forward and weight gradient of one layer (dense, or of one expert of a group) in bf16 on one GPU
/// under one software. share: median of traffic / time over pairs of at most kSumsDecide tokens whose
/// gradient takes twice the forward; exposed: median of (gradient - forward) / traffic time over
/// kSumsSeenFrom to kSumsSeenTo tokens; efficiency: median of forward / (gradient - exposed traffic) from
/// kSumsHidden tokens up. Pairs of the GPU's chip; without any those of the nearest chip (`devices`) that has
/// some, else the geometric mean of the chips' medians, assumed. `devices` says how fast their memory is,
/// too. Without a pair of few tokens the share stays as the profile has it (0.6 without). Cost: O(samples log
/// samples).
void fit_weight_sums(sim::ProfileData& profile, const std::vector<Sample>& samples,
                     const std::vector<DeviceFacts>& devices, FitReport& report);

/// Seconds that the sums of a sampled weight gradient add to its product with the constants of `profile`;
/// zero for other samples, formats other than bf16 and GPUs that `devices` does not know.
double seen_of_sums(const sim::ProfileData& profile, const std::vector<DeviceFacts>& devices,
                    const Sample& sample);

}  // namespace moeplan::calibrate
