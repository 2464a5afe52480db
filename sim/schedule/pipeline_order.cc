#include "sim/schedule/pipeline_order.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "base/check.h"

namespace moeplan::sim {

namespace {

using Order = std::vector<PipelineOp>;

/// (micro-batch, chunk) of every virtual micro-batch, forward order.
Order virtual_order(int pp, int vp, int micro_batches) {
  Order order;
  for (int first = 0; first < micro_batches; first += pp) {
    const int end = std::min(first + pp, micro_batches);
    for (int chunk = 0; chunk < vp; ++chunk) {
      for (int m = first; m < end; ++m) order.push_back({chunk, m, Pass::kForward});
    }
  }
  return order;
}

/// 1F1B, and interleaved with vp > 1. With `pairs` one forward more comes first, so that the backward beside
/// a forward is another micro-batch's.
Order alternate(int pp, int vp, int stage, int micro_batches, bool pairs = false) {
  const Order forwards = virtual_order(pp, vp, micro_batches);
  Order backwards = forwards;
  for (PipelineOp& op : backwards) op = {vp - 1 - op.chunk, op.micro_batch, Pass::kBackward};
  const int wanted = (vp == 1 ? pp - stage - 1 : 2 * (pp - stage - 1) + (vp - 1) * pp) + (pairs ? 1 : 0);
  const std::size_t warm_up = std::min(static_cast<std::size_t>(wanted), forwards.size());

  Order order(forwards.begin(), forwards.begin() + static_cast<std::ptrdiff_t>(warm_up));
  std::size_t next_backward = 0;
  for (std::size_t f = warm_up; f < forwards.size(); ++f) {
    order.push_back(forwards[f]);
    order.back().beside_next = pairs;
    order.push_back(backwards[next_backward++]);
  }
  order.insert(order.end(), backwards.begin() + static_cast<std::ptrdiff_t>(next_backward), backwards.end());
  return order;
}

Order gpipe(int micro_batches) {
  Order order;
  for (int m = 0; m < micro_batches; ++m) order.push_back({0, m, Pass::kForward});
  for (int m = micro_batches - 1; m >= 0; --m) order.push_back({0, m, Pass::kBackward});
  return order;
}

Order zero_bubble_h1(int pp, int stage, int micro_batches) {
  Order order;
  int weights = 0;
  for (const PipelineOp& op : alternate(pp, 1, stage, micro_batches)) {
    if (op.pass == Pass::kForward) {
      order.push_back(op);
      continue;
    }
    order.push_back({0, op.micro_batch, Pass::kInput});
    if (op.micro_batch >= stage) order.push_back({0, weights++, Pass::kWeight});
  }
  while (weights < micro_batches) order.push_back({0, weights++, Pass::kWeight});
  return order;
}

/// Appends the passes of a rank with two chunks; each counts its own micro-batches.
class TwoChunks {
 public:
  /// Micro-batches of chunk i are first[i], first[i] + 1, ... (in all `count`).
  TwoChunks(std::pair<int, int> first, int count) : first_{first.first, first.second}, count_(count) {}

  void forward(int chunk) { add(chunk, Pass::kForward, forwards_[at(chunk)]++); }
  void backward(int chunk, bool split) {
    const int m = backwards_[at(chunk)]++;
    add(chunk, split ? Pass::kInput : Pass::kBackward, m);
    if (split) delayed_.emplace_back(chunk, m);
  }
  /// The oldest weight gradient that is left to do, of any chunk.
  void weight() {
    MOEPLAN_CHECK(!delayed_.empty(), "a weight gradient follows its input gradient");
    const auto [chunk, m] = delayed_.front();
    delayed_.pop_front();
    add(chunk, Pass::kWeight, m);
  }
  /// The oldest one of this chunk; false where none is left.
  bool weight(int chunk) {
    const auto found = std::find_if(delayed_.begin(), delayed_.end(),
                                    [chunk](const auto& one) { return one.first == chunk; });
    if (found == delayed_.end()) return false;
    const int m = found->second;
    delayed_.erase(found);
    add(chunk, Pass::kWeight, m);
    return true;
  }
  /// A forward under a backward.
  void both(int forward_chunk, int backward_chunk) {
    forward(forward_chunk);
    order_.back().beside_next = true;
    backward(backward_chunk, false);
  }
  void finish() {
    while (!delayed_.empty()) weight();
  }
  int forwards(int chunk) const { return forwards_[static_cast<std::size_t>(chunk)]; }
  Order take() { return std::move(order_); }

 private:
  static std::size_t at(int chunk) { return static_cast<std::size_t>(chunk); }
  /// Micro-batches past the last one are left out: the order of more is taken where there are too few.
  void add(int chunk, Pass pass, int m) {
    if (m < count_) order_.push_back({chunk, first_[at(chunk)] + m, pass});
  }

  int first_[2];
  int count_;
  int forwards_[2] = {0, 0};
  int backwards_[2] = {0, 0};
  std::deque<std::pair<int, int>> delayed_;  // chunk, micro-batch
  Order order_;
};

Order zero_bubble_v(int pp, int stage, int micro_batches) {
  const int count = std::max(2 * pp - 1, micro_batches);  // the order needs so many; what is too much is cut
  TwoChunks work({0, 0}, micro_batches);
  for (int i = 0; i < 2 * (pp - stage) - 1; ++i) work.forward(0);
  for (int i = 0; i < stage; ++i) {
    work.forward(1);
    work.forward(0);
  }
  const auto backward_and_weight = [&work](int chunk) {
    work.backward(chunk, true);
    work.weight(chunk);
  };
  for (int i = 0; i < pp - stage; ++i) {
    work.forward(1);
    backward_and_weight(1);
  }
  while (work.forwards(1) < work.forwards(0) || work.forwards(0) < count) {
    if (work.forwards(0) < count) work.forward(0);
    backward_and_weight(0);
    work.forward(1);
    backward_and_weight(1);
  }
  for (int i = 0; i < stage; ++i) {
    work.backward(0, true);
    work.backward(1, true);
  }
  for (int i = 0; i < pp - stage; ++i) {
    work.backward(0, true);
    work.weight(0);
  }
  while (work.weight(1)) {
  }
  work.finish();
  return work.take();
}

/// `half` ranks stand between an end and the middle, `place` of them before this one; `near` and `far` are
/// the chunks of the way that enters nearer and of the other; `count` micro-batches go either way.
Order dual_pipe(int half, int place, int near, int far, std::pair<int, int> first, int count) {
  TwoChunks work(first, count);
  const int rest = half - place - 1;
  for (int i = 0; i < 2 * rest; ++i) work.forward(near);
  for (int i = 0; i <= place; ++i) {
    work.forward(near);
    work.forward(far);
  }
  for (int i = 0; i < rest; ++i) {
    work.backward(far, true);
    work.weight();
    work.forward(far);
  }
  for (int i = 0; i < count - 2 * half + place + 1; ++i) {
    if (i == 0 && rest == 0) {
      work.forward(near);
      work.backward(far, false);
    } else {
      work.both(near, far);
    }
    work.both(far, near);
  }
  for (int i = 0; i < rest; ++i) {
    work.backward(far, false);
    work.both(far, near);
  }
  // The second half of 2 (place + 1) backwards is split: place + 1 of them.
  for (int i = 0; i < 2 * (place + 1); ++i) work.backward(i % 2 == 0 ? far : near, i >= place + 1);
  for (int i = 0; i < rest; ++i) {
    work.weight();
    work.backward(near, true);
  }
  work.finish();
  return work.take();
}

}  // namespace

std::vector<PipelineOp> pipeline_order(const ChunkMap& map, int stage, int micro_batches) {
  const int pp = map.stages();
  switch (map.schedule()) {
    case PipelineSchedule::kOneForwardOneBackward:
    case PipelineSchedule::kInterleaved:
      return alternate(pp, map.chunks_per_stage(), stage, micro_batches, map.pairs());
    case PipelineSchedule::kGpipe:
      return gpipe(micro_batches);
    case PipelineSchedule::kZeroBubbleH1:
      return zero_bubble_h1(pp, stage, micro_batches);
    case PipelineSchedule::kZeroBubbleV:
      return zero_bubble_v(pp, stage, micro_batches);
    case PipelineSchedule::kDualPipe: {
      const int half = pp / 2;
      const bool second = stage >= half;
      return dual_pipe(half, std::min(stage, pp - 1 - stage), second ? 1 : 0, second ? 0 : 1,
                       {0, micro_batches / 2}, micro_batches / 2);
    }
    case PipelineSchedule::kDualPipeV:
      return dual_pipe(pp, stage, 0, 1, {0, 0}, micro_batches);
  }
  return {};
}

std::vector<InFlight> find_peak(const std::vector<PipelineOp>& order,
                                const std::vector<std::pair<double, double>>& weights) {
  std::vector<InFlight> now(weights.size());
  std::vector<InFlight> peak = now;
  double most = -1.0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const PipelineOp& op = order[i];
    InFlight& chunk = now[static_cast<std::size_t>(op.chunk)];
    if (op.pass == Pass::kForward) ++chunk.activations;
    double kept = 0.0;
    for (std::size_t c = 0; c < now.size(); ++c)
      kept += now[c].activations * weights[c].first + now[c].stashed * weights[c].second;
    if (kept > most) {
      most = kept;
      peak = now;
    }
    if (op.pass == Pass::kBackward || op.pass == Pass::kInput) --chunk.activations;
    if (op.pass == Pass::kInput) ++chunk.stashed;
    if (op.pass == Pass::kWeight) --chunk.stashed;
  }
  return peak;
}

}  // namespace moeplan::sim
