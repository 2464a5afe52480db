#pragma once

#include <cstdint>
#include <vector>

#include "base/units.h"
#include "sim/engine/task_graph.h"
#include "sim/engine/timeline.h"
#include "sim/schedule/moe_times.h"
#include "sim/schedule/offload.h"
#include "sim/schedule/overlap.h"
#include "sim/schedule/pipeline_order.h"
#include "sim/schedule/segment.h"
#include "sim/schedule/stage_ranks.h"

namespace moeplan::sim {

/// What all ranks of a stage do alike in one layer. For a MoE layer before and after are around the experts;
/// for a dense one `before` is the whole feed-forward block.
struct LayerTemplate {
  bool is_moe = false;
  Segment attention_forward, before_forward, after_forward;
  BackwardSegment attention_backward, before_backward, after_backward;
};

/// What a virtual stage does besides its layers.
struct ChunkEnds {
  const Segment* first_forward = nullptr;  ///< embedding, on the first chunk
  const BackwardSegment* first_backward = nullptr;
  const Segment* last_forward = nullptr;  ///< output head and loss, on the last one
  const BackwardSegment* last_backward = nullptr;
};

/// One layer of a chunk: its template and, for a MoE layer, what each rank does.
struct ChunkLayer {
  const LayerTemplate* kernels = nullptr;
  const MoeTimes* moe = nullptr;
  int number = 0;  ///< layer of the model, for names in a trace
  /// Where its activations wait in host memory: what each rank copies, or all of them alike. nullptr: they
  /// stay.
  const std::vector<LayerCopies>* copies = nullptr;
};

/// The layers of a virtual stage and its ends.
struct ChunkWork {
  std::vector<ChunkLayer> layers;
  ChunkEnds ends;
  OffloadOrder offload = {};  ///< of its layers
};

/// Work of one rank at a place in time.
struct ChunkBar {
  const Segment* segment = nullptr;
  double factor = 1;  ///< of the rank's slowness
  base::Instant start;
  base::Seconds wait;  ///< for the host, behind the kernels
  int stream = 0;      ///< 0 compute, 1 communication, 2 shared experts, 3 host copies
  int layer = -1;
};

/// One chunk of layers for one micro-batch in one direction.
struct ChunkTimes {
  std::vector<base::Seconds> duration;  ///< [block]: until its last rank is done, from a common start
  std::vector<CostSum> critical;        ///< [block]: what the chain that ends last consists of
  std::vector<ChunkBar> bars;           ///< of the rank that is shown, where asked for
};

/// What all chunks of a stage have in common. `slow`: slow_factor per rank.
struct ChunkPlace {
  const StageRanks& stage;
  const std::vector<double>& slow;
  const Recompute& recompute;
  bool delay_weight_gradients = false;  ///< in pairs
  bool host_copies = false;             ///< activations leave for the host and come back
  std::int32_t shown = -1;              ///< place of the rank whose bars are kept; -1: the one that ends last
};

/// Appends chunks to a task graph, rank by rank, so that a rank that is done early goes on to the next layer.
///
///     every rank:   attention | before | host sync |            experts |          after      (compute
///     stream) EP group:                          join, dispatch i |               join, combine i
///     (communication stream)
///
/// Shared experts beside the all-to-alls (shared_experts.h) have a stream of their own; no kernel of the
/// compute stream runs while they do.
///
/// Activations that leave for the host and come back (offload.h) do so on a stream of their own; a layer of
/// the compute stream waits for those copies that OffloadOrder says.
///
/// The host of a rank launches the segments of the compute stream in their order and runs ahead of them (the
/// engine's host clock): a segment ends no earlier than its launches, and the host waits where it reads the
/// tokens per expert. At the start of a chunk host and GPU are together. Not modelled: launches of
/// collectives and of shared experts beside them hold no host; those wait as if they stood alone.
///
/// A collective starts for all ranks of its group when the last of them is ready; each rank then takes its
/// own time. Pieces: the dispatches of all pieces come before the combines on the communication stream.
/// Backward mirrors forward; with full recomputation the layer's forward comes first, its communication
/// included; with selective recomputation of `moe` the MoE block's forward does. A backward that is split
/// leaves out the products that give gradients of weights; those follow each other in kWeight, without
/// communication.
///
/// A pair runs a forward F beside a backward B of another micro-batch, layer by layer, so that all-to-alls of
/// the one run under kernels of the other:
///
///     compute:        after B | attention, before F | experts B | experts F | before, attention B | (next
///                     layer) after B | after F | attention, before F | ...
///     communication:  combine gradient B | dispatch F | dispatch gradient B | combine F | ...
///
/// With weight gradients delayed experts B, attention B and what stands with it are in two halves: the input
/// gradients first, whose all-to-all goes out before the weight gradients run. Those of attention wait until
/// the next layer's combine gradient is on its way.
///
/// What is left over of the longer one runs alone. Recomputed layers run in front of their backward, under
/// nothing in particular. Source: DeepSeek-V3 (arXiv 2412.19437, fig. 4); NVIDIA/Megatron-LM
/// megatron/core/models/common/model_chunk_schedule_plan.py, TransformerLayerSchedulePlan.run, which has the
/// same order.
class ChunkBuilder {
 public:
  explicit ChunkBuilder(const ChunkPlace& place);

  /// Three streams for every rank, four with host copies; call once per graph.
  void open(TaskGraph& graph);
  void append(const ChunkWork& work, Pass pass);
  /// `factors`: by how much longer the one takes because of the other. Returns the last tasks of the forward;
  /// tails() are those of the backward.
  std::vector<base::TaskId> append_pair(const ChunkWork& forward, const ChunkWork& backward,
                                        const OverlapFactors& factors);
  /// Everybody waits for everybody of its block, as at the end of a chunk seen from outside.
  void barrier();

  struct Task {
    const Segment* segment = nullptr;
    double factor = 1;
    std::int32_t rank = -1;
    int layer = -1;
    const Segment* awaited = nullptr;  ///< of a wait for a copy: the copy,
    base::TaskId before = {};          ///< and what its rank did before
  };
  const std::vector<Task>& tasks() const { return tasks_; }  ///< [task]
  /// The last task of each rank.
  const std::vector<base::TaskId>& tails() const { return tails_; }
  std::size_t streams_per_rank() const { return streams_per_rank_; }

 private:
  base::StreamId stream(std::size_t rank, std::size_t kind) const {
    return base::StreamId::from(first_stream_.index() + streams_per_rank_ * rank + kind);
  }
  base::TaskId add(base::StreamId stream, const Segment& segment, std::size_t rank);
  void compute(const Segment& segment);
  void compute_each(const std::vector<Segment>& segments, const std::vector<base::TaskId>& after);
  std::vector<base::TaskId> communicate(const std::vector<Segment>& segments,
                                        const std::vector<base::TaskId>& after);
  void join_groups(int group_size);
  /// One way of the tokens through the experts, and what the shared experts do beside either all-to-all (or
  /// nothing).
  struct Way {
    const std::vector<Segment>&in, &work, &out, &beside_in, &beside_out;
    int pieces;
  };
  void routed(const Way& way);
  void routed_alone(const Way& way);
  void fused(const FusedWay& way);
  std::vector<base::TaskId> beside(const std::vector<Segment>& segments);
  std::vector<base::TaskId> copy(const ChunkLayer& layer, Segment LayerCopies::*direction);
  void wait_for(const std::vector<base::TaskId>& copied);
  void forward_layers(const ChunkWork& work);
  void backward_layers(const ChunkWork& work, bool whole);
  void forward(const ChunkLayer& layer);
  void feed_forward(const ChunkLayer& layer);
  void recompute(const ChunkLayer& layer);
  void backward(const ChunkLayer& layer, bool whole);
  void weights(const ChunkLayer& layer);
  // Of a pair (chunk_pair.cc); nullptr: no layer left. What comes before an all-to-all opens a layer, what
  // comes behind the last one closes it.
  void send(const ChunkLayer& layer, const std::vector<Segment>& segments,
            std::vector<base::TaskId>& arrived);
  void work_on(const ChunkLayer& layer, const std::vector<Segment>& segments,
               const std::vector<base::TaskId>& arrived);
  void experts_of_backward(const ChunkLayer& layer, const std::vector<base::TaskId>& arrived);
  void open_forward(const ChunkLayer* layer, std::vector<base::TaskId>& arrived);
  void close_forward(const ChunkLayer* layer);
  void open_backward(const ChunkLayer* layer, std::vector<base::TaskId>& arrived);
  void close_backward(const ChunkLayer* layer);
  void delayed_weights(const ChunkLayer* layer);

  const StageRanks& stage_;
  const std::vector<double>& slow_;
  const Recompute& recompute_;
  bool delays_weights_;
  std::size_t streams_per_rank_;
  TaskGraph* graph_ = nullptr;
  base::StreamId first_stream_;
  std::vector<Task> tasks_;
  std::vector<base::TaskId> tails_;
  int layer_ = -1;
  OverlapFactors factors_;
};

/// Builds and runs the graph of one chunk.
ChunkTimes simulate_chunk(const ChunkPlace& place, const ChunkWork& work, Pass pass, bool keep_bars);
/// Of a forward beside a backward.
ChunkTimes simulate_pair(const ChunkPlace& place, const ChunkWork& forward, const ChunkWork& backward,
                         const OverlapFactors& factors, bool keep_bars);

}  // namespace moeplan::sim
