#pragma once

#include <cstdint>
#include <vector>

#include "sim/schedule/load_sample.h"
#include "sim/schedule/segment.h"
#include "sim/schedule/simulate.h"

namespace moeplan::sim {

/// Spread of rank speeds that is taken where nobody has measured one: GPUs of one type under one power limit.
/// Assumed; no profile states one.
inline constexpr double kAssumedSpeedSpread = 0.01;

/// The cluster with every rank's kernels longer by a drawn factor, times what its file says of slow ranks.
///
/// Model:   factor = exp(spread z_rank), z standard normal; median 1
///          One stream of numbers a draw, in the order of ranks: a rank keeps its factor whatever the plan.
/// Not modelled: speeds that change during a step, GPUs of one node that are slow together, slow links.
topology::Cluster draw_speeds(const topology::Cluster& cluster, double spread, std::uint64_t seed, int draw);

/// Steps under drawn speeds.
struct SpeedDraws {
  std::vector<base::Seconds> times;  ///< [draw][step]
  CostSum critical;                  ///< over all of them
};
/// Cost: a draw simulates every stage apart, graphs of all chunks again; collectives are solved once for all
/// draws.
SpeedDraws simulate_draws(const Job& job, const PlanSpec& plan, const SimulateOptions& options,
                          const std::vector<StepSample>& steps);

}  // namespace moeplan::sim
