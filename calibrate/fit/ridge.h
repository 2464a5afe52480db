#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace moeplan::calibrate {

/// One equation: sum of coefficient * unknown[column] = target.
struct Equation {
  std::vector<std::pair<std::size_t, double>> terms;  ///< columns distinct
  double target = 0.0;
};

/// Least absolute deviations by reweighted least squares with a penalty:
///
///     minimise sum_i w_i (target_i - X_i c)^2 + penalty |c|^2,   w_i ~ 1 / max(|residual_i|, 0.01), mean 1
///
/// Unknowns that no equation names come out as 0. Cost: rounds * (terms^2 per equation + size^3 / 6).
/// Requires penalty > 0. Deterministic.
std::vector<double> solve_ridge(const std::vector<Equation>& equations, std::size_t size, double penalty,
                                int rounds);

}  // namespace moeplan::calibrate
