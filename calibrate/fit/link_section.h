#pragma once

#include <vector>

#include "calibrate/fit/fit.h"

namespace moeplan::calibrate {

/// links.nvlink and links.nic of a profile from samples of collectives (calibrate/fit/link_fit.h).
///
/// NVLink: the profile's own samples on one node. A rate of one channel that no send/recv of this GPU tells,
///         and all of it where there is no all-gather of this GPU, is that of the nearest GPU that has some:
///         shares of this GPU's own line rate, the copy rate by HBM bandwidth; then assumed.
/// NIC:    the samples over nodes of the cluster with most that a fit can use, of this GPU, else of the
/// nearest
///         GPUs, else of any; only where the NIC rate is known. What stands behind the NIC depends little on
///         the GPU: constants of another one's cluster are extrapolated.
/// Numbers are rounded to what the profile shows. A GPU without NVLink keeps its section.
void fit_link_section(sim::ProfileData& profile, const std::vector<Sample>& samples,
                      const FitOptions& options, FitReport& report);

}  // namespace moeplan::calibrate
