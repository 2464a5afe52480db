#pragma once

#include "sim/schedule/moe_times.h"

namespace moeplan::sim {

/// The all-to-alls of a MoE layer whose experts are cut over ETP groups (etp > 1), with the collectives of
/// these groups.
///
/// Model:   forward   all-to-all in every EP group, all-gather of what arrived over every ETP group, experts
/// with
///                    1 / etp of their width, reduce-scatter, all-to-all back; backward the other way round,
///                    the reduce-scatter's backward being an all-gather
///          gather(r)  = max over r's ETP group of dispatch - dispatch(r) + all-gather
///          scatter(r) = max over r's EP group of reduce-scatter
///          A collective of unequal groups takes what its own buffer takes, between the times solved for the
///          smallest and the largest buffer of the stage (a start and a rate: linear in the bytes).
/// Symbols: buffer = rows of all members of the ETP group, in the format of the all-to-all beside it
/// Shape:   as AllToAllTimes, [rank of the stage]
/// Source:  Megatron-Core MoEAlltoAllTokenDispatcher (NVIDIA/Megatron-LM d98e8a6): permute, all-to-all,
/// all-gather
///          over the expert-tensor group, experts, reduce-scatter, all-to-all, unpermute; Parallel Folding,
///          arXiv 2504.14960
/// Not modelled: dispatchers that remove duplicates (they send a token to all members of an ETP group
/// themselves);
///          ranks of an ETP group that take part in the all-to-all at different times start it together.
AllToAllTimes solve_expert_tensor(const CommNetwork& network, const StageRanks& stage,
                                  const MoeTraffic& traffic, const Exchange& exchange);

/// Places of a stage's ranks in the order of EP groups: of a group of etp * ep ranks those at the same place
/// of their ETP groups follow each other.
std::vector<std::size_t> expert_order(std::size_t ranks, int ep, int etp);

}  // namespace moeplan::sim
