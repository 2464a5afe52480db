#pragma once

#include <functional>
#include <span>
#include <vector>

namespace moeplan::calibrate {

/// Positive parameters and what they may be; a parameter with low == high stays.
struct Parameter {
  double start = 1.0, low = 1.0, high = 1.0;
};

/// Coordinate descent by multiplicative steps that shrink. Beside the single parameters, those of each group
/// move together: the least of several curves hides a single one that is too slow, but not all of them.
///
/// Requires: loss is finite. Deterministic. Cost: at most 2 rounds (parameters + groups) evaluations.
std::vector<double> descend(const std::vector<Parameter>& parameters,
                            const std::vector<std::vector<std::size_t>>& groups,
                            const std::function<double(std::span<const double>)>& loss, int rounds);

/// Rounded to so many significant digits, which is what a profile holds.
double significant(double x, int digits = 4);
double round_to(double x, int decimals);

}  // namespace moeplan::calibrate
