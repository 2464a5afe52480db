#pragma once

#include <vector>

#include "calibrate/fit/residuals.h"

namespace moeplan::calibrate {

/// The 90 % band of measured / predicted by class of predicted time, of rows that the prediction was not
/// fitted on.
///
/// Classes: as many as have kLeastBandRows rows each, at most `most`, cut at quantiles of the predicted time,
/// so that regimes (host-bound, memory-bound, long runs) have bands of their own. In a class of n rows the
/// ends are the order statistics floor((n + 1) 0.05) and ceil((n + 1) 0.95), which cover another row of the
/// same kind with probability 0.9 or more whatever the distribution (split conformal prediction: Lei et al.,
/// JASA 113, 2018); low <= 1 <= high is enforced. Requires at least one row.
sim::Band fit_band(const std::vector<Compared>& apart, std::size_t most);
inline constexpr std::size_t kLeastBandRows = 40;

}  // namespace moeplan::calibrate
