#include "sim/schedule/chunk_graph.h"

#include <algorithm>
#include <limits>

namespace moeplan::sim {

namespace {

using base::TaskId;

enum Stream : std::size_t { kCompute, kCommunication, kSharedExperts, kHostCopies };

}  // namespace

ChunkBuilder::ChunkBuilder(const ChunkPlace& place)
    : stage_(place.stage),
      slow_(place.slow),
      recompute_(place.recompute),
      delays_weights_(place.delay_weight_gradients),
      streams_per_rank_(place.host_copies ? kHostCopies + 1 : kHostCopies) {}

void ChunkBuilder::open(TaskGraph& graph) {
  graph_ = &graph;
  first_stream_ = graph.add_streams(streams_per_rank_ * stage_.ranks.size());
  tails_.assign(stage_.ranks.size(), TaskId());
}

TaskId ChunkBuilder::add(base::StreamId stream, const Segment& segment, std::size_t rank) {
  // Communication does not get slower with the GPU that takes part in it.
  const std::size_t kind = (stream.index() - first_stream_.index()) % streams_per_rank_;
  const bool is_compute = kind == kCompute || kind == kSharedExperts;
  const base::Seconds alone =
      kind == kCompute ? segment.gpu_time() : segment.time();  // else as if it stood alone
  double factor = is_compute ? slow_[rank] : factors_.communication;
  if (is_compute && segment.time().s() > 0) {
    const CostSum& cost = segment.cost();
    const double products = cost.at(TimeClass::kGemm) + cost.at(TimeClass::kAttention);
    const double beside =
        products * (factors_.products - 1.0) + cost.at(TimeClass::kMemory) * (factors_.memory - 1.0);
    factor *= 1.0 + beside / std::max(alone.s(), std::numeric_limits<double>::min());
  }
  const TaskId task = graph_->add_task(stream, alone * factor);
  if (kind == kCompute && (segment.host().s() > 0.0 || segment.syncs()))
    graph_->set_launch(task, segment.host(), segment.syncs());
  tasks_.resize(graph_->tasks());
  tasks_[task.index()] = {&segment, factor, static_cast<std::int32_t>(rank), layer_};
  return task;
}

void ChunkBuilder::compute(const Segment& segment) {
  if (segment.empty()) return;
  for (std::size_t r = 0; r < stage_.ranks.size(); ++r) {
    const TaskId task = add(stream(r, kCompute), segment, r);
    if (tails_[r].valid()) graph_->add_dependency(tails_[r], task);
    tails_[r] = task;
  }
}

void ChunkBuilder::compute_each(const std::vector<Segment>& segments, const std::vector<TaskId>& after) {
  for (std::size_t r = 0; r < stage_.ranks.size(); ++r) {
    const TaskId task = add(stream(r, kCompute), segments[r], r);
    if (after[r].valid()) graph_->add_dependency(after[r], task);
    tails_[r] = task;
  }
}

std::vector<TaskId> ChunkBuilder::communicate(const std::vector<Segment>& segments,
                                              const std::vector<TaskId>& after) {
  const auto group = static_cast<std::size_t>(stage_.expert_group);
  std::vector<TaskId> done(stage_.ranks.size());
  for (std::size_t first = 0; first < done.size(); first += group) {
    const TaskId ready = graph_->add_join();
    tasks_.resize(graph_->tasks());
    for (std::size_t r = first; r < first + group; ++r) {
      if (after[r].valid()) graph_->add_dependency(after[r], ready);
    }
    for (std::size_t r = first; r < first + group; ++r) {
      done[r] = add(stream(r, kCommunication), segments[r], r);
      graph_->add_dependency(ready, done[r]);
    }
  }
  return done;
}

void ChunkBuilder::join_groups(int group_size) {
  const auto group = static_cast<std::size_t>(group_size);
  if (group <= 1) return;
  for (std::size_t first = 0; first < tails_.size(); first += group) {
    if (!tails_[first].valid()) continue;
    const TaskId join = graph_->add_join();
    tasks_.resize(graph_->tasks());
    for (std::size_t r = first; r < first + group; ++r) {
      graph_->add_dependency(tails_[r], join);
      tails_[r] = join;
    }
  }
}

void ChunkBuilder::barrier() { join_groups(stage_.block); }

std::vector<TaskId> ChunkBuilder::beside(const std::vector<Segment>& segments) {
  std::vector<TaskId> done(segments.size());
  for (std::size_t r = 0; r < segments.size(); ++r) {
    done[r] = add(stream(r, kSharedExperts), segments[r], r);
    if (tails_[r].valid()) graph_->add_dependency(tails_[r], done[r]);
  }
  return done;
}

/// Starts when all that was launched before is done; what comes behind does not wait for it.
std::vector<TaskId> ChunkBuilder::copy(const ChunkLayer& layer, Segment LayerCopies::*direction) {
  layer_ = layer.number;
  std::vector<TaskId> copied(stage_.ranks.size());
  for (std::size_t r = 0; r < copied.size(); ++r) {
    const LayerCopies& copies = (*layer.copies)[layer.copies->size() == 1 ? 0 : r];
    copied[r] = add(stream(r, kHostCopies), copies.*direction, r);
    if (tails_[r].valid()) graph_->add_dependency(tails_[r], copied[r]);
  }
  return copied;
}

void ChunkBuilder::wait_for(const std::vector<TaskId>& copied) {
  for (std::size_t r = 0; r < copied.size(); ++r) {
    const TaskId join = graph_->add_join();
    tasks_.resize(graph_->tasks());
    if (tails_[r].valid()) graph_->add_dependency(tails_[r], join);
    graph_->add_dependency(copied[r], join);
    tasks_[join.index()].awaited = tasks_[copied[r].index()].segment;
    tasks_[join.index()].before = tails_[r];
    tails_[r] = join;
  }
}

/// Nobody to exchange with.
void ChunkBuilder::routed_alone(const Way& way) {
  for (const auto* beside : {&way.beside_in, &way.beside_out}) {
    if (!beside->empty()) compute_each(*beside, tails_);
    if (beside == &way.beside_in)
      for (int i = 0; i < way.pieces; ++i) compute_each(way.work, tails_);
  }
}

void ChunkBuilder::routed(const Way& way) {
  if (way.in.empty()) return routed_alone(way);
  const auto pieces = static_cast<std::size_t>(way.pieces);
  std::vector<std::vector<TaskId>> arrived(pieces), worked(pieces);
  const std::vector<TaskId> shared_in = beside(way.beside_in);
  std::vector<TaskId> last = tails_;
  for (auto& piece : arrived) last = piece = communicate(way.in, last);
  for (std::size_t i = 0; i < pieces; ++i) {
    compute_each(way.work, arrived[i]);
    for (std::size_t r = 0; i == 0 && r < shared_in.size(); ++r)
      graph_->add_dependency(shared_in[r], tails_[r]);
    worked[i] = tails_;
  }
  const std::vector<TaskId> shared_out = beside(way.beside_out);
  for (const auto& piece : worked) last = communicate(way.out, piece);
  tails_ = last;
  for (std::size_t r = 0; r < shared_out.size(); ++r) {
    const TaskId join = graph_->add_join();
    tasks_.resize(graph_->tasks());
    tasks_[join.index()].rank = static_cast<std::int32_t>(r);
    graph_->add_dependency(tails_[r], join);
    graph_->add_dependency(shared_out[r], join);
    tails_[r] = join;
  }
}

/// The all-to-all in and the work on it, then the work on what goes out and its all-to-all.
void ChunkBuilder::fused(const FusedWay& way) {
  const std::vector<TaskId> first_in = communicate(way.first_in, tails_);
  const std::vector<TaskId> rest_in = communicate(way.rest_in, first_in);
  compute_each(way.most_work, first_in);
  compute_each(way.last_work, rest_in);
  compute_each(way.first_work, tails_);
  const std::vector<TaskId> first_work = tails_;
  compute_each(way.rest_work, first_work);
  const std::vector<TaskId> worked = tails_;
  communicate(way.most_out, first_work);
  const std::vector<TaskId> sent = communicate(way.last_out, worked);
  compute_each(way.weights, worked);
  tails_ = sent;
}

void ChunkBuilder::feed_forward(const ChunkLayer& layer) {
  compute(layer.kernels->before_forward);
  if (!layer.kernels->is_moe) return;
  const MoeTimes& moe = *layer.moe;
  if (!moe.fused_forward.first_in.empty())
    fused(moe.fused_forward);
  else
    routed({moe.dispatch, moe.experts, moe.combine, moe.shared_up, moe.shared_down, moe.pieces});
  compute(layer.kernels->after_forward);
}

void ChunkBuilder::forward(const ChunkLayer& layer) {
  layer_ = layer.number;
  join_groups(stage_.tensor_group);
  compute(layer.kernels->attention_forward);
  feed_forward(layer);
}

void ChunkBuilder::recompute(const ChunkLayer& layer) {
  if (recompute_.mode == RecomputeMode::kFull) forward(layer);
  join_groups(stage_.tensor_group);
  if (layer.kernels->is_moe && recompute_.mode == RecomputeMode::kSelective &&
      recompute_.has(RecomputeModule::kMoe))
    feed_forward(layer);
}

void ChunkBuilder::backward(const ChunkLayer& layer, bool whole) {
  layer_ = layer.number;
  const auto half = [whole](const BackwardSegment& s) -> const Segment& { return whole ? s.whole : s.input; };
  recompute(layer);
  if (layer.kernels->is_moe) {
    compute(half(layer.kernels->after_backward));
    const MoeTimes& moe = *layer.moe;
    if (!moe.fused_backward.first_in.empty())
      fused(moe.fused_backward);
    else
      routed({moe.combine_gradient, whole ? moe.experts_backward : moe.experts_input, moe.dispatch_gradient,
              moe.shared_down_backward, moe.shared_up_backward, moe.backward_pieces});
  }
  compute(half(layer.kernels->before_backward));
  compute(half(layer.kernels->attention_backward));
}

void ChunkBuilder::weights(const ChunkLayer& layer) {
  layer_ = layer.number;
  if (layer.kernels->is_moe) {
    compute(layer.kernels->after_backward.weight);
    for (int i = 0; i < layer.moe->backward_pieces; ++i) compute_each(layer.moe->experts_weight, tails_);
  }
  compute(layer.kernels->before_backward.weight);
  compute(layer.kernels->attention_backward.weight);
}

void ChunkBuilder::forward_layers(const ChunkWork& work) {
  std::vector<std::vector<TaskId>> copied;  // [offloaded layer]
  for (std::size_t i = 0; i < work.layers.size(); ++i) {
    const ChunkLayer& layer = work.layers[i];
    if (const int gone = work.offload.awaited_by_forward(static_cast<int>(i)); gone >= 0)
      wait_for(copied[static_cast<std::size_t>(gone)]);
    forward(layer);
    if (layer.copies != nullptr) copied.push_back(copy(layer, &LayerCopies::out));
  }
}

void ChunkBuilder::backward_layers(const ChunkWork& work, bool whole) {
  std::vector<std::vector<TaskId>> back(static_cast<std::size_t>(work.offload.offloaded));
  for (std::size_t i = work.layers.size(); i-- > 0;) {
    const ChunkLayer& layer = work.layers[i];
    if (const int next = work.offload.fetched_before_backward(static_cast<int>(i)); next >= 0) {
      const auto n = static_cast<std::size_t>(next);
      back[n] = copy(work.layers[n], &LayerCopies::in);
    }
    if (layer.copies != nullptr) wait_for(back[i]);
    backward(layer, whole);
  }
}

void ChunkBuilder::append(const ChunkWork& work, Pass pass) {
  const std::vector<ChunkLayer>& layers = work.layers;
  const ChunkEnds& ends = work.ends;
  const auto end = [&](const BackwardSegment* s) {
    if (s == nullptr) return;
    compute(pass == Pass::kBackward ? s->whole : (pass == Pass::kInput ? s->input : s->weight));
  };
  layer_ = -1;
  if (pass == Pass::kForward) {
    if (ends.first_forward != nullptr) compute(*ends.first_forward);
    forward_layers(work);
    layer_ = -1;
    if (ends.last_forward != nullptr) compute(*ends.last_forward);
    return;
  }
  end(ends.last_backward);
  if (pass == Pass::kWeight) {
    for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) weights(*layer);
  } else {
    backward_layers(work, pass == Pass::kBackward);
  }
  layer_ = -1;
  end(ends.first_backward);
}

namespace {

base::Seconds wait_for_host(const TaskGraph& graph, const Timeline& timeline, TaskId task) {
  const base::Seconds span = timeline.finish[task.index()] - timeline.start[task.index()];
  return span - base::Instant::from_ps(graph.duration_ps(task)).since_start();
}

/// The chain that ends in `last`. At a wait for a copy it goes on along what the rank did meanwhile, and not
/// along the copy, most of which may be hidden: so what counts for copies is what the rank waited.
std::vector<TaskId> find_chain(const Timeline& timeline, const ChunkBuilder& builder, TaskId last) {
  std::vector<TaskId> chain;
  for (TaskId task = last; task.valid();) {
    chain.push_back(task);
    const TaskId before = builder.tasks()[task.index()].before;
    task = before.valid() ? before : timeline.binding[task.index()];
  }
  std::reverse(chain.begin(), chain.end());
  return chain;
}

/// With the band and the evidence of the copy.
Estimate wait_for_copy(const Timeline& timeline, const ChunkBuilder::Task& wait, TaskId join) {
  Estimate estimate = wait.awaited->cost().estimate();
  estimate.time = timeline.start[join.index()] - timeline.finish[wait.before.index()];
  return estimate;
}

/// Runs what a builder has built and reads off when each block is done. `ends`: last tasks of all ranks.
ChunkTimes run_chunk(const ChunkPlace& place, const TaskGraph& graph, const ChunkBuilder& builder,
                     const std::vector<std::vector<TaskId>>& ends, bool keep_bars) {
  const StageRanks& stage = place.stage;
  const Timeline timeline = run(graph);
  ChunkTimes times;
  TaskId latest;
  const auto block = static_cast<std::size_t>(stage.block);
  for (std::size_t b = 0; b < stage.blocks(); ++b) {
    TaskId last;
    for (std::size_t r = b * block; r < (b + 1) * block; ++r) {
      for (const auto& tails : ends) {
        const TaskId tail = tails[r];
        if (tail.valid() && (!last.valid() || timeline.finish[last.index()] < timeline.finish[tail.index()]))
          last = tail;
      }
    }
    CostSum cost;
    for (const TaskId task : find_chain(timeline, builder, last)) {
      const ChunkBuilder::Task& what = builder.tasks()[task.index()];
      if (what.awaited != nullptr && what.before.valid())
        cost.add(TimeClass::kHostCopy, wait_for_copy(timeline, what, task));
      if (what.segment == nullptr) continue;
      cost.add(what.segment->cost(), what.factor);
      if (graph.stream(task).index() % builder.streams_per_rank() != kCompute) continue;
      // What it really waits for the host, in place of what it would wait alone.
      cost.add(TimeClass::kHost, exactly(what.segment->launch_wait(), Evidence::kAssumed), -what.factor);
      cost.add(TimeClass::kHost, exactly(wait_for_host(graph, timeline, task), Evidence::kAssumed));
    }
    times.critical.push_back(cost);
    times.duration.push_back(last.valid() ? timeline.finish[last.index()].since_start() : base::Seconds());
    if (last.valid() && (!latest.valid() || timeline.finish[latest.index()] < timeline.finish[last.index()]))
      latest = last;
  }
  if (!keep_bars || !latest.valid()) return times;
  const std::int32_t shown = place.shown >= 0 ? place.shown : builder.tasks()[latest.index()].rank;
  for (std::size_t t = 0; t < graph.tasks(); ++t) {
    const ChunkBuilder::Task& what = builder.tasks()[t];
    if (what.segment == nullptr || what.rank != shown) continue;
    const auto stream = static_cast<int>(graph.stream(TaskId::from(t)).index() % builder.streams_per_rank());
    const base::Seconds wait =
        stream == kCompute ? wait_for_host(graph, timeline, TaskId::from(t)) : what.segment->launch_wait();
    times.bars.push_back({what.segment, what.factor, timeline.start[t], wait, stream, what.layer});
  }
  return times;
}

}  // namespace

ChunkTimes simulate_chunk(const ChunkPlace& place, const ChunkWork& work, Pass pass, bool keep_bars) {
  TaskGraph graph;
  ChunkBuilder builder(place);
  const std::size_t per_layer =
      10 * place.stage.ranks.size() * (place.recompute.mode == RecomputeMode::kFull ? 2 : 1);
  graph.reserve(work.layers.size() * per_layer, 2 * work.layers.size() * per_layer);
  builder.open(graph);
  builder.append(work, pass);
  return run_chunk(place, graph, builder, {builder.tails()}, keep_bars);
}

ChunkTimes simulate_pair(const ChunkPlace& place, const ChunkWork& forward, const ChunkWork& backward,
                         const OverlapFactors& factors, bool keep_bars) {
  TaskGraph graph;
  ChunkBuilder builder(place);
  builder.open(graph);
  const std::vector<TaskId> forward_ends = builder.append_pair(forward, backward, factors);
  return run_chunk(place, graph, builder, {forward_ends, builder.tails()}, keep_bars);
}

}  // namespace moeplan::sim
