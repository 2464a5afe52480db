#pragma once

#include <cstddef>
#include <vector>

namespace moeplan::sim {

/// A grid axis for piecewise linear interpolation in the logarithm; constant outside its ends.
class LogAxis {
 public:
  /// Where x lies: value = (1 - fraction) * v[lower] + fraction * v[lower + 1]; fraction = 0 on the last
  /// node.
  struct Cell {
    std::size_t lower = 0;
    double fraction = 0.0;
  };

  LogAxis() = default;
  /// Requires nodes > 0, strictly increasing, at least one.
  explicit LogAxis(std::vector<double> nodes);

  Cell locate(double x) const;
  std::size_t size() const { return nodes_.size(); }
  const std::vector<double>& nodes() const { return nodes_; }
  friend bool operator==(const LogAxis& a, const LogAxis& b) { return a.nodes_ == b.nodes_; }

 private:
  std::vector<double> nodes_;
  std::vector<double> inverse_width_;  // 1 / log(node[i+1] / node[i])
};

/// values[a][b], row-major with `columns` columns, bilinear in two located cells.
double interpolate(const std::vector<double>& values, std::size_t columns, LogAxis::Cell a, LogAxis::Cell b);
/// values[i], linear.
double interpolate(const double* values, LogAxis::Cell cell);

}  // namespace moeplan::sim
