#pragma once

#include <functional>
#include <span>
#include <vector>

namespace moeplan::calibrate {

/// Minimises sum_i rho(r_i(x)^2) by Levenberg-Marquardt with numeric derivatives.
///
/// Model:   rho(z) = 2 s^2 (sqrt(1 + z / s^2) - 1): squares near zero, absolute values beyond the scale s, so
///          that a few odd rows do not bend the fit; bounds are kept by clipping each step
/// Symbols: r = residuals, as many as `residuals` returns each time; s = scale
/// Cost:    iterations * (parameters + 1) evaluations. Deterministic.
/// Requires: lower[i] <= start[i] <= upper[i]
struct LeastSquaresProblem {
  std::function<std::vector<double>(std::span<const double>)> residuals;
  std::vector<double> start, lower, upper;
  double scale = 0.1;
  int iterations = 200;
};
std::vector<double> solve_robust_least_squares(const LeastSquaresProblem& problem);

}  // namespace moeplan::calibrate
