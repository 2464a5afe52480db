#include "sim/schedule/pipeline_graph.h"

#include <algorithm>

namespace moeplan::sim {

namespace {

using base::Seconds;
using base::StreamId;
using base::TaskId;
using Kind = PipelineTask::Kind;

const ChunkTimes& times_of(const PipelineInput& input, int chunk, int micro_batch, bool backward) {
  const ChunkPair& pair =
      *input.samples[static_cast<std::size_t>(micro_batch)]->chunks[static_cast<std::size_t>(chunk)];
  return backward ? pair.backward : pair.forward;
}

/// Blocks that do exactly the same are simulated once.
int distinct_blocks(const PipelineInput& input) {
  std::size_t blocks = 1;
  for (const ChunkSample* sample : input.samples) {
    for (const ChunkPair* pair : sample->chunks) {
      for (const ChunkTimes* times : {&pair->forward, &pair->backward}) {
        const auto& d = times->duration;
        const bool equal = std::all_of(d.begin(), d.end(), [&](Seconds s) { return s == d.front(); });
        if (!equal) blocks = std::max(blocks, d.size());
      }
    }
  }
  return static_cast<int>(blocks);
}

class PipelineBuilder {
 public:
  PipelineBuilder(const PipelineInput& input, PipelineStep& step) : in_(input), step_(step) {
    step_.blocks = distinct_blocks(input);
    step_.graph.add_streams(static_cast<std::size_t>(in_.stages) *
                            static_cast<std::size_t>(step_.blocks + 1));
    const auto cells =
        static_cast<std::size_t>(in_.stages * in_.chunks_per_stage * in_.micro_batches * step_.blocks * 2);
    first_.resize(cells);
    last_.resize(cells);
    gathers_.resize(chunks());
    reduces_.resize(chunks());
  }

  void build() {
    for (std::size_t c = 0; c < chunks(); ++c) add_gathers(static_cast<int>(c));
    for (int stage = 0; stage < in_.stages; ++stage) {
      const std::vector<PipelineOp> order =
          pipeline_order(in_.stages, in_.chunks_per_stage, stage, in_.micro_batches);
      for (int block = 0; block < step_.blocks; ++block) {
        for (const PipelineOp& op : order) add_op(stage, block, op);
      }
    }
    for (int block = 0; block < step_.blocks; ++block) add_transfers(block);
    add_updates();
  }

 private:
  std::size_t chunks() const { return static_cast<std::size_t>(in_.stages * in_.chunks_per_stage); }
  std::size_t cell(int chunk, int micro_batch, int block, bool backward) const {
    return static_cast<std::size_t>(((chunk * in_.micro_batches + micro_batch) * step_.blocks + block) * 2 +
                                    (backward ? 1 : 0));
  }
  StreamId compute(int stage, int block) const { return step_.compute_stream(stage, block); }
  StreamId exchange_stream(int stage) const { return StreamId((stage + 1) * (step_.blocks + 1) - 1); }

  TaskId add(StreamId stream, Seconds duration, const PipelineTask& what) {
    const TaskId task = step_.graph.add_task(stream, duration);
    step_.tasks.push_back(what);
    return task;
  }
  TaskId add_estimate(StreamId stream, Kind kind, int stage, const Estimate& estimate, TimeClass time_class,
                      int chunk = -1) {
    PipelineTask what;
    what.kind = kind;
    what.stage = stage;
    what.chunk = chunk;
    what.estimate = estimate;
    what.time_class = time_class;
    return add(stream, estimate.time, what);
  }

  void add_gathers(int chunk) {
    const ChunkExchange& exchange = in_.exchanges[static_cast<std::size_t>(chunk)];
    if (!in_.overlap_gather || exchange.gather_piece.time <= Seconds()) return;
    const int stage = chunk % in_.stages;
    for (int i = 0; i < exchange.pieces; ++i) {
      gathers_[static_cast<std::size_t>(chunk)].push_back(add_estimate(
          exchange_stream(stage), Kind::kGather, stage, exchange.gather_piece, TimeClass::kGather, chunk));
    }
  }

  void add_op(int stage, int block, const PipelineOp& op) {
    const int chunk = op.chunk * in_.stages + stage;
    const auto c = static_cast<std::size_t>(chunk);
    const ChunkTimes& times = times_of(in_, chunk, op.micro_batch, op.backward);
    const std::size_t b =
        static_cast<std::size_t>(block) < times.duration.size() ? static_cast<std::size_t>(block) : 0;
    const ChunkExchange& exchange = in_.exchanges[c];
    const bool gathered = !op.backward && op.micro_batch == 0 && !gathers_[c].empty();
    const bool reduced = op.backward && op.micro_batch + 1 == in_.micro_batches && in_.overlap_reduce &&
                         exchange.reduce_piece.time > Seconds();
    const int pieces = gathered || reduced ? exchange.pieces : 1;
    PipelineTask what;
    what.kind = op.backward ? Kind::kBackward : Kind::kForward;
    what.stage = stage;
    what.block = block;
    what.chunk = chunk;
    what.micro_batch = op.micro_batch;
    what.fraction = 1.0 / pieces;
    what.cost = &times.critical[b];
    const std::size_t at = cell(chunk, op.micro_batch, block, op.backward);
    for (int i = 0; i < pieces; ++i) {
      what.piece = i;
      const TaskId task = add(compute(stage, block), times.duration[b] * what.fraction, what);
      if (i == 0) first_[at] = task;
      last_[at] = task;
      if (gathered) step_.graph.add_dependency(gathers_[c][static_cast<std::size_t>(i)], task);
      if (reduced) reduce_after(chunk, i, task);
    }
  }

  /// The i-th piece of the reduction waits for all blocks.
  void reduce_after(int chunk, int piece, TaskId task) {
    auto& reduces = reduces_[static_cast<std::size_t>(chunk)];
    if (reduces.size() <= static_cast<std::size_t>(piece)) {
      const int stage = chunk % in_.stages;
      reduces.push_back(add_estimate(exchange_stream(stage), Kind::kReduce, stage,
                                     in_.exchanges[static_cast<std::size_t>(chunk)].reduce_piece,
                                     TimeClass::kGradient, chunk));
    }
    step_.graph.add_dependency(task, reduces[static_cast<std::size_t>(piece)]);
  }

  void add_transfers(int block) {
    const int last_chunk = static_cast<int>(chunks()) - 1;
    for (int chunk = 0; chunk <= last_chunk; ++chunk) {
      for (int m = 0; m < in_.micro_batches; ++m) {
        if (chunk < last_chunk) transfer(chunk, chunk + 1, m, block, false);
        if (chunk > 0) transfer(chunk, chunk - 1, m, block, true);
      }
    }
  }

  void transfer(int from, int to, int micro_batch, int block, bool backward) {
    const int stage = from % in_.stages;
    const Estimate& estimate =
        (backward ? in_.transfer_backward : in_.transfer_forward)[static_cast<std::size_t>(stage)];
    const TaskId before = last_[cell(from, micro_batch, block, backward)];
    const TaskId after = first_[cell(to, micro_batch, block, backward)];
    if (in_.stages == 1) {
      step_.graph.add_dependency(before, after);
      return;
    }
    // No stream: transfers of one stage go out in the order in which their chunks end, one at a time by
    // construction.
    const TaskId task =
        add_estimate(TaskGraph::kNoStream, Kind::kTransfer, stage, estimate, TimeClass::kP2p, from);
    step_.tasks.back().block = block;
    step_.tasks.back().micro_batch = micro_batch;
    step_.graph.add_dependency(before, task);
    step_.graph.add_dependency(task, after);
    if (in_.blocking_transfers) blocked_.push_back({before, task});
  }

  void add_updates() {
    block_senders();
    std::vector<TaskId> ready;
    for (int stage = 0; stage < in_.stages; ++stage) {
      const StageUpdate& update = in_.updates[static_cast<std::size_t>(stage)];
      const TaskId done = step_.graph.add_join();
      step_.tasks.push_back({});
      for (int v = 0; v < in_.chunks_per_stage; ++v) {
        const int chunk = v * in_.stages + stage;
        for (int block = 0; block < step_.blocks; ++block)
          step_.graph.add_dependency(last_[cell(chunk, in_.micro_batches - 1, block, true)], done);
      }
      ready.push_back(reduce_stage(stage, done, update));
    }
    const TaskId all = step_.graph.add_join();
    step_.tasks.push_back({});
    for (const TaskId task : ready) step_.graph.add_dependency(task, all);
    for (int stage = 0; stage < in_.stages; ++stage) update_stage(stage, all);
  }

  TaskId reduce_stage(int stage, TaskId done, const StageUpdate& update) {
    TaskId last = done;
    for (int v = in_.chunks_per_stage - 1; v >= 0; --v) {
      const auto c = static_cast<std::size_t>(v * in_.stages + stage);
      const ChunkExchange& exchange = in_.exchanges[c];
      for (int i = 0; reduces_[c].empty() && exchange.reduce_piece.time > Seconds() && i < exchange.pieces;
           ++i) {
        const TaskId task = add_estimate(exchange_stream(stage), Kind::kReduce, stage, exchange.reduce_piece,
                                         TimeClass::kGradient, static_cast<int>(c));
        step_.graph.add_dependency(done, task);
        last = task;
      }
    }
    const TaskId reduced = add_estimate(exchange_stream(stage), Kind::kReduce, stage, update.tied_embedding,
                                        TimeClass::kGradient);
    step_.graph.add_dependency(last, reduced);
    return reduced;
  }

  void update_stage(int stage, TaskId all) {
    const StageUpdate& update = in_.updates[static_cast<std::size_t>(stage)];
    TaskId last = all;
    for (const auto& [segment, kind] :
         {std::pair(&update.norm, Kind::kNorm), std::pair(&update.optimizer, Kind::kOptimizer)}) {
      PipelineTask what;
      what.kind = kind;
      what.stage = stage;
      what.cost = &segment->cost();
      what.time_class = TimeClass::kOptimizer;
      const TaskId task = add(exchange_stream(stage), segment->time(), what);
      step_.graph.add_dependency(last, task);
      last = task;
    }
    for (int v = 0; !in_.overlap_gather && v < in_.chunks_per_stage; ++v) {
      const int chunk = v * in_.stages + stage;
      const ChunkExchange& exchange = in_.exchanges[static_cast<std::size_t>(chunk)];
      for (int i = 0; exchange.gather_piece.time > Seconds() && i < exchange.pieces; ++i) {
        const TaskId task = add_estimate(exchange_stream(stage), Kind::kGather, stage, exchange.gather_piece,
                                         TimeClass::kGather, chunk);
        step_.graph.add_dependency(last, task);
      }
    }
  }

  /// The compute stream of a sender goes on when its transfer is done.
  void block_senders() {
    std::vector<TaskId> next(step_.graph.tasks());
    std::vector<TaskId> tail(step_.graph.streams());
    for (std::size_t t = 0; t < step_.graph.tasks(); ++t) {
      const StreamId stream = step_.graph.stream(TaskId::from(t));
      if (!stream.valid()) continue;
      if (tail[stream.index()].valid()) next[tail[stream.index()].index()] = TaskId::from(t);
      tail[stream.index()] = TaskId::from(t);
    }
    for (const auto& [sender, transfer] : blocked_) {
      if (next[sender.index()].valid()) step_.graph.add_dependency(transfer, next[sender.index()]);
    }
  }

  const PipelineInput& in_;
  PipelineStep& step_;
  std::vector<TaskId> first_, last_;          // [cell]
  std::vector<std::vector<TaskId>> gathers_;  // [c][piece]
  std::vector<std::vector<TaskId>> reduces_;  // [c][piece]
  std::vector<std::pair<TaskId, TaskId>> blocked_;
};

}  // namespace

PipelineStep simulate_pipeline(const PipelineInput& input) {
  PipelineStep step;
  PipelineBuilder(input, step).build();
  step.timeline = run(step.graph);
  return step;
}

}  // namespace moeplan::sim
