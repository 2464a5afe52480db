#pragma once

#include <memory>

#include "planner/placement/solver.h"

namespace moeplan::planner {

/// FlexMoE's cost of a placement, seconds of a layer.
///
/// Model:   T = max over GPUs g of the sum over the experts e on g of T_C + T_A2A + T_Sync
///          T_C    = 3 I_eg / TPS                               forward and backward
///          T_A2A  = 4 (I_eg from each GPU g') * token bytes / Bw(g', g)      nothing from itself
///          T_Sync = expert bytes * 2 (m - 1) / m / Bw          ring all-reduce of the m GPUs that hold e
/// Symbols: I_eg = assignments of e on g, even over its vExperts (slots); those of one GPU share
///          parameters; Bw = that of a node, or across nodes where the two GPUs, or the m GPUs, are not on
///          one
/// Source:  FlexMoE, SIGMOD'23, arXiv 2304.03946, equations 5 to 9, as re-implementations state them: there
///          is no official code, and the text was not at hand. The factor 3 is ours: the profile there is
///          not published.
double flexmoe_seconds(const LayerProblem& layer, const Slots& slots);

/// `flexmoe`: vExperts expanded, shrunk and migrated from the contiguous start.
///
/// Algorithm: while the busiest GPU has more than 1.2 times the mean load: a vExpert more for the expert
///            with the most load of one (Expand), in the slot of one of the expert with the least that has
///            two (Shrink), the slot that costs least; taken if the cost falls. Where it does not, the best
///            swap of a slot of the busiest GPU with any other (Migrate), at most ten a plan, taken if the
///            cost falls; else the end.
/// Differs:   the limit of Migrate; ten is the number of rounds in LAER-MoE's re-implementation
///            (`prefetch/solver.py`); here the number of slots limits them
/// Not part:  time and place of the adjustment itself (optimizer states move too), best effort in the
///            background
std::unique_ptr<PlacementSolver> make_flexmoe();

}  // namespace moeplan::planner
