#pragma once

#include <cstdint>
#include <vector>

#include "planner/export/chakra_trace.h"
#include "sim/schedule/simulate.h"

namespace moeplan::planner {

/// Rules that a step has to keep to be written as execution traces. Keys: docs/formats/export.md.
std::vector<sim::PlanFault> find_chakra_plan_faults(const sim::Job& job, const sim::PlanSpec& plan);

/// Communicators of a plan: tensor-parallel neighbours, expert groups, dense and expert data-parallel groups,
/// those of more than one rank; keys count from 1 (0 is ASTRA-sim's whole world).
ChakraGroups make_chakra_groups(const sim::ParallelLayout& layout);

/// One training step as the nodes of every rank: computation with the simulator's kernel times, collectives
/// and messages with their bytes, for another simulator's network.
///
/// Model:   passes in the plan's pipeline order; a layer is attention, what comes before the dispatch,
/// dispatch,
///          experts, combine and what comes after; backward the other way round, behind the forward again
///          where it is recomputed; gradients of a chunk are reduced behind its last backward (beside other
///          work where the plan overlaps them), then the update and the gather of parameters. Experts work on
///          an even load, since an all-to-all node is even; times are whole microseconds whose remainders are
///          carried on, so that sums are exact.
/// Not modelled: token chunks, overlap inside layers (all nodes of a pass follow each other), TP traffic
/// hidden behind
///          products, the gradient-norm all-reduce, the tied embedding's all-reduce, routers' losses
/// Shape:   [rank]
/// Cost:    nodes = ranks x micro-batches x layers of a rank x 8 or more. Requires find_chakra_plan_faults()
/// empty.
std::vector<std::vector<ChakraNode>> make_chakra_step(const sim::Job& job, const sim::PlanSpec& plan);

}  // namespace moeplan::planner
