#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/collective/all_to_all.h"
#include "sim/schedule/stage_ranks.h"
#include "sim/workload/loads.h"
#include "sim/workload/plan.h"
#include "sim/workload/run.h"

namespace moeplan::sim {

/// Where the tokens of one micro-batch go in one MoE layer of one stage.
struct MoeTraffic {
  /// Copies of tokens between the ranks of each EP group; the entry to itself is filled in, too.
  /// Shape: [rank of the stage][rank of its EP group]
  std::vector<std::int64_t> copies;
  int expert_group = 1;
  /// Ranks that share the experts of one place, each a part of every expert (ETP). Neighbours: rank r is one
  /// of the group r / etp.
  int etp = 1;
  /// What a slot gets from its own EP group; the ETP group of a rank works on the tokens of all its members.
  /// Shape: [rank of the stage][slot of the rank]
  std::vector<std::int64_t> slot_tokens;
  int slots_per_rank = 0;
  /// Tokens of a rank that touch each rank of its EP group, and the node of each; empty where the load knows no
  /// token sets. Shape: as copies
  std::vector<std::int64_t> touched, touched_node;

  std::span<const std::int64_t> slots(std::size_t rank) const {
    const auto n = static_cast<std::size_t>(slots_per_rank);
    return std::span(slot_tokens).subspan(rank * n, n);
  }
  /// What the rank's slots work on: the sum over its ETP group.
  std::vector<std::int64_t> gathered(std::size_t rank) const;
};

/// Everybody sends every expert its exact share.
RoutingMatrix balanced_routing(int sources, std::int64_t tokens, int experts, int top_k);

/// What a capacity limit leaves of a routing: at most ceil(factor * tokens * top_k / experts) per source and
/// expert; the rest is dropped (Megatron's --moe-expert-capacity-factor without padding). Which tokens lose a
/// copy is not known: the token sets go where anything is cut.
void apply_capacity(RoutingMatrix& routing, double factor, std::int64_t tokens, int top_k);

/// Source row i is rank i of the stage; every EP group has all experts once, so a token stays in its source's
/// group: the ranks at the same place of their ETP groups, etp apart. The tokens that a source sends to an
/// expert with k replicas split evenly over them, the rest going round from replica (source mod k) on.
/// Requires: etp * ep divides the sources; `slots` = placement of this layer or empty for contiguous.
MoeTraffic map_to_ranks(const RoutingMatrix& routing, const ParallelLayout& layout,
                        std::span<const std::int32_t> slots);

/// Counts `touched` and `touched_node` from the token sets of a routing. Copies go to replicas as in
/// map_to_ranks. node_block: ranks of an EP group in runs of this many share a node; 0 = scattered, every
/// token is taken to touch every node. Requires: etp = 1; routing.sets; traffic = map_to_ranks of the same
/// routing, layout and slots.
void count_touched(const RoutingMatrix& routing, const ParallelLayout& layout,
                   std::span<const std::int32_t> slots, int node_block, MoeTraffic& traffic);

}  // namespace moeplan::sim
