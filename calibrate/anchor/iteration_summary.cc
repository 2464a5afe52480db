#include "calibrate/anchor/iteration_summary.h"

#include <algorithm>
#include <cmath>
#include <span>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "base/quantity_text.h"

namespace moeplan::calibrate {

namespace {

constexpr double kNormalSigma = 1.4826;   // of the median absolute deviation
constexpr double kMedianError = 1.2533;   // standard error of a median, sqrt(pi / 2)
constexpr double kNinetyPercent = 1.645;  // normal quantile of a 90 % interval
constexpr double kOutlierSigmas = 5.0;
constexpr double kLeastOutlier = 0.03;  // of the median
constexpr double kLeastWarmUp = 0.05;
constexpr std::size_t kShownOutliers = 5;

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  const double at = q * static_cast<double>(values.size() - 1);
  const auto low = static_cast<std::size_t>(at);
  const std::size_t high = std::min(low + 1, values.size() - 1);
  return values[low] + (values[high] - values[low]) * (at - static_cast<double>(low));
}

struct Centre {
  double median = 0.0, sigma = 0.0;
};

Centre centre_of(std::span<const IterationLine> lines) {
  std::vector<double> values, off;
  for (const IterationLine& line : lines) values.push_back(line.time.s());
  const double median = quantile(values, 0.5);
  for (const double value : values) off.push_back(std::abs(value - median));
  return {median, kNormalSigma * quantile(off, 0.5)};
}

std::size_t find_warm_up(const std::vector<IterationLine>& lines) {
  const std::size_t half = lines.size() / 2;
  const Centre steady = centre_of(std::span(lines).subspan(half));
  const double limit = steady.median + std::max(kOutlierSigmas * steady.sigma, kLeastWarmUp * steady.median);
  std::size_t count = 1;
  while (count < half && lines[count].time.s() > limit) ++count;
  return std::min(count, lines.size());
}

void refuse_short(const IterationLog& log, std::size_t lines, std::int64_t iterations, std::size_t warm_up) {
  if (lines >= kLeastLines && iterations >= kLeastIterations) return;
  throw base::InputError({{log.file,
                           {},
                           "",
                           fmt::format("found {} iterations in {} lines behind {} of warm-up, expected at least {} in {}",
                                       iterations, lines, warm_up, kLeastIterations, kLeastLines),
                           "run 30 iterations with --log-interval 1"}});
}

}  // namespace

StepMeasurement summarise(const IterationLog& log, std::optional<std::size_t> warm_up) {
  StepMeasurement result;
  result.warm_up = std::min(warm_up.value_or(find_warm_up(log.lines)), log.lines.size());
  std::vector<IterationLine> kept(log.lines.begin() + static_cast<std::ptrdiff_t>(result.warm_up), log.lines.end());
  std::int64_t iterations = 0;
  for (const IterationLine& line : kept) iterations += line.covers;
  refuse_short(log, kept.size(), iterations, result.warm_up);

  const Centre centre = centre_of(kept);
  const double limit = std::max(kOutlierSigmas * centre.sigma, kLeastOutlier * centre.median);
  const auto is_outlier = [&](const IterationLine& line) { return std::abs(line.time.s() - centre.median) > limit; };
  std::copy_if(kept.begin(), kept.end(), std::back_inserter(result.outliers), is_outlier);
  kept.erase(std::remove_if(kept.begin(), kept.end(), is_outlier), kept.end());

  std::vector<double> values;
  for (const IterationLine& line : kept) {
    values.push_back(line.time.s());
    result.iterations += line.covers;
  }
  refuse_short(log, kept.size(), result.iterations, result.warm_up);
  const Centre steady = centre_of(kept);
  const std::size_t half = kept.size() / 2;
  result.used = kept.size();
  result.median = base::Seconds::of(steady.median);
  result.spread = 0.5 * (quantile(values, 0.95) - quantile(values, 0.05)) / steady.median;
  result.drift =
      centre_of(std::span(kept).subspan(half)).median / centre_of(std::span(kept).first(half)).median - 1.0;
  const double noise = kNinetyPercent * kMedianError * steady.sigma / std::sqrt(static_cast<double>(kept.size()));
  result.error = std::hypot(noise / steady.median, 0.5 * result.drift);
  return result;
}

std::string describe(const StepMeasurement& m) {
  std::string text = fmt::format("median {} over {} iterations, spread +-{:.1f} %, known to {:.2f} %; {} lines of warm-up left out",
                                 base::pretty(m.median), m.iterations, 100 * m.spread, 100 * m.error, m.warm_up);
  if (m.outliers.empty()) return text;
  text += "; outliers:";
  for (std::size_t i = 0; i < m.outliers.size(); ++i) {
    if (i == kShownOutliers) {
      text += fmt::format(" and {} more", m.outliers.size() - i);
      break;
    }
    text += fmt::format("{} iteration {} ({})", i > 0 ? "," : "", m.outliers[i].iteration, base::pretty(m.outliers[i].time));
  }
  return text;
}

}  // namespace moeplan::calibrate
