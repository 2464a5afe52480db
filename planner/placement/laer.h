#pragma once

#include <memory>
#include <span>
#include <vector>

#include "planner/placement/solver.h"

namespace moeplan::planner {

/// LAER-MoE's cost of a layout, seconds of a layer.
///
/// Model:   4 * sum over GPUs of what they send / bandwidth + 3 * max over GPUs of received assignments * v
///          An expert's tokens go to its replicas on the source's node, in equal parts; where there is
///          none, to all replicas in equal parts. Nothing is charged inside a GPU.
/// Symbols: v = seconds of an assignment, forward (1.484375 us as measured for Mixtral-8x7B on an A100)
/// Source:  LAER-MoE, arXiv 2602.11686; Fizzmy/LAER-MoE-AE 72db5b7, `csrc/greedy_balancer.cpp`. The sum
///          over GPUs, where the busiest would decide, is the original's.
double laer_seconds(const LayerProblem& layer, const Slots& slots);

/// `laer`: the greedy re-layout that LAER-MoE makes for every iteration.
///
/// Algorithm: candidates of replica counts: even (slots / E each); by load (one an expert, or one a node
///            where that fits, then one more, or one a node more, to the largest load of a replica until
///            the slots are used); and two changed ones of each (one replica moved between two random
///            experts). Each is laid out, heaviest replica first: the node with a free slot that holds the
///            fewest of the expert, there the GPU with the least load. The cheapest by laer_seconds() is
///            taken (ties: the first).
/// Differs:   an expert has at most one replica a GPU; the random changes are drawn from a stream of our
///            own; nodes are the cluster's, 8 GPUs in the original; where the counts by load end with too
///            few slots for one a node, single ones are added
std::unique_ptr<PlacementSolver> make_laer();

/// The counts by load. Requires: experts <= slots <= experts * gpus.
std::vector<int> laer_replicas(std::span<const double> load, const SlotShape& shape);

}  // namespace moeplan::planner
