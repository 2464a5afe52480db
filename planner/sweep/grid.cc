#include "planner/sweep/grid.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/diagnostics.h"

namespace moeplan::sweep {

Grid::Grid(const SweepSpec& spec) : spec_(spec) {
  std::uint64_t count = 1;
  for (const std::size_t size : spec.group_sizes) {
    count *= size;
    if (count > kMaxPoints)
      throw base::InputError({base::Diagnostic{spec.file,
                                               {},
                                               "sweep > axes",
                                               fmt::format("the axes make more than {} points", kMaxPoints),
                                               "split the sweep, or let axes step together in one item"}});
  }
  for (std::uint64_t i = 0; i < count; ++i) {
    if (!is_excluded(digits_of(i))) kept_.push_back(static_cast<std::uint32_t>(i));
  }
  if (kept_.empty())
    throw base::InputError(
        {base::Diagnostic{spec.file,
                          {},
                          "sweep > exclude",
                          fmt::format("all {} points are excluded, expected some to be left", count),
                          ""}});
}

std::vector<std::size_t> Grid::digits_of(std::uint64_t product_index) const {
  std::vector<std::size_t> digits(spec_.group_sizes.size());
  for (std::size_t g = digits.size(); g-- > 0;) {
    digits[g] = static_cast<std::size_t>(product_index % spec_.group_sizes[g]);
    product_index /= spec_.group_sizes[g];
  }
  return digits;
}

bool Grid::is_excluded(const std::vector<std::size_t>& digits) const {
  const auto matches = [&](const Exclusion::Match& match) {
    const std::size_t value = digits[spec_.axes[match.axis].group];
    return std::find(match.values.begin(), match.values.end(), value) != match.values.end();
  };
  return std::any_of(spec_.exclusions.begin(), spec_.exclusions.end(), [&](const Exclusion& exclusion) {
    return std::all_of(exclusion.matches.begin(), exclusion.matches.end(), matches);
  });
}

std::vector<std::size_t> Grid::digits(std::size_t point) const { return digits_of(kept_[point]); }

std::vector<std::size_t> Grid::values(std::size_t point) const {
  const std::vector<std::size_t> of_group = digits(point);
  std::vector<std::size_t> values;
  for (const Axis& axis : spec_.axes) values.push_back(of_group[axis.group]);
  return values;
}

}  // namespace moeplan::sweep
