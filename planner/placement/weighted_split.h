#pragma once

#include <span>
#include <vector>

#include "planner/placement/problem.h"

namespace moeplan::planner {

/// How much of its expert's load each slot takes so that the largest load of a GPU is smallest.
struct WeightedSplit {
  std::vector<double> share;  ///< [slot], of its expert's load; the shares of an expert sum to 1
  double largest = 0;         ///< load of the busiest GPU, the least there is for these slots
};

/// Solves the linear program of LPLB exactly: where replicas stand is given, how tokens split over them not.
///
/// Model:   minimise T subject to  sum over slots of e of x_s = w_e,  sum over slots of g of x_s <= T,
///          x >= 0
///          T = max over sets S of experts of  sum of w_e / number of GPUs that hold one of S (Hall). From
///          T = total / G on: a maximum flow from experts to GPUs of capacity T; where it does not carry
///          everything, its minimum cut names a set S that needs more, and T rises to what S needs
///          (discrete Newton; in practice a few steps).
/// Choices: slots of one expert on one GPU share alike; an expert without load splits evenly
/// Source:  the program is LPLB's (deepseek-ai/LPLB, README), which solves it in five interior-point steps
/// Not modelled: where tokens come from: sources split alike, and traffic may rise
/// Requires: every expert with load has a slot
WeightedSplit split_by_load(std::span<const double> load, const SlotShape& shape, const Slots& slots);

}  // namespace moeplan::planner
