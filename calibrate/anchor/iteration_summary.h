#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/units.h"
#include "calibrate/anchor/iteration_log.h"

namespace moeplan::calibrate {

/// What a log says of one iteration in a steady state.
struct StepMeasurement {
  base::Seconds median;
  double error = 0.0;   ///< half of the 90 % interval of the median, of the median
  double spread = 0.0;  ///< half from the 5 % to the 95 % quantile of the iterations kept, of the median
  double drift = 0.0;   ///< median of the second half over that of the first, less one
  std::size_t used = 0;       ///< lines that the median stands on
  std::int64_t iterations = 0;  ///< that these cover
  std::size_t warm_up = 0;    ///< lines left out at the start
  std::vector<IterationLine> outliers;
};

/// Fewest lines and iterations behind the warm-up.
inline constexpr std::size_t kLeastLines = 5;
inline constexpr std::int64_t kLeastIterations = 8;

/// Median and spread of a log without its warm-up.
///
/// Model:   sigma = 1.4826 median|x - m|, m = median; a line is an outlier beyond m +- max(5 sigma, 3 % m);
///          error = hypot(1.645 * 1.2533 sigma / sqrt(n), |drift| / 2): that of a median of n normal values,
///          and half of what it moves over the log
/// Warm-up: the first line always, and those behind it as long as they are above m + max(5 sigma, 5 % m) of the
///          second half of the log; at most half of it. `warm_up` lines instead where given.
/// Throws InputError where fewer than kLeastLines lines or kLeastIterations iterations are left.
StepMeasurement summarise(const IterationLog& log, std::optional<std::size_t> warm_up = {});

/// "48 of 50 iterations ..., outliers: iteration 17 (3.21 s)": for people and provenance.
std::string describe(const StepMeasurement& measurement);

}  // namespace moeplan::calibrate
