#include "sim/cost/log_axis.h"

#include <cmath>
#include <utility>

#include "base/check.h"

namespace moeplan::sim {

LogAxis::LogAxis(std::vector<double> nodes) : nodes_(std::move(nodes)) {
  MOEPLAN_CHECK(!nodes_.empty() && nodes_.front() > 0.0, "an axis needs a positive node");
  for (std::size_t i = 0; i + 1 < nodes_.size(); ++i) {
    MOEPLAN_CHECK(nodes_[i] < nodes_[i + 1], "nodes of an axis increase");
    inverse_width_.push_back(1.0 / std::log(nodes_[i + 1] / nodes_[i]));
  }
}

LogAxis::Cell LogAxis::locate(double x) const {
  if (nodes_.size() == 1 || x <= nodes_.front()) return {0, 0.0};
  if (x >= nodes_.back()) return {nodes_.size() - 1, 0.0};
  std::size_t i = 0;
  while (x >= nodes_[i + 1]) ++i;
  if (x == nodes_[i]) return {i, 0.0};
  return {i, std::log(x / nodes_[i]) * inverse_width_[i]};
}

double interpolate(const double* values, LogAxis::Cell cell) {
  const double* at = values + cell.lower;
  return cell.fraction == 0.0 ? at[0] : (1.0 - cell.fraction) * at[0] + cell.fraction * at[1];
}

double interpolate(const std::vector<double>& values, std::size_t columns, LogAxis::Cell a, LogAxis::Cell b) {
  const double* row = values.data() + a.lower * columns;
  const double lower = interpolate(row, b);
  if (a.fraction == 0.0) return lower;
  return (1.0 - a.fraction) * lower + a.fraction * interpolate(row + columns, b);
}

}  // namespace moeplan::sim
