#pragma once

#include "planner/online/policy.h"
#include "planner/placement/problem.h"
#include "sim/workload/loads.h"

namespace moeplan::planner {

/// The load that a policy expects after iteration `now` - 1, as what a solver takes; reads iterations before
/// `now` alone, at most the policy's window of them.
///
/// Model:   linear: least squares a + b t for each layer and expert over the window, read at now + (period -
/// 1)/2,
///          cut at 0 and scaled to sum 1; one iteration alone predicts itself
/// Requires: now >= 1. Shape: one iteration, or up to `window` of them (kWindow)
/// Not modelled: seasons, layers that predict each other
PlacementProblem predict_loads(const sim::ExpertLoads& loads, int now, const OnlinePolicy& policy,
                               const SlotShape& shape);

}  // namespace moeplan::planner
