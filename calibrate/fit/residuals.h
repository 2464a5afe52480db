#pragma once

#include <vector>

#include "sim/cost/profile_data.h"

namespace moeplan::calibrate {

/// A prediction beside the measurement, both in seconds.
struct Compared {
  double predicted = 0.0, measured = 0.0;
};

/// Linear interpolation between order statistics; 0 of nothing.
double quantile(std::vector<double> values, double q);
sim::Residuals summarise(const std::vector<Compared>& rows);

/// The 90 % band by class of predicted time (30 us, 300 us, 3 ms): 5th and 95th percentile of measured /
/// predicted of rows that the prediction was not fitted on. A class of under 20 rows takes the band of all.
sim::Band find_band(const std::vector<Compared>& rows);

}  // namespace moeplan::calibrate
