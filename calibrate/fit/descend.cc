#include "calibrate/fit/descend.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include <fmt/format.h>

namespace moeplan::calibrate {

namespace {

constexpr double kFirstStep = 0.3;
constexpr double kShrink = 0.6;
constexpr double kLeastStep = 1e-3;
constexpr double kLeastGain = 1e-7;

}  // namespace

std::vector<double> descend(const std::vector<Parameter>& parameters,
                            const std::vector<std::vector<std::size_t>>& groups,
                            const std::function<double(std::span<const double>)>& loss, int rounds) {
  std::vector<double> best;
  for (const Parameter& p : parameters) best.push_back(std::clamp(p.start, p.low, p.high));
  std::vector<std::vector<std::size_t>> directions;
  for (std::size_t i = 0; i < parameters.size(); ++i)
    if (parameters[i].low != parameters[i].high) directions.push_back({i});
  directions.insert(directions.end(), groups.begin(), groups.end());
  std::vector<double> steps(directions.size(), kFirstStep);
  double least = loss(best);
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t d = 0; d < directions.size(); ++d) {
      bool moved = false;
      for (const double factor : {1.0 + steps[d], 1.0 / (1.0 + steps[d])}) {
        std::vector<double> trial = best;
        for (const std::size_t i : directions[d])
          trial[i] = std::clamp(trial[i] * factor, parameters[i].low, parameters[i].high);
        if (trial == best) continue;
        const double value = loss(trial);
        if (!(value < least - kLeastGain)) continue;
        best = std::move(trial);
        least = value;
        moved = true;
        break;
      }
      if (!moved) steps[d] *= kShrink;
    }
    if (steps.empty() || *std::max_element(steps.begin(), steps.end()) < kLeastStep) break;
  }
  return best;
}

double significant(double x, int digits) {
  return std::strtod(fmt::format("{:.{}g}", x, digits).c_str(), nullptr);
}

double round_to(double x, int decimals) {
  const double rounded = std::strtod(fmt::format("{:.{}f}", x, decimals).c_str(), nullptr);
  return rounded == 0.0 ? 0.0 : rounded;
}

}  // namespace moeplan::calibrate
