#pragma once

#include "sim/collective/nccl_model.h"
#include "sim/collective/ring.h"

namespace moeplan::sim {

/// All-gather, reduce-scatter, all-reduce or broadcast over every group at the same time, by the algorithm
/// and protocol that NCCL takes on an idle machine (NcclModel::choose); groups then share the links.
///
/// Model:   each rank puts the bytes of its NcclPath on NVLink and on its NIC, links reach the path's rates,
/// and
///          the path's start comes on top. Groups of uneven blocks, and profiles without NCCL constants:
///          solve_ring. A tree's load is spread evenly over the nodes at that of its busiest node.
/// Symbols: `buffer` = S of nccl-tests: the full buffer, of all ranks together
/// Cost:    one solve of at most 2 flows per rank.
CommTimes solve_collective(const CommNetwork& network, const CommGroups& groups, CollectiveKind kind,
                           base::Bytes buffer, const NcclPin& pin = {});

}  // namespace moeplan::sim
