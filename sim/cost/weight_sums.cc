#include "sim/cost/weight_sums.h"

#include <algorithm>

namespace moeplan::sim {

namespace {

// Tokens up to which the traffic of the sums is as exposed as it gets; twice as many hide half of that.
constexpr double kHidingTokens = 2048.0;

}  // namespace

bool adds_to_sums(GemmPass pass, WeightResult result) {
  return pass == GemmPass::kWeightGradient && result != WeightResult::kWriteBf16;
}

double sums_seconds(const ProfileData& profile, double values, WeightResult result, double usual) {
  const bool own = profile.sums && result != WeightResult::kWriteBf16;
  return values * bytes_moved(result) /
         (own ? profile.hbm_bandwidth.bytes_per_s() * profile.sums->share : usual);
}

double exposed_sums_seconds(const ProfileData& profile, double values, std::int64_t tokens,
                            WeightResult result) {
  if (!profile.sums || result == WeightResult::kWriteBf16) return 0.0;
  const double share = std::min(1.0, kHidingTokens / static_cast<double>(tokens));
  return profile.sums->exposed * share * sums_seconds(profile, values, result, 0.0);
}

}  // namespace moeplan::sim
