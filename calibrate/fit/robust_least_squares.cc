#include "calibrate/fit/robust_least_squares.h"

#include <algorithm>
#include <cmath>

namespace moeplan::calibrate {

namespace {

constexpr double kStep = 1e-5;  ///< of the numeric derivatives
constexpr double kLeastGain = 1e-9;

double cost_of(const std::vector<double>& residuals, double scale) {
  double cost = 0.0;
  for (const double r : residuals)
    cost += 2.0 * scale * scale * (std::sqrt(1.0 + r * r / (scale * scale)) - 1.0);
  return cost;
}

/// Solves A x = b, A symmetric and positive definite, n x n; false where it is not.
bool solve_cholesky(std::vector<double> a, std::vector<double> b, std::vector<double>& x) {
  const std::size_t n = b.size();
  for (std::size_t j = 0; j < n; ++j) {
    for (std::size_t i = j; i < n; ++i) {
      double sum = a[i * n + j];
      for (std::size_t k = 0; k < j; ++k) sum -= a[i * n + k] * a[j * n + k];
      if (i == j) {
        if (!(sum > 0.0)) return false;
        a[j * n + j] = std::sqrt(sum);
      } else {
        a[i * n + j] = sum / a[j * n + j];
      }
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < i; ++k) b[i] -= a[i * n + k] * b[k];
    b[i] /= a[i * n + i];
  }
  for (std::size_t i = n; i-- > 0;) {
    for (std::size_t k = i + 1; k < n; ++k) b[i] -= a[k * n + i] * b[k];
    b[i] /= a[i * n + i];
  }
  x = std::move(b);
  return true;
}

/// J^T W J and J^T W r at x, W the weights of rho.
struct Normal {
  std::vector<double> matrix, gradient;
};

Normal build_normal(const LeastSquaresProblem& p, const std::vector<double>& x,
                    const std::vector<double>& r) {
  const std::size_t n = x.size();
  std::vector<std::vector<double>> columns(n);
  for (std::size_t j = 0; j < n; ++j) {
    std::vector<double> moved = x;
    const double step = moved[j] + kStep <= p.upper[j] ? kStep : -kStep;
    moved[j] += step;
    columns[j] = p.residuals(moved);
    for (std::size_t i = 0; i < r.size(); ++i) columns[j][i] = (columns[j][i] - r[i]) / step;
  }
  Normal normal{std::vector<double>(n * n), std::vector<double>(n)};
  for (std::size_t i = 0; i < r.size(); ++i) {
    const double weight = 1.0 / std::sqrt(1.0 + r[i] * r[i] / (p.scale * p.scale));
    for (std::size_t j = 0; j < n; ++j) {
      normal.gradient[j] += weight * columns[j][i] * r[i];
      for (std::size_t k = 0; k <= j; ++k) normal.matrix[j * n + k] += weight * columns[j][i] * columns[k][i];
    }
  }
  for (std::size_t j = 0; j < n; ++j) {
    for (std::size_t k = 0; k < j; ++k) normal.matrix[k * n + j] = normal.matrix[j * n + k];
  }
  return normal;
}

}  // namespace

std::vector<double> solve_robust_least_squares(const LeastSquaresProblem& p) {
  std::vector<double> x = p.start;
  std::vector<double> r = p.residuals(x);
  double cost = cost_of(r, p.scale);
  double damping = 1e-3;
  for (int pass = 0; pass < p.iterations && damping < 1e12; ++pass) {
    const Normal normal = build_normal(p, x, r);
    bool better = false;
    while (!better && damping < 1e12) {
      std::vector<double> damped = normal.matrix;
      for (std::size_t j = 0; j < x.size(); ++j)
        damped[j * x.size() + j] += damping * (damped[j * x.size() + j] + 1e-9);
      std::vector<double> step;
      if (solve_cholesky(damped, normal.gradient, step)) {
        std::vector<double> next = x;
        for (std::size_t j = 0; j < x.size(); ++j)
          next[j] = std::clamp(x[j] - step[j], p.lower[j], p.upper[j]);
        std::vector<double> there = p.residuals(next);
        const double now = cost_of(there, p.scale);
        if (now < cost) {
          better = true;
          const bool done = cost - now < kLeastGain * cost;
          x = std::move(next);
          r = std::move(there);
          cost = now;
          damping = std::max(1e-9, damping * 0.3);
          if (done) return x;
          continue;
        }
      }
      damping *= 4.0;
    }
  }
  return x;
}

}  // namespace moeplan::calibrate
