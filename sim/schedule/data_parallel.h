#pragma once

#include <cstdint>
#include <vector>

#include "sim/collective/comm_network.h"
#include "sim/schedule/segment.h"
#include "sim/schedule/stage_model.h"

namespace moeplan::sim {

/// Weights on one rank, in elements: what is reduced over the dense data-parallel group (dp * cp ranks) and
/// what over the expert one (edp ranks).
struct RankParameters {
  std::int64_t dense = 0;
  std::int64_t expert = 0;
  int moe_layers = 0;
};
/// Of the layers of a chunk, with embedding on the first and head on the last one.
RankParameters chunk_parameters(const ModelSpec& model, const PlanSpec& plan,
                                const std::vector<PlacedLayer>& layers, bool first, bool last);

/// What a step does once, per pipeline stage and virtual stage.
///
/// Model:   gradients: reduce-scatter (all-reduce without distributed optimizer) of the gradients of one
/// layer at a time,
///          dense and expert ones after each other; parameters: all-gather likewise; with hsdp inside shard
///          groups, and an all-reduce of a rank's shard among the groups behind the reduce-scatter. zero2
///          reduces behind every micro-batch, zero3, fsdp and hsdp gather in front of every layer, too
///          (pipeline_graph.h); update: gradient norm (reads the rank's gradients), a scalar all-reduce over
///          all ranks with the host waiting for it, Adam over the rank's shard
///          With products in fp16 gradients are divided by the loss scale and looked at for infinities before
///          the norm (reads and writes them, a scalar all-reduce, the host waits for it). Where the run
///          updates biases of the router: an all-reduce of the tokens per expert of all MoE layers (fp32)
///          over the stage's ranks, before the norm. Source: Megatron-Core d98e8a6, optimizer/optimizer.py,
///          distributed/finalize_model_grads.py
///          Every rank looks at all of its gradients for NaNs (reads them) and divides them by the number of
///          data-parallel ranks (reads and writes them: all where the collective sums, those of experts where
///          it averages and fewer ranks hold an expert than hold the rest) before they are reduced, and
///          clears them for the next step (writes them). Where ranks keep shards of
///          gradients, they clear the shard; checks and scaling, which run before every reduction there, are
///          counted once. Source: megatron/core/distributed, param_and_grad_buffer.py
///          (start_grad_sync, reset) and distributed_data_parallel.py (gradient_scaling_factor), core 0.15.
/// Not modelled: buckets of another size than a layer, sequence-parallel norm gradients,
///          casts to fp8 after the update, checkpoints, data loading. Checks and scaling are taken to follow
///          the backward; a rank that overlaps the reduction does them bucket by bucket inside of it, which
///          takes as long.
struct ChunkExchange {
  int pieces = 0;  ///< layers; 0: nothing to exchange
  Estimate reduce_piece;
  Estimate gather_piece;
};
struct StageUpdate {
  Segment gradients;    ///< checked and scaled; empty where they are not
  Segment router_bias;  ///< empty where the run has none
  Segment loss_scale;   ///< with fp16
  Segment norm;
  Segment optimizer;
  Estimate tied_embedding;  ///< all-reduce of the shared embedding's gradient between first and last stage
};

ChunkExchange compute_exchange(const Job& job, const PlanSpec& plan, const CommNetwork& network,
                               const StageRanks& stage, const RankParameters& parameters, int layers);
StageUpdate compute_update(const Job& job, const PlanSpec& plan, const CommNetwork& network, int stage,
                           const RankParameters& parameters);

}  // namespace moeplan::sim
