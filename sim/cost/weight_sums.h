#pragma once

#include <cstdint>

#include "sim/cost/profile_data.h"

namespace moeplan::sim {

/// Whether a product adds its result to sums over micro-batches.
bool adds_to_sums(GemmPass pass, WeightResult result);

/// Traffic of a result of `values` values, in seconds. Sums are read and written:
///   values bytes_moved(result) / (hbm share)
/// with the profile's `weight_sums`; without them at the rate `usual` (bytes/s) of the table.
double sums_seconds(const ProfileData& profile, double values, WeightResult result, double usual);

/// What of that traffic adds to the product instead of hiding behind it:
///   exposed min(1, 2048 / tokens) sums_seconds
/// The more tokens a tile's product runs over, the more of the next tile's sums arrive behind it. Zero for
/// what only writes and for profiles without `weight_sums`. Source: weight gradients beside forward products
/// over 64 to 16,384 tokens (docs/models/compute.md, "GEMM").
double exposed_sums_seconds(const ProfileData& profile, double values, std::int64_t tokens,
                            WeightResult result);

}  // namespace moeplan::sim
