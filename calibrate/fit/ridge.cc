#include "calibrate/fit/ridge.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace moeplan::calibrate {

namespace {

constexpr double kLeastResidual = 0.01;  // below which a residual weighs no more

/// Solves A x = b; `a` holds the lower triangle, row-major, and is overwritten.
std::vector<double> solve_positive_definite(std::vector<double>& a, std::vector<double> b) {
  const std::size_t n = b.size();
  for (std::size_t i = 0; i < n; ++i) {
    double* row = a.data() + i * n;
    for (std::size_t j = 0; j <= i; ++j) {
      const double* other = a.data() + j * n;
      double sum = row[j];
      for (std::size_t k = 0; k < j; ++k) sum -= row[k] * other[k];
      if (j == i) {
        MOEPLAN_CHECK(sum > 0.0, "a ridge matrix is positive definite");
        row[i] = std::sqrt(sum);
      } else {
        row[j] = sum / other[j];
      }
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < i; ++k) b[i] -= a[i * n + k] * b[k];
    b[i] /= a[i * n + i];
  }
  for (std::size_t i = n; i-- > 0;) {
    b[i] /= a[i * n + i];
    for (std::size_t k = 0; k < i; ++k) b[k] -= a[i * n + k] * b[i];
  }
  return b;
}

}  // namespace

std::vector<double> solve_ridge(const std::vector<Equation>& equations, std::size_t size, double penalty,
                                int rounds) {
  std::vector<double> weights(equations.size(), 1.0);
  std::vector<double> solution(size, 0.0);
  for (int round = 0; round < rounds; ++round) {
    std::vector<double> matrix(size * size, 0.0);
    std::vector<double> right(size, 0.0);
    for (std::size_t e = 0; e < equations.size(); ++e) {
      for (const auto& [i, u] : equations[e].terms) {
        right[i] += weights[e] * u * equations[e].target;
        for (const auto& [j, v] : equations[e].terms)
          if (j <= i) matrix[i * size + j] += weights[e] * u * v;
      }
    }
    for (std::size_t i = 0; i < size; ++i) matrix[i * size + i] += penalty;
    solution = solve_positive_definite(matrix, std::move(right));
    double total = 0.0;
    for (std::size_t e = 0; e < equations.size(); ++e) {
      double fit = 0.0;
      for (const auto& [i, u] : equations[e].terms) fit += u * solution[i];
      weights[e] = 1.0 / std::max(std::abs(equations[e].target - fit), kLeastResidual);
      total += weights[e];
    }
    for (double& w : weights) w *= static_cast<double>(weights.size()) / total;
  }
  return solution;
}

}  // namespace moeplan::calibrate
