#pragma once

#include <limits>
#include <vector>

#include "planner/placement/layer_time.h"
#include "planner/placement/study.h"

namespace moeplan::planner {

/// Mean layer time of one layer's slots on some iterations of a load (at most `samples`, spread evenly); some
/// value above `limit` where the mean is above it.
double mean_layer_time(const LayerTimeModel& model, const sim::ExpertLoads& loads, IterationRange range,
                       int layer, const SlotShape& shape, const Slots& slots, TokenSplit split, int samples,
                       double limit = std::numeric_limits<double>::infinity());

/// What the objective layer_time finds.
struct TimedPlacement {
  sim::Placement placement;
  int searched =
      0;  ///< layers where the search over nodes gave the best placement; elsewhere a candidate was
};

/// For each layer the placement with the shortest simulated time on the iterations planned on: one of the
/// candidates, or what a local search over nodes makes of `start` (NodeSearch; only with locality and several
/// nodes, as with an even split the network's load follows the GPUs'). The search's costs are those of the
/// model at `start`. Requires: every candidate has the problem's layers and shape; groups = 1 for the search.
TimedPlacement place_by_layer_time(const LayerTimeModel& model, const sim::ExpertLoads& loads,
                                   IterationRange train, const SlotShape& shape, const sim::Placement& start,
                                   const std::vector<const sim::Placement*>& candidates, TokenSplit split,
                                   int threads);

}  // namespace moeplan::planner
