#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "planner/sweep/sweep_spec.h"

namespace moeplan::sweep {

/// The points of a sweep in order: the product of its groups, the last one fastest, less what is excluded.
class Grid {
 public:
  static constexpr std::uint64_t kMaxPoints = 1'000'000;

  /// Throws InputError where there are more than kMaxPoints before exclusions, or none after them. `spec`
  /// outlives this.
  explicit Grid(const SweepSpec& spec);

  std::size_t size() const { return kept_.size(); }
  /// Value of each group at a point. Shape: [group]
  std::vector<std::size_t> digits(std::size_t point) const;
  /// Value of each axis at a point. Shape: [axis]
  std::vector<std::size_t> values(std::size_t point) const;

 private:
  std::vector<std::size_t> digits_of(std::uint64_t product_index) const;
  bool is_excluded(const std::vector<std::size_t>& digits) const;

  const SweepSpec& spec_;
  std::vector<std::uint32_t> kept_;  // [point] -> index in the product
};

}  // namespace moeplan::sweep
