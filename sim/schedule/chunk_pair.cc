// A forward of one micro-batch beside a backward of another.
#include <algorithm>
#include <utility>

#include "sim/schedule/chunk_graph.h"

namespace moeplan::sim {

namespace {

using base::TaskId;

bool has_experts(const ChunkLayer* layer) { return layer != nullptr && layer->kernels->is_moe; }

/// The layers in the order in which a pass meets them, and nothing behind the last one.
std::vector<const ChunkLayer*> in_order(const std::vector<ChunkLayer>& layers, bool reversed,
                                        std::size_t size) {
  std::vector<const ChunkLayer*> order;
  for (const ChunkLayer& layer : layers) order.push_back(&layer);
  if (reversed) std::reverse(order.begin(), order.end());
  order.resize(size);
  return order;
}

}  // namespace

void ChunkBuilder::send(const ChunkLayer& layer, const std::vector<Segment>& segments,
                        std::vector<TaskId>& arrived) {
  layer_ = layer.number;
  arrived = segments.empty() ? tails_ : communicate(segments, tails_);  // empty: nobody to exchange with
}

void ChunkBuilder::work_on(const ChunkLayer& layer, const std::vector<Segment>& segments,
                           const std::vector<TaskId>& arrived) {
  layer_ = layer.number;
  compute_each(segments, arrived);
}

/// With weight gradients delayed the dispatch gradient goes out between the halves.
void ChunkBuilder::experts_of_backward(const ChunkLayer& layer, const std::vector<TaskId>& arrived) {
  const MoeTimes& moe = *layer.moe;
  if (!delays_weights_) return work_on(layer, moe.experts_backward, arrived);
  work_on(layer, moe.experts_input, arrived);
  std::vector<TaskId> returned;
  send(layer, moe.dispatch_gradient, returned);
  compute_each(moe.experts_weight, tails_);
  tails_ = returned;
}

void ChunkBuilder::open_forward(const ChunkLayer* layer, std::vector<TaskId>& arrived) {
  if (layer == nullptr) return;
  layer_ = layer->number;
  join_groups(stage_.tensor_group);
  compute(layer->kernels->attention_forward);
  compute(layer->kernels->before_forward);
  if (has_experts(layer)) send(*layer, layer->moe->dispatch, arrived);
}

void ChunkBuilder::close_forward(const ChunkLayer* layer) {
  if (!has_experts(layer)) return;
  layer_ = layer->number;
  compute(layer->kernels->after_forward);
}

void ChunkBuilder::open_backward(const ChunkLayer* layer, std::vector<TaskId>& arrived) {
  if (layer == nullptr) return;
  layer_ = layer->number;
  recompute(*layer);
  if (!has_experts(layer)) return;
  const BackwardSegment& after = layer->kernels->after_backward;
  compute(delays_weights_ ? after.input : after.whole);
  send(*layer, layer->moe->combine_gradient, arrived);
}

void ChunkBuilder::close_backward(const ChunkLayer* layer) {
  if (layer == nullptr) return;
  layer_ = layer->number;
  for (const BackwardSegment* s : {&layer->kernels->before_backward, &layer->kernels->attention_backward})
    compute(delays_weights_ ? s->input : s->whole);
}

/// What close_backward and open_backward left: nobody waits for it but the end of the chunk.
void ChunkBuilder::delayed_weights(const ChunkLayer* layer) {
  if (layer == nullptr || !delays_weights_) return;
  layer_ = layer->number;
  const LayerTemplate& kernels = *layer->kernels;
  for (const BackwardSegment* s :
       {&kernels.before_backward, &kernels.attention_backward, &kernels.after_backward})
    compute(s->weight);
}

std::vector<TaskId> ChunkBuilder::append_pair(const ChunkWork& forward, const ChunkWork& backward,
                                              const OverlapFactors& factors) {
  factors_ = factors;
  std::vector<TaskId> forward_tails = tails_;  // tails_ are the backward's
  std::vector<TaskId> forward_arrived, backward_arrived;
  const auto in_forward = [&](auto&& step) {
    std::swap(tails_, forward_tails);
    step();
    std::swap(tails_, forward_tails);
  };
  const std::size_t steps = std::max(forward.layers.size(), backward.layers.size());
  const std::vector<const ChunkLayer*> fs = in_order(forward.layers, false, steps + 1);
  const std::vector<const ChunkLayer*> bs = in_order(backward.layers, true, steps + 1);

  layer_ = -1;
  if (backward.ends.last_backward != nullptr) compute(backward.ends.last_backward->whole);
  open_backward(bs[0], backward_arrived);
  in_forward([&] {
    layer_ = -1;
    if (forward.ends.first_forward != nullptr) compute(*forward.ends.first_forward);
    open_forward(fs[0], forward_arrived);
  });
  for (std::size_t i = 0; i < steps; ++i) {
    const ChunkLayer* f = fs[i];
    const ChunkLayer* b = bs[i];
    if (has_experts(b)) experts_of_backward(*b, backward_arrived);
    if (has_experts(f)) in_forward([&] { work_on(*f, f->moe->experts, forward_arrived); });
    if (has_experts(b) && !delays_weights_) send(*b, b->moe->dispatch_gradient, tails_);
    if (has_experts(f)) in_forward([&] { send(*f, f->moe->combine, tails_); });
    close_backward(b);
    open_backward(bs[i + 1], backward_arrived);
    delayed_weights(b);
    in_forward([&] {
      close_forward(f);
      open_forward(fs[i + 1], forward_arrived);
    });
  }
  layer_ = -1;
  if (backward.ends.first_backward != nullptr) compute(backward.ends.first_backward->whole);
  in_forward([&] {
    if (forward.ends.last_forward != nullptr) compute(*forward.ends.last_forward);
  });
  factors_ = {};
  return forward_tails;
}

}  // namespace moeplan::sim
