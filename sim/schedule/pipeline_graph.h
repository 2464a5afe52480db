#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "sim/engine/timeline.h"
#include "sim/schedule/chunk_set.h"
#include "sim/schedule/data_parallel.h"
#include "sim/schedule/pipeline_order.h"

namespace moeplan::sim {

/// The step of one iteration, seen from the pipeline: chunks are single tasks.
struct PipelineInput {
  ChunkMap map;
  int micro_batches = 1;
  std::vector<const ChunkSample*> samples;  ///< [micro-batch]
  std::vector<Estimate> transfer_forward;   ///< [stage]: to the next one, of the last one to the first
  std::vector<Estimate> transfer_backward;  ///< [stage]: to the one before
  bool blocking_transfers = true;           ///< the sender goes on when its transfer is done
  /// Time of a forward on chunk f for micro-batch mf beside a backward on b for mb, where the schedule has
  /// such pairs.
  std::function<const ChunkTimes&(int f, int mf, int b, int mb)> both;
  std::vector<ChunkExchange> exchanges;  ///< [c]
  std::vector<StageUpdate> updates;      ///< [stage]
  bool overlap_reduce = true;
  bool overlap_gather = true;
  bool gather_layers = false;  ///< parameters are shards: every pass gathers its layers
  bool reduce_each = false;    ///< gradients are shards: every micro-batch reduces its own
  /// Every pass finds its input there: stages run their passes one after the other (a counterfactual).
  bool without_waits = false;
};

/// What a task of the pipeline graph is.
struct PipelineTask {
  enum class Kind {
    kForward,
    kBackward,
    kInput,
    kWeight,
    kBoth,
    kTransfer,
    kReduce,
    kGather,
    kLayerGather,
    kGradients,
    kRouterBias,
    kLossScale,
    kNorm,
    kOptimizer,
    kJoin
  };
  Kind kind = Kind::kJoin;
  int stage = -1;
  int block = -1;
  int chunk = -1;  ///< c; of kBoth that of the forward
  int micro_batch = -1;
  int other_chunk = -1;  ///< of kBoth: that of the backward
  int other_micro_batch = -1;
  int piece = 0;
  double fraction = 1;            ///< of the chunk's time that this piece takes
  const CostSum* cost = nullptr;  ///< of the whole chunk, in its passes
  Estimate estimate;              ///< of the others
  TimeClass time_class = TimeClass::kHost;
};

/// One step: pipeline, gradients, update.
///
///     dp stream of a stage:   gather pieces of the first forwards            reduce pieces of the last
///     backwards compute stream:             forward pieces | passes in pipeline_order | backward pieces   |
///     norm | optimizer
///
/// Sharded parameters (gather_layers) and gradients (reduce_each): pieces k = 0, 1, ... of all passes of a
/// stage in order; G gathers a layer's parameters, R reduces its gradients, on one stream:
///
///     dp stream of a stage:   G0 G1 | R0 G2 | R1 G3 | ...      compute stream:   k waits for Gk
///
/// Gk starts when piece k - 2 is done: one layer is gathered ahead (without overlap_gather none, so that Gk
/// waits for piece k - 1). Rk starts behind piece k; without overlap_reduce piece k + 1 waits for it. The
/// last layer of a forward is kept where its backward comes next; the gradient norm waits for the last
/// reduction. Source: FSDP2's prefetch (torch.distributed.fsdp.fully_shard: all-gather of the next layer in
/// front of a layer's computation, reduce-scatter behind it, one communicator), torchtitan's reshard of all
/// layers but the last.
///
/// A block of ranks (those that a layer's communication ties together) runs its own pipeline; blocks meet in
/// the gradient reduction. Parameters gathered under the next step's first forwards are put at the start of
/// this step, which is the same in a steady state. The gradient norm waits for all stages, so that what a
/// schedule without bubble saves at the end of a rank is lost there again: the optimizer of Zero Bubble that
/// starts before it knows the norm is not modelled. The gradients of a chunk are whole after its last
/// backward or weight pass; those of DualPipe's two copies are summed in one reduction over the ranks of
/// both. Not modelled: a sender that waits for its receiver to be ready; transfers that compete with
/// all-to-alls; all-gathers and reduce-scatters that slow the all-to-alls they run beside.
struct PipelineStep {
  TaskGraph graph;
  std::vector<PipelineTask> tasks;  ///< [task]
  Timeline timeline;
  int blocks = 1;

  base::Seconds time() const { return timeline.makespan.since_start(); }
  base::StreamId compute_stream(int stage, int block) const {
    return base::StreamId(stage * (blocks + 1) + block);
  }
};

PipelineStep simulate_pipeline(const PipelineInput& input);

}  // namespace moeplan::sim
