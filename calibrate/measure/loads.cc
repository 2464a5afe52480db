#include "calibrate/measure/loads.h"

#include <cmath>
#include <stdexcept>

namespace moeplan::calibrate {

std::vector<std::int64_t> make_loads(const std::string& distribution, std::int64_t groups, std::int64_t rows) {
  std::vector<std::int64_t> loads(static_cast<std::size_t>(groups), rows);
  if (distribution == "balanced") return loads;
  if (distribution.rfind("zipf_", 0) != 0) throw std::invalid_argument("loads \"" + distribution + "\" are unknown");
  const double exponent = std::stod(distribution.substr(5));
  const std::int64_t step = rows % 16 == 0 ? 16 : 1;
  double sum = 0.0;
  for (std::int64_t i = 1; i <= groups; ++i) sum += std::pow(static_cast<double>(i), -exponent);
  // Rounded down from the smallest on; the largest takes what is left.
  std::int64_t left = groups * rows;
  for (std::int64_t i = groups; i > 1; --i) {
    const double share = std::pow(static_cast<double>(i), -exponent) / sum;
    const std::int64_t load = static_cast<std::int64_t>(share * static_cast<double>(groups * rows)) / step * step;
    loads[static_cast<std::size_t>(i - 1)] = load;
    left -= load;
  }
  loads.front() = left;
  return loads;
}

}  // namespace moeplan::calibrate
