#pragma once

#include <cstddef>

namespace moeplan::sim {

// Loops over the links of a PairComponent, compiled for AVX2 too where the processor is asked at run time.
// They round alike on every processor: no fused multiply-add, no sums over elements.

/// left[i] -= factor * counts[i] where rank[i] > place. `behind`: scratch for n values.
void take_behind(double* left, const float* counts, const float* rank, float* behind, float place,
                 double factor, std::size_t n);

/// clock[i] += level[i] * seconds.
void advance_clocks(double* clock, const double* level, double seconds, std::size_t n);

/// end_at[i] = now + max(0, front[i] - clock[i]) / level[i]; returns the least. Requires: front[i] is
/// infinite where level[i] is 0.
double find_ends(double* end_at, const double* front, const double* clock, const double* level, double now,
                 std::size_t n);

}  // namespace moeplan::sim
