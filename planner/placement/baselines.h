#pragma once

#include <memory>

#include "planner/placement/solver.h"

namespace moeplan::planner {

/// Slot s holds expert s mod E: what frameworks start from.
std::unique_ptr<PlacementSolver> make_contiguous();
/// Expert by expert to the next GPU; spare slots go on with expert 0, one GPU further each time around.
std::unique_ptr<PlacementSolver> make_round_robin();
/// replicate_greedily() of placement.h: longest processing time first, duplicates avoided.
std::unique_ptr<PlacementSolver> make_lpt();

}  // namespace moeplan::planner
