#pragma once

#include "sim/workload/plan.h"

namespace moeplan::sim {

/// Which pipeline rank holds which chunk, and the way of a micro-batch through the chunks.
///
///     1F1B, GPipe, ZB-H1  chunk c on rank c
///     interleaved         chunk c on rank c mod pp
///     ZB-V, DualPipeV     down the ranks and up again: 0 1 2 3 3 2 1 0
///     DualPipe            two copies of the model: chunks 0 .. pp-1 on ranks 0 .. pp-1, chunks pp .. 2 pp-1,
///                         which hold the same layers, on ranks pp-1 .. 0; half of the micro-batches each
///
/// A route is the run of chunks that a micro-batch passes; only DualPipe has two.
class ChunkMap {
 public:
  ChunkMap() = default;
  ChunkMap(PipelineSchedule schedule, int pp, int vp);
  explicit ChunkMap(const PlanSpec& plan) : ChunkMap(plan.schedule(), plan.layout.pp, plan.layout.vp) {
    pairs_ = plan.overlap.all_to_all;
  }
  /// The same with (or without) forwards that run beside a backward under 1F1B or interleaved.
  ChunkMap with_pairs(bool pairs) const {
    ChunkMap map = *this;
    map.pairs_ = pairs;
    return map;
  }

  PipelineSchedule schedule() const { return schedule_; }
  bool pairs() const { return pairs_; }
  int stages() const { return stages_; }
  int chunks_per_stage() const { return per_stage_; }
  int chunks() const { return stages_ * per_stage_; }
  int routes() const { return schedule_ == PipelineSchedule::kDualPipe ? 2 : 1; }
  int route_length() const { return length_; }
  int stage(int chunk) const;
  /// The chunk that stands at place `local` of a rank.
  int at(int stage, int local) const;
  bool is_first(int chunk) const { return chunk % length_ == 0; }
  bool is_last(int chunk) const { return chunk % length_ == length_ - 1; }
  int route_of(int chunk) const { return routes() == 2 && chunk >= stages_ ? 1 : 0; }
  /// Which chunk of the model it holds: equal for the two copies of DualPipe.
  int model_chunk(int chunk) const { return chunk % length_; }
  /// The other chunk with the same layers, whose gradients are added to these; -1 = none.
  int twin(int chunk) const { return routes() == 1 ? -1 : (chunk + length_) % (2 * length_); }
  /// Of a micro-batch: the first half goes one way, the second the other.
  int route(int micro_batch, int micro_batches) const {
    return routes() == 2 && micro_batch >= micro_batches / 2 ? 1 : 0;
  }

 private:
  PipelineSchedule schedule_ = PipelineSchedule::kOneForwardOneBackward;
  int stages_ = 1;
  int per_stage_ = 1;
  int length_ = 1;
  bool pairs_ = false;
  bool folded_ = false;  // chunks go down the ranks and up again
};

}  // namespace moeplan::sim
