#pragma once

#include <vector>

#include "sim/schedule/chunk_graph.h"
#include "sim/schedule/packing.h"

namespace moeplan::sim {

/// A chunk at every node of a packing, [node]; nullptr where no document needs the node.
using NodeTimes = std::vector<const ChunkTimes*>;

/// A chunk whose ranks hold the documents of one micro-batch.
///
/// Model:   t_rank = sum over nodes of share[node] t[node];  t_block = max over the data-parallel ranks of a
/// block
///          A chunk takes longer by what attention takes longer, and attention of a micro-batch is the sum
///          over its documents; ranks of a block wait for the one with the longest attention in every MoE
///          layer, which is the same rank in all layers. The block's cost is that of its slowest rank.
/// Symbols: t[node] = the chunk with documents of that length on every rank
/// Exact where ranks of a block are otherwise alike and chunks are linear in attention time; too long where
/// another rank is the slowest for its experts or its GPU (its slack would hide some of it), or where the
/// host or a transfer bounds some documents and not others. `tensor_group`, `block`: ranks of a data-parallel
/// rank and of a block. Bars are those of the node with the largest mean share, stretched.
ChunkTimes mix_chunk(const NodeTimes& nodes, const Packing& packing, int micro_batch, int groups_per_block);

/// A forward on one micro-batch beside a backward on another.
///
/// Model:   t = t[R][R] + sum share_f[node] (t[node][R] - t[R][R]) + sum share_b[node] (t[R][node] -
/// t[R][R]),
///          R = the node with the largest mean share: what the documents of either change adds up.
/// Not modelled: what a longer attention of the one hides of the other's communication.
ChunkTimes mix_pair(const NodeTimes& by_forward, const NodeTimes& by_backward, const Packing& packing,
                    int forward_micro_batch, int backward_micro_batch, int groups_per_block);

/// The node with the largest mean share.
std::size_t main_node(const Packing& packing);

}  // namespace moeplan::sim
