#pragma once

#include <memory>
#include <span>
#include <vector>

#include "planner/placement/solver.h"
#include "planner/placement/tie_order.h"

namespace moeplan::planner {

/// Slot of each expert, E/G slots a rank: expert e lives on rank slot / (E/G). Shape: [expert]
using ExpertMapping = std::vector<int>;

/// SmartMoE's online step: where the experts go next.
///
/// Algorithm: experts by falling load, each to the lightest rank with room for one of its E/G (ties: the
///            rank it is on, else the lowest); taken only if the largest load of a rank falls, else
///            `current` stays.
/// Symbols:   history = what the experts got; only order and sums matter
/// Requires:  `ranks` divides the experts; `current` is a permutation
/// Source:    SmartMoE, ATC'23, thu-pacman/SmartMoE-AE e19b3a9,
///            `fmoe/smartmoe/mapping.py`. The order of equal loads is that of numpy's argsort read
///            backwards (kIntrosort): with it the published log of changed mappings comes out.
/// Not part:  a threshold for the cost of switching (the released code has none), the pool of strategies
ExpertMapping remap_smartmoe(std::span<const double> history, const ExpertMapping& current, int ranks,
                             TieOrder ties = TieOrder::kIntrosort);

/// `smartmoe`: one step from the contiguous start. It places every expert once: spare slots repeat an
/// expert of their GPU and carry nothing new.
std::unique_ptr<PlacementSolver> make_smartmoe();

}  // namespace moeplan::planner
