#pragma once

#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "calibrate/fit/link_fit.h"

namespace moeplan::calibrate {

/// Measured / predicted, and the size of the collective.
using LinkResiduals = std::vector<std::pair<base::Bytes, double>>;
/// Samples that are left out together: nodes, ranks on each.
using LinkGroup = std::pair<int, int>;
LinkGroup link_group(const CollectiveSample& sample);

/// Residuals of the kinds that constants are fitted on (all-gather, send/recv), and of no other.
///
/// Method:  groups that are never fitted on (more ranks, more nodes) by the fit itself, each fitted group by
/// a
///          fit that has not seen it
LinkResiduals cross_validate(std::span<const CollectiveSample> samples, const sim::NcclModel& model,
                             const std::function<sim::NcclModel(const LinkGroup&)>& refit);

/// 90 % band by size class: the 5 % and 95 % quantiles of residuals, 1 among them; a class with fewer than
/// five takes those of all sizes.
sim::NcclBand link_band(const LinkResiduals& residuals);

}  // namespace moeplan::calibrate
