#pragma once

#include <vector>

#include "calibrate/fit/fit.h"

namespace moeplan::calibrate {

/// expert_parallel of a profile from samples of EP libraries (calibrate/fit/expert_parallel_fit.h), where
/// there are some of this GPU or the profile has the section already. Fitted after `links`, whose NIC share
/// counts.
void fit_expert_parallel_section(sim::ProfileData& profile, const std::vector<Sample>& samples,
                                 const FitOptions& options, FitReport& report);

}  // namespace moeplan::calibrate
