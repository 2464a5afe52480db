#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "planner/placement/problem.h"
#include "sim/workload/loads.h"
#include "sim/workload/model.h"
#include "sim/workload/plan.h"

namespace moeplan::planner {

/// Puts each expert once on one of `ranks` ranks, experts/ranks on each, so that the busiest rank has little to do.
///
/// Model:   longest processing time first with equal counts: experts by falling share (ties: lower number), each to
///          the rank with the least load that has room (ties: lower rank); the experts of a rank stand in rising order
/// Symbols: share = mean share of the layer's assignments, sums to 1. Shape: [expert]
/// Cost:    O(E log E + E * ranks)
/// Source:  Graham, 1969; `balanced_packing` of the published EPLB (placement reference 1.1)
Slots place_greedily(std::span<const double> share, int ranks);

/// The same with `slots_per_rank` slots on each rank: spare slots go to copies, one at a time to the expert whose
/// copies carry most (greedy, optimal for the largest share of a slot), then the copies are packed as above, never
/// two of one expert on a rank where another rank has room. A copy carries share / copies.
Slots replicate_greedily(std::span<const double> share, int ranks, int slots_per_rank);

/// Load of each rank under `slots`; copies share evenly. Shape: [rank]
std::vector<double> rank_loads(std::span<const double> share, const Slots& slots, int ranks);
/// max / mean over ranks.
double max_over_mean(std::span<const double> share, const Slots& slots, int ranks);

/// No placement of `slots_in_all` slots does better than this max/mean: the busiest rank carries at least the mean,
/// and at least the largest share of one slot after the best replication.
double lower_bound_max_over_mean(std::span<const double> share, int ranks, int slots_in_all);

/// Independent check of a placement, sharing no code with the solvers: why it is illegal, empty if it is legal.
/// Legal: every layer has the same number of slots, a multiple of ranks, each expert at least once; no number
/// outside 0..experts-1.
std::string find_placement_fault(const sim::Placement& placement, int moe_layers, int experts, int ranks);

/// Mean shares over the iterations of a load, at most `max_iterations` spread evenly. Shape: [moe layer][expert]
std::vector<std::vector<double>> mean_shares(const sim::ExpertLoads& loads, int max_iterations = 16);

/// Greedy placement of every layer. With group-limited routing (groups > 1) whole groups move, so that the router
/// picks what it picked before: groups are packed onto runs of ranks (or several onto one), and experts stay in
/// their order inside.
sim::Placement greedy_placement(const std::vector<std::vector<double>>& shares, const sim::ModelSpec& model, int ranks);

/// Greedy replication of every layer with `spare_per_rank` further slots on each rank.
sim::Placement replicated_placement(const std::vector<std::vector<double>>& shares, int ranks, int spare_per_rank);

/// Mean over layers of max/mean; of contiguous placement where `placement` is that.
double mean_max_over_mean(const std::vector<std::vector<double>>& shares, const sim::Placement& placement, int ranks);

}  // namespace moeplan::planner
