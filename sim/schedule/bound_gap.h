#pragma once

#include <optional>

#include "sim/schedule/simulate.h"

namespace moeplan::sim {

/// By how much the all-to-alls of a step last longer under `flow` than under `bound`.
struct BoundGap {
  double mean = 0, worst = 0;  ///< of (flow - bound) / bound, over the sampled matrices
  int matrices = 0;
};

/// Solves a few MoE layers of one iteration, spread evenly over the chunks, under both models of sharing: what a
/// simulation under `bound` cannot see. Nothing where no layer sends tokens to other ranks.
/// Cost: at most kGapSamples all-to-alls under `flow`.
std::optional<BoundGap> compute_bound_gap(const Job& job, const PlanSpec& plan, int iteration);

/// Matrices that compute_bound_gap solves at most.
inline constexpr int kGapSamples = 8;

}  // namespace moeplan::sim
