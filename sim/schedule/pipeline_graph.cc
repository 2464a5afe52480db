#include "sim/schedule/pipeline_graph.h"

#include <algorithm>

namespace moeplan::sim {

namespace {

using base::Seconds;
using base::StreamId;
using base::TaskId;
using Kind = PipelineTask::Kind;

constexpr std::size_t kNoSlot = static_cast<std::size_t>(-1);
constexpr std::size_t kCellKinds = 2;  ///< forward; backward or input gradients

const ChunkTimes& times_of(const PipelineInput& input, int chunk, int micro_batch, Pass pass) {
  return input.samples[static_cast<std::size_t>(micro_batch)]->chunks[static_cast<std::size_t>(chunk)]->of(
      pass);
}

Kind kind_of(Pass pass) {
  switch (pass) {
    case Pass::kForward:
      return Kind::kForward;
    case Pass::kBackward:
      return Kind::kBackward;
    case Pass::kInput:
      return Kind::kInput;
    case Pass::kWeight:
      return Kind::kWeight;
  }
  return Kind::kForward;
}

bool gives_gradients(Pass pass) { return pass == Pass::kBackward || pass == Pass::kWeight; }

/// Blocks that do exactly the same are simulated once.
int distinct_blocks(const PipelineInput& input) {
  std::size_t blocks = 1;
  for (const ChunkSample* sample : input.samples) {
    for (const ChunkPair* pair : sample->chunks) {
      for (const ChunkTimes* times : {&pair->forward, &pair->backward, &pair->input, &pair->weight}) {
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
    step_.graph.add_streams(static_cast<std::size_t>(in_.map.stages()) *
                            static_cast<std::size_t>(step_.blocks + 1));
    const std::size_t cells = chunks() * static_cast<std::size_t>(in_.micro_batches) *
                              static_cast<std::size_t>(step_.blocks) * kCellKinds;
    first_.resize(cells);
    last_.resize(cells);
    gathers_.resize(chunks());
    reduces_.resize(chunks());
    gradients_.resize(chunks());
  }

  void build() {
    for (std::size_t c = 0; c < chunks(); ++c) add_gathers(static_cast<int>(c));
    for (int stage = 0; stage < in_.map.stages(); ++stage) {
      const std::vector<PipelineOp> order = pipeline_order(in_.map, stage, in_.micro_batches);
      find_ends(order);
      add_shard_tasks(stage, order);
      for (int block = 0; block < step_.blocks; ++block) add_order(stage, block, order);
    }
    join_twins();
    for (int block = 0; !in_.without_waits && block < step_.blocks; ++block) add_transfers(block);
    add_updates();
  }

 private:
  std::size_t chunks() const { return static_cast<std::size_t>(in_.map.chunks()); }
  std::size_t cell(int chunk, int micro_batch, int block, bool backward) const {
    const auto at =
        static_cast<std::size_t>((chunk * in_.micro_batches + micro_batch) * step_.blocks + block);
    return at * kCellKinds + (backward ? 1 : 0);
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
    if (in_.gather_layers || !in_.overlap_gather || exchange.gather_piece.time <= Seconds()) return;
    const int stage = in_.map.stage(chunk);
    for (int i = 0; i < exchange.pieces; ++i) {
      gathers_[static_cast<std::size_t>(chunk)].push_back(add_estimate(
          exchange_stream(stage), Kind::kGather, stage, exchange.gather_piece, TimeClass::kGather, chunk));
    }
  }

  /// Which ops of an order are the first forward of their chunk, and the last that gives it gradients.
  void find_ends(const std::vector<PipelineOp>& order) {
    const auto places = static_cast<std::size_t>(in_.map.chunks_per_stage());
    first_forward_.assign(places, order.size());
    last_gradient_.assign(places, order.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
      const auto place = static_cast<std::size_t>(order[i].chunk);
      if (order[i].pass == Pass::kForward && first_forward_[place] == order.size()) first_forward_[place] = i;
      if (gives_gradients(order[i].pass)) last_gradient_[place] = i;
    }
  }

  /// The pieces of all passes whose parameters are gathered or gradients reduced, in order, and the tasks
  /// that do it.
  void add_shard_tasks(int stage, const std::vector<PipelineOp>& order) {
    first_slot_.assign(order.size(), kNoSlot);
    slots_.clear();
    if (!in_.gather_layers && !in_.reduce_each) return;
    std::vector<const ChunkExchange*> exchanges;
    std::vector<int> chunk_of;
    for (std::size_t i = 0; i < order.size(); ++i) {
      const bool reduces = in_.reduce_each && gives_gradients(order[i].pass);
      if (!in_.gather_layers && !reduces) continue;
      const int chunk = in_.map.at(stage, order[i].chunk);
      const ChunkExchange& exchange = in_.exchanges[static_cast<std::size_t>(chunk)];
      // Its last layer is still there from the forward.
      const bool follows = i > 0 && order[i].pass == Pass::kBackward && order[i - 1].pass == Pass::kForward &&
                           order[i - 1].chunk == order[i].chunk &&
                           order[i - 1].micro_batch == order[i].micro_batch;
      first_slot_[i] = slots_.size();
      for (int piece = 0; piece < exchange.pieces; ++piece) {
        slots_.push_back({in_.gather_layers && !(follows && piece == 0), reduces, {}, {}});
        exchanges.push_back(&exchange);
        chunk_of.push_back(chunk);
      }
    }
    const auto gather = [&](std::size_t k) {
      if (k >= slots_.size() || !slots_[k].gathers || exchanges[k]->gather_piece.time <= Seconds()) return;
      slots_[k].gather = add_estimate(exchange_stream(stage), Kind::kLayerGather, stage,
                                      exchanges[k]->gather_piece, TimeClass::kGather, chunk_of[k]);
    };
    gather(0);
    gather(1);
    for (std::size_t k = 0; k < slots_.size(); ++k) {
      if (slots_[k].reduces && exchanges[k]->reduce_piece.time > Seconds()) {
        slots_[k].reduce = add_estimate(exchange_stream(stage), Kind::kReduce, stage,
                                        exchanges[k]->reduce_piece, TimeClass::kGradient, chunk_of[k]);
        reduces_[static_cast<std::size_t>(chunk_of[k])].push_back(slots_[k].reduce);
      }
      gather(k + 2);
    }
  }

  /// Ties the piece at a slot to its gather and reduction and to those of its neighbours.
  void connect_slot(std::size_t slot, TaskId task) {
    const auto after = [&](TaskId before, TaskId later) {
      if (before.valid() && later.valid()) step_.graph.add_dependency(before, later);
    };
    after(slots_[slot].gather, task);
    after(task, slots_[slot].reduce);
    const std::size_t next = slot + (in_.overlap_gather ? 2 : 1);
    if (next < slots_.size()) after(task, slots_[next].gather);
    if (!in_.overlap_reduce && slot > 0) after(slots_[slot - 1].reduce, task);
  }

  void add_order(int stage, int block, const std::vector<PipelineOp>& order) {
    for (std::size_t i = 0; i < order.size(); ++i) {
      if (order[i].beside_next) {
        add_both(stage, block, order[i], order[i + 1]);
        ++i;
        continue;
      }
      const auto place = static_cast<std::size_t>(order[i].chunk);
      add_op(stage, block, order[i],
             {first_forward_[place] == i, last_gradient_[place] == i, first_slot_[i]});
    }
  }

  static std::size_t block_of(const ChunkTimes& times, int block) {
    return static_cast<std::size_t>(block) < times.duration.size() ? static_cast<std::size_t>(block) : 0;
  }

  /// Where an op stands: first forward of its chunk, last that gives it gradients, its first piece among the
  /// slots.
  struct OpPlace {
    bool is_first = false, is_last = false;
    std::size_t slot = kNoSlot;
  };

  void add_op(int stage, int block, const PipelineOp& op, const OpPlace& place) {
    const int chunk = in_.map.at(stage, op.chunk);
    const auto c = static_cast<std::size_t>(chunk);
    const ChunkTimes& times = times_of(in_, chunk, op.micro_batch, op.pass);
    const std::size_t b = block_of(times, block);
    const ChunkExchange& exchange = in_.exchanges[c];
    const bool sharded = place.slot != kNoSlot;
    const bool gathered = place.is_first && !gathers_[c].empty();
    const bool reduced =
        place.is_last && !in_.reduce_each && in_.overlap_reduce && exchange.reduce_piece.time > Seconds();
    const int pieces = gathered || reduced || sharded ? exchange.pieces : 1;
    PipelineTask what;
    what.kind = kind_of(op.pass);
    what.stage = stage;
    what.block = block;
    what.chunk = chunk;
    what.micro_batch = op.micro_batch;
    what.fraction = 1.0 / pieces;
    what.cost = &times.critical[b];
    const std::size_t at = cell(chunk, op.micro_batch, block, op.pass != Pass::kForward);
    for (int i = 0; i < pieces; ++i) {
      what.piece = i;
      const TaskId task = add(compute(stage, block), times.duration[b] * what.fraction, what);
      if (op.pass != Pass::kWeight) {
        if (i == 0) first_[at] = task;
        last_[at] = task;
      }
      if (gathered) step_.graph.add_dependency(gathers_[c][static_cast<std::size_t>(i)], task);
      if (reduced) reduce_after(chunk, i, task);
      if (sharded) connect_slot(place.slot + static_cast<std::size_t>(i), task);
      if (place.is_last && i + 1 == pieces) gradients_[c].push_back(task);
    }
  }

  /// A forward and a backward as one task: either is done when both are.
  void add_both(int stage, int block, const PipelineOp& forward, const PipelineOp& backward) {
    PipelineTask what;
    what.kind = Kind::kBoth;
    what.stage = stage;
    what.block = block;
    what.chunk = in_.map.at(stage, forward.chunk);
    what.micro_batch = forward.micro_batch;
    what.other_chunk = in_.map.at(stage, backward.chunk);
    what.other_micro_batch = backward.micro_batch;
    const ChunkTimes& times =
        in_.both(what.chunk, what.micro_batch, what.other_chunk, what.other_micro_batch);
    const std::size_t b = block_of(times, block);
    what.cost = &times.critical[b];
    const TaskId task = add(compute(stage, block), times.duration[b], what);
    for (const std::size_t at : {cell(what.chunk, what.micro_batch, block, false),
                                 cell(what.other_chunk, what.other_micro_batch, block, true)}) {
      first_[at] = task;
      last_[at] = task;
    }
  }

  /// A reduction over both copies of a chunk waits for both.
  void join_twins() {
    for (std::size_t c = 0; c < chunks(); ++c) {
      const int twin = in_.map.twin(static_cast<int>(c));
      if (twin < 0) continue;
      for (const TaskId reduce : reduces_[c]) {
        for (const TaskId task : gradients_[static_cast<std::size_t>(twin)])
          step_.graph.add_dependency(task, reduce);
      }
    }
  }

  /// The i-th piece of the reduction waits for all blocks.
  void reduce_after(int chunk, int piece, TaskId task) {
    auto& reduces = reduces_[static_cast<std::size_t>(chunk)];
    if (reduces.size() <= static_cast<std::size_t>(piece)) {
      const int stage = in_.map.stage(chunk);
      reduces.push_back(add_estimate(exchange_stream(stage), Kind::kReduce, stage,
                                     in_.exchanges[static_cast<std::size_t>(chunk)].reduce_piece,
                                     TimeClass::kGradient, chunk));
    }
    step_.graph.add_dependency(task, reduces[static_cast<std::size_t>(piece)]);
  }

  void add_transfers(int block) {
    for (int chunk = 0; chunk < in_.map.chunks(); ++chunk) {
      for (int m = 0; m < in_.micro_batches; ++m) {
        if (in_.map.route_of(chunk) != in_.map.route(m, in_.micro_batches)) continue;
        if (!in_.map.is_last(chunk)) transfer(chunk, chunk + 1, m, block, false);
        if (!in_.map.is_first(chunk)) transfer(chunk, chunk - 1, m, block, true);
      }
    }
  }

  void transfer(int from, int to, int micro_batch, int block, bool backward) {
    const int stage = in_.map.stage(from);
    const Estimate& estimate = (leaves_to_next(stage, in_.map.stage(to), backward)
                                    ? in_.transfer_forward
                                    : in_.transfer_backward)[static_cast<std::size_t>(stage)];
    const TaskId before = last_[cell(from, micro_batch, block, backward)];
    const TaskId after = first_[cell(to, micro_batch, block, backward)];
    if (stage == in_.map.stage(to)) {
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

  /// Of two ranks each is the next one of the other: forwards go to the next, backwards to the one before.
  bool leaves_to_next(int from, int to, bool backward) const {
    return in_.map.stages() == 2 ? !backward : to == (from + 1) % in_.map.stages();
  }

  void add_updates() {
    block_senders();
    std::vector<TaskId> ready;
    for (int stage = 0; stage < in_.map.stages(); ++stage) {
      const StageUpdate& update = in_.updates[static_cast<std::size_t>(stage)];
      const TaskId done = step_.graph.add_join();
      step_.tasks.push_back({});
      for (int v = 0; v < in_.map.chunks_per_stage(); ++v) {
        const int chunk = in_.map.at(stage, v);
        for (const int one : {chunk, in_.map.twin(chunk)}) {
          if (one < 0) continue;
          for (const TaskId task : gradients_[static_cast<std::size_t>(one)])
            step_.graph.add_dependency(task, done);
        }
      }
      ready.push_back(reduce_stage(stage, done, update));
    }
    const TaskId all = step_.graph.add_join();
    step_.tasks.push_back({});
    for (const TaskId task : ready) step_.graph.add_dependency(task, all);
    for (int stage = 0; stage < in_.map.stages(); ++stage) update_stage(stage, all);
  }

  TaskId reduce_stage(int stage, TaskId done, const StageUpdate& update) {
    if (!update.gradients.empty()) {
      const TaskId passes = add_update(stage, Kind::kGradients, update.gradients);
      step_.graph.add_dependency(done, passes);
      done = passes;
    }
    TaskId last = done;
    for (int v = in_.map.chunks_per_stage() - 1; v >= 0; --v) {
      const auto c = static_cast<std::size_t>(in_.map.at(stage, v));
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

  TaskId add_update(int stage, Kind kind, const Segment& segment) {
    PipelineTask what;
    what.kind = kind;
    what.stage = stage;
    what.cost = &segment.cost();
    what.time_class = TimeClass::kOptimizer;
    return add(exchange_stream(stage), segment.time(), what);
  }

  void update_stage(int stage, TaskId all) {
    const StageUpdate& update = in_.updates[static_cast<std::size_t>(stage)];
    TaskId last = all;
    for (const auto& [segment, kind] :
         {std::pair(&update.router_bias, Kind::kRouterBias), std::pair(&update.loss_scale, Kind::kLossScale),
          std::pair(&update.norm, Kind::kNorm), std::pair(&update.optimizer, Kind::kOptimizer)}) {
      if (segment->empty() && (kind == Kind::kRouterBias || kind == Kind::kLossScale)) continue;
      const TaskId task = add_update(stage, kind, *segment);
      step_.graph.add_dependency(last, task);
      last = task;
    }
    for (int v = 0; !in_.gather_layers && !in_.overlap_gather && v < in_.map.chunks_per_stage(); ++v) {
      const int chunk = in_.map.at(stage, v);
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
  std::vector<TaskId> first_, last_;            // [cell]
  std::vector<std::vector<TaskId>> gathers_;    // [c][piece]
  std::vector<std::vector<TaskId>> reduces_;    // [c][piece]
  std::vector<std::vector<TaskId>> gradients_;  // [c][block]: the last task that gives gradients
  /// A piece of a pass with the gather in front of it and the reduction behind it.
  struct Slot {
    bool gathers = false, reduces = false;
    TaskId gather, reduce;
  };
  std::vector<Slot> slots_;                                 // of the stage at hand
  std::vector<std::size_t> first_slot_;                     // [op]
  std::vector<std::size_t> first_forward_, last_gradient_;  // [place on the rank]: of the order at hand
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
