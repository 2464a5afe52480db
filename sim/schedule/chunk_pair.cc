// A forward of one micro-batch beside a backward of another.
#include <algorithm>
#include <utility>

#include "sim/schedule/chunk_graph.h"

namespace moeplan::sim {

namespace {

using base::TaskId;

}  // namespace

/// The all-to-all of the chain whose tails these are; nobody to exchange with: nothing to wait for.
void ChunkBuilder::send(const std::vector<Segment>& segments, std::vector<TaskId>& arrived) {
  arrived = segments.empty() ? tails_ : communicate(segments, tails_);
}

void ChunkBuilder::work_on(const std::vector<Segment>& segments, const std::vector<TaskId>& arrived) {
  compute_each(segments, arrived);
}

/// Order of layer i on the streams (o = compute, ~ = communication), F = forward, B = backward:
///
///     o after B, ~ combine gradient B       (of layer i, put out at the end of layer i - 1)
///     o attention and before F
///     ~ dispatch F        under   o experts B
///     ~ dispatch gradient B under o experts F
///     ~ combine F         under   o before and attention B
///     ~ combine gradient B of layer i + 1 under o after F, attention F of layer i + 1
std::vector<TaskId> ChunkBuilder::append_pair(const ChunkWork& forward, const ChunkWork& backward,
                                              const OverlapFactors& factors) {
  factors_ = factors;
  std::vector<TaskId> forward_tails = tails_;
  std::vector<TaskId> forward_arrived, backward_arrived;
  const std::size_t fs = forward.layers.size();
  const std::size_t bs = backward.layers.size();
  const auto in_forward = [&](auto&& step) {  // tails_ are those of the backward
    std::swap(tails_, forward_tails);
    step();
    std::swap(tails_, forward_tails);
  };
  const auto layer_f = [&](std::size_t i) -> const ChunkLayer& { return forward.layers[i]; };
  const auto layer_b = [&](std::size_t i) -> const ChunkLayer& { return backward.layers[bs - 1 - i]; };

  const auto open_backward = [&](std::size_t i) {
    if (i >= bs) return;
    layer_ = layer_b(i).number;
    recompute(layer_b(i));
    if (!layer_b(i).kernels->is_moe) return;
    compute(layer_b(i).kernels->after_backward.whole);
    send(layer_b(i).moe->combine_gradient, backward_arrived);
  };
  const auto open_forward = [&](std::size_t i) {
    if (i >= fs) return;
    layer_ = layer_f(i).number;
    join_groups(stage_.tensor_group);
    compute(layer_f(i).kernels->attention_forward);
    compute(layer_f(i).kernels->before_forward);
    if (layer_f(i).kernels->is_moe) send(layer_f(i).moe->dispatch, forward_arrived);
  };
  const auto experts_backward = [&](std::size_t i) {
    if (i >= bs || !layer_b(i).kernels->is_moe) return;
    layer_ = layer_b(i).number;
    work_on(layer_b(i).moe->experts_backward, backward_arrived);
  };
  const auto experts_forward = [&](std::size_t i) {
    if (i >= fs || !layer_f(i).kernels->is_moe) return;
    layer_ = layer_f(i).number;
    work_on(layer_f(i).moe->experts, forward_arrived);
  };
  const auto send_back = [&](std::size_t i) {
    if (i < bs && layer_b(i).kernels->is_moe) {
      layer_ = layer_b(i).number;
      send(layer_b(i).moe->dispatch_gradient, tails_);
    }
    if (i < fs && layer_f(i).kernels->is_moe) {
      layer_ = layer_f(i).number;
      in_forward([&] { send(layer_f(i).moe->combine, tails_); });
    }
  };
  const auto close_backward = [&](std::size_t i) {
    if (i >= bs) return;
    layer_ = layer_b(i).number;
    compute(layer_b(i).kernels->before_backward.whole);
    compute(layer_b(i).kernels->attention_backward.whole);
  };
  const auto close_forward = [&](std::size_t i) {
    if (i >= fs || !layer_f(i).kernels->is_moe) return;
    layer_ = layer_f(i).number;
    compute(layer_f(i).kernels->after_forward);
  };

  layer_ = -1;
  if (backward.ends.last_backward != nullptr) compute(backward.ends.last_backward->whole);
  open_backward(0);
  layer_ = -1;
  in_forward([&] {
    if (forward.ends.first_forward != nullptr) compute(*forward.ends.first_forward);
    open_forward(0);
  });
  for (std::size_t i = 0; i < std::max(fs, bs); ++i) {
    experts_backward(i);
    in_forward([&] { experts_forward(i); });
    send_back(i);
    close_backward(i);
    open_backward(i + 1);
    in_forward([&] {
      close_forward(i);
      open_forward(i + 1);
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
