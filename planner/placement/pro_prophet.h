#pragma once

#include <memory>
#include <vector>

#include "planner/placement/solver.h"

namespace moeplan::planner {

/// An expert whose parameters go to some GPUs for one iteration. Its home is among them.
struct Transfer {
  int expert = 0;
  std::vector<int> to;  ///< GPUs that hold it
};

/// Pro-Prophet's performance model with blocking transfers, seconds of a layer.
///
/// Model:   T' = 4 T_A2A + 3 T_FEC + T_Trans + T_Agg
///          T_A2A = max_g R_g * token bytes / W; T_FEC = max_g H_g / t; T_Trans = T_Agg = s (G - n) N / (G
///                  W)
/// Symbols: H_g = assignments worked on by GPU g, R_g those of other GPUs, t = assignments/s, N = bytes of
///          an expert, s = transferred experts, n = GPUs that do not get them (with differing n: the sum of
///          G - n), W = bytes/s, across nodes where there are several
/// Source:  Pro-Prophet, arXiv 2411.10003, equations 1 to 8. A GPU that holds an expert works on its own
///          tokens; what other GPUs send still goes to the home.
/// Not modelled: the scheduler that hides transfers behind computation (equations 7, 8; the prose there
///               misprints the first: what is hidden is max(0, T_Trans - T_FEC - T_FNEC))
double pro_prophet_seconds(const LayerProblem& layer, const std::vector<Transfer>& transfers);

/// `pro_prophet`, the greedy planner.
///
/// Algorithm: again and again the heaviest GPU's heaviest expert that is not transferred yet goes to all
///            GPUs but the n that send it least; the prefix of the list with the smallest T' is kept. It
///            ends where a GPU has no such expert left (a device repeats) or no G - n GPUs have a slot.
/// Choices:   n is tried from 0 to G - 2, the best T' kept (ties: the smaller n). All GPUs send alike:
///            those left out are the ones with the fewest free slots, then the highest numbers. The end at
///            max H - min H < alpha I/E is left out (alpha = 0): it saves time, the prefix kept is then as
///            good or better.
/// Slots:     those of the contiguous start, E/G experts a GPU, and the spare ones
std::unique_ptr<PlacementSolver> make_pro_prophet();

}  // namespace moeplan::planner
