#pragma once

#include <vector>

#include "sim/schedule/chunk_map.h"

namespace moeplan::sim {

/// What is done for a micro-batch on a chunk: kBackward is kInput (gradients of the activations, which the
/// chunk before waits for) and kWeight (gradients of the weights, which nobody but the reduction does) in
/// one.
enum class Pass { kForward, kBackward, kInput, kWeight };

/// One pass of one micro-batch through one chunk.
struct PipelineOp {
  int chunk = 0;  ///< place on this pipeline rank, 0 .. chunks_per_stage-1
  int micro_batch = 0;
  Pass pass = Pass::kForward;
  bool beside_next = false;  ///< runs together with the next op: a forward under another's backward
  friend bool operator==(const PipelineOp&, const PipelineOp&) = default;
};

/// The order in which pipeline rank `stage` runs the passes of a step. p = pp, r = stage, m = micro-batches,
/// F, B = forward and backward, D and W = its two halves (input and weight gradients).
///
///     gpipe        all F, then all B, last micro-batch first
///     1f1b         min(p - r - 1, m) F; then F B in turn; then the other B
///     interleaved  virtual micro-batches go through groups of p micro-batches, all chunks of a group in turn
///                  (backward: chunks in reverse); min(2 (p - r - 1) + (v - 1) p, m v) F first
///     (both with all-to-alls under another micro-batch, ChunkMap::pairs: one F more first; then {F & B} in
///     turn) zb_h1        as 1f1b with D; the W of a micro-batch follows the D of the r-th after it, so that
///     every
///                  rank keeps what rank 0 keeps under 1f1b
///     zb_v         two chunks, down and up: 2 (p - r) - 1 F0; r x {F1, F0}; (p - r) x {F1, D1 W1}; then
///                  {F0, D0 W0, F1, D1 W1} while there are F; then r x {D0, D1}; (p - r) x {D0, W0}; other W
///     dualpipe     half the micro-batches from either end; h = p / 2, q = min(r, p - 1 - r), n = m / 2, 0 =
///                  the way that enters nearer to the rank, 1 the other: 2 (h - q - 1) F0; (q + 1) x {F0,
///                  F1}; (h - q - 1) x {D1, W, F1}; (n - 2 h + q + 1) x {F0 & B1, F1 & B0} (the first F0 and
///                  B1 of the middle ranks apart); (h - q - 1) x {B1, F1 & B0}; (q + 1) x {B1, B0}, from the
///                  middle on D; (h - q - 1) x {W, D0}; the other W. W are done in the order of their D.
///     dualpipe_v   the same with h = p, q = r, n = m and the two chunks of the rank for 0 and 1
///
/// Requires: m >= 1, 0 <= stage < pp, and for dualpipe (even pp, even m) and dualpipe_v m >= 2 pp.
/// Source: GPipe (arXiv 1811.06965, fig. 2); Megatron-Core schedules.py and combined_1f1b.py; Zero Bubble
/// (arXiv 2401.10241, sec. 2 and fig. 3); Controllable Memory (arXiv 2405.15362, V-ZB); DeepSeek-V3 (arXiv
/// 2412.19437, sec. 3.2.1) and deepseek-ai/DualPipe@3da1bbe, steps 1 to 8. Differs from 2405.15362, whose
/// order is searched for: this is the one that is optimal where F, D and W take the same time.
std::vector<PipelineOp> pipeline_order(const ChunkMap& map, int stage, int micro_batches);

/// Micro-batches that a chunk of a rank keeps something of, at the moment of a step when the rank keeps most.
struct InFlight {
  int activations = 0;  ///< forward begun, backward (or D) not done
  int stashed = 0;      ///< D done, W not: inputs and output gradients of products
};

/// Walks the order. `weights`: what one micro-batch of each chunk keeps, {activations, stashed}, in any unit.
/// Shape: [chunk of the rank]
std::vector<InFlight> find_peak(const std::vector<PipelineOp>& order,
                                const std::vector<std::pair<double, double>>& weights);

}  // namespace moeplan::sim
