#pragma once

#include <cstdint>
#include <vector>

#include "base/units.h"
#include "sim/engine/task_graph.h"
#include "sim/engine/timeline.h"
#include "sim/schedule/moe_times.h"
#include "sim/schedule/segment.h"
#include "sim/schedule/stage_ranks.h"

namespace moeplan::sim {

/// What all ranks of a stage do alike in one layer. For a MoE layer before and after are around the experts;
/// for a dense one `before` is the whole feed-forward block.
struct LayerTemplate {
  bool is_moe = false;
  Segment attention_forward, attention_backward;
  Segment before_forward, before_backward;
  Segment after_forward, after_backward;
};

/// What a virtual stage does besides its layers.
struct ChunkEnds {
  const Segment* first_forward = nullptr;  ///< embedding, on the first chunk
  const Segment* first_backward = nullptr;
  const Segment* last_forward = nullptr;  ///< output head and loss, on the last one
  const Segment* last_backward = nullptr;
};

/// One layer of a chunk: its template and, for a MoE layer, what each rank does.
struct ChunkLayer {
  const LayerTemplate* kernels = nullptr;
  const MoeTimes* moe = nullptr;
  int number = 0;  ///< layer of the model, for names in a trace
};

/// Work of one rank at a place in time.
struct ChunkBar {
  const Segment* segment = nullptr;
  double factor = 1;  ///< of the rank's slowness
  base::Instant start;
  int stream = 0;  ///< 0 compute, 1 communication
  int layer = -1;
};

/// One chunk of layers for one micro-batch in one direction.
struct ChunkTimes {
  std::vector<base::Seconds> duration;  ///< [block]: until its last rank is done, from a common start
  std::vector<CostSum> critical;        ///< [block]: what the chain that ends last consists of
  std::vector<ChunkBar> bars;           ///< of the rank that ends last, where asked for
};

/// Appends chunks to a task graph, rank by rank, so that a rank that is done early goes on to the next layer.
///
///     every rank:   attention | before | host sync |            experts |          after      (compute
///     stream) EP group:                          join, dispatch i |               join, combine i
///     (communication stream)
///
/// A collective starts for all ranks of its group when the last of them is ready; each rank then takes its
/// own time. Pieces: the dispatches of all pieces come before the combines on the communication stream.
/// Backward mirrors forward; with full recomputation the layer's forward comes first, its communication
/// included; with selective recomputation of `moe` the MoE block's forward does.
class ChunkBuilder {
 public:
  ChunkBuilder(const StageRanks& stage, const std::vector<double>& slow, const Recompute& recompute);

  /// Two streams for every rank; call once per graph.
  void open(TaskGraph& graph);
  void append(const std::vector<ChunkLayer>& layers, const ChunkEnds& ends, bool backward);
  /// Everybody waits for everybody of its block, as at the end of a chunk seen from outside.
  void barrier();

  struct Task {
    const Segment* segment = nullptr;
    double factor = 1;
    std::int32_t rank = -1;
    int layer = -1;
  };
  const std::vector<Task>& tasks() const { return tasks_; }  ///< [task]
  /// The last task of each rank.
  const std::vector<base::TaskId>& tails() const { return tails_; }

 private:
  base::TaskId add(base::StreamId stream, const Segment& segment, std::size_t rank);
  void compute(const Segment& segment);
  void compute_each(const std::vector<Segment>& segments, const std::vector<base::TaskId>& after);
  std::vector<base::TaskId> communicate(const std::vector<Segment>& segments,
                                        const std::vector<base::TaskId>& after);
  void join_groups(int group_size);
  void routed(const ChunkLayer& layer, const std::vector<Segment>& in, const std::vector<Segment>& work,
              const std::vector<Segment>& out);
  void forward(const ChunkLayer& layer);
  void feed_forward(const ChunkLayer& layer);
  void backward(const ChunkLayer& layer);

  const StageRanks& stage_;
  const std::vector<double>& slow_;
  Recompute recompute_;
  TaskGraph* graph_ = nullptr;
  base::StreamId first_stream_;
  std::vector<Task> tasks_;
  std::vector<base::TaskId> tails_;
  int layer_ = -1;
};

/// Builds and runs the graph of one chunk. `slow`: slow_factor per rank of the stage.
ChunkTimes simulate_chunk(const StageRanks& stage, const std::vector<double>& slow,
                          const Recompute& recompute, const std::vector<ChunkLayer>& layers,
                          const ChunkEnds& ends, bool backward, bool keep_bars);

}  // namespace moeplan::sim
