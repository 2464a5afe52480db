#include "sim/network/pair_kernels.h"

#include <algorithm>
#include <limits>

// Sanitizers' run times are not ready when the loader picks a version.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MOEPLAN_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(undefined_behavior_sanitizer)
#define MOEPLAN_SANITIZED 1
#endif
#endif
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(MOEPLAN_SANITIZED)
#define MOEPLAN_ALSO_AVX2 __attribute__((target_clones("avx2", "default")))
#else
#define MOEPLAN_ALSO_AVX2
#endif

namespace moeplan::sim {

MOEPLAN_ALSO_AVX2
void take_behind(double* __restrict left, const float* __restrict counts, const float* __restrict rank,
                 float* __restrict behind, float place, double factor, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) behind[i] = rank[i] > place ? counts[i] : 0.0F;
  for (std::size_t i = 0; i < n; ++i) left[i] -= factor * static_cast<double>(behind[i]);
}

MOEPLAN_ALSO_AVX2
void advance_clocks(double* __restrict clock, const double* __restrict level, double seconds, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) clock[i] += level[i] * seconds;
}

MOEPLAN_ALSO_AVX2
double find_ends(double* __restrict end_at, const double* __restrict front, const double* __restrict clock,
                 const double* __restrict level, double now, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    const double room = front[i] - clock[i];
    end_at[i] = now + (room > 0.0 ? room : 0.0) / level[i];
  }
  constexpr std::size_t kLanes = 4;
  double least[kLanes];
  std::fill_n(least, kLanes, std::numeric_limits<double>::infinity());
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (std::size_t j = 0; j < kLanes; ++j) least[j] = end_at[i + j] < least[j] ? end_at[i + j] : least[j];
  for (; i < n; ++i) least[0] = std::min(least[0], end_at[i]);
  return *std::min_element(least, least + kLanes);
}

}  // namespace moeplan::sim
