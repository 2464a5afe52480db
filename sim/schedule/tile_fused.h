#pragma once

#include "sim/schedule/moe_times.h"

namespace moeplan::sim {

/// Fuses the experts of a MoE layer with its all-to-alls, tile by tile (`overlap: {tile_fused: true}`).
///
/// Model:   products start on the first tile that has arrived, and tiles leave as they are done:
///          t = max(work + exchange / n, exchange + work / n) for either half of a layer
///          forward: dispatch with all up to fc1, the rest with combine; backward: combine gradient with all
///          up to the data gradient of fc2, the rest with the dispatch gradient; weight gradients come last
///          and run under what is left of it
/// Symbols: n = tiles: rows of the rank / 128 on the way in, columns / 128 on the way out; work and exchange
///          with the slow-down of either by the other (paired_factors)
/// Shape:   fills MoeTimes::fused_forward and fused_backward
/// Source:  Comet (arXiv 2502.19811, sec. 3: layer 0 is cut along tokens, layer 1 along columns);
/// bytedance/flux
///          at 19831ca. Tiles of 128 are those of their grouped products.
/// Not modelled: how many of the GPU's SMs such a kernel gives to communication (Comet tunes it per shape:
/// here those of the all-to-all), tiles that wait for one late source, quantisation of waves by what is left
/// over.
void fuse_tiles(const LayerKernels& kernels, const MoeTraffic& traffic, MoeTimes& times);

}  // namespace moeplan::sim
