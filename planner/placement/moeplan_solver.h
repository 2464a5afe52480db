#pragma once

#include <memory>

#include "planner/placement/solver.h"

namespace moeplan::planner {

/// What the search may spend on a layer. Counts, not seconds: the result does not depend on the machine.
struct MoeplanEffort {
  int max_moves = 400;              ///< of the local search over iterations
  int restarts = 24;                ///< of small layers (at most 64 slots)
  std::int64_t max_nodes = 30'000;  ///< of the exact search of small layers
  int max_iterations = 32;          ///< of the load, spread evenly, that the local search looks at
};

/// Our own solver.
///
///     counts   = replicas with the smallest largest slot load, at most one a GPU        (count_replicas)
///     start    = deal out in rounds, then exchange on the mean load                     (deal_out,
///     exchange_evenly) one expert rules the busiest GPU: even the others out (exchange_all) if above the
///     bound: where global EPLB's map is better, start from that, duplicates swapped away several iterations,
///     or 0.2 % above the bound: local search on the mean of the maxima, replica counts included small and
///     still above the bound: restarts, then branch and bound
/// With groups: groups to nodes by weight and exchanges, then each node as above.
/// Never worse than global EPLB on the loads that it is given, unless EPLB gains by two replicas on one GPU,
/// which this solver never makes. Cost: of a layer with one iteration O(S log gpus + exchanges * (gpus +
/// slots_per_gpu))
std::unique_ptr<PlacementSolver> make_moeplan_solver(const MoeplanEffort& effort = {});

}  // namespace moeplan::planner
