// Attention: grouped-query and multi-head latent, forward and backward.
#include <algorithm>
#include <cmath>

#include "sim/schedule/layer_kernels.h"

namespace moeplan::sim {

namespace {

constexpr double kBf16Bytes = 2.0;

double product(std::int64_t a, std::int64_t b) { return static_cast<double>(a) * static_cast<double>(b); }

/// Keys that a query of a causal layer with a window sees on average.
double mean_keys(std::int64_t seq_len, std::int64_t window) {
  const auto s = static_cast<double>(seq_len);
  const auto w = static_cast<double>(window);
  return w - w * w / (2.0 * s);
}

std::int64_t per_rank(int heads, int tp) { return std::max(1, heads / tp); }

}  // namespace

AttentionShape LayerKernels::core_shape(const LayerSpec& layer, CorePart part, std::int64_t document) const {
  // Ranks that exchange heads see the tokens of all of them, and so many fewer heads.
  const int split = tp_ * plan_.cp_heads();
  const int ring = plan_.cp_ring();
  AttentionShape shape;
  const std::int64_t length = document > 0 ? document : tokens_.seq_len;
  const double documents = static_cast<double>(tokens_.seq_len) / static_cast<double>(length);
  shape.batch = std::max<std::int64_t>(1, std::llround(static_cast<double>(tokens_.sequences) * documents));
  shape.seq_q = std::max<std::int64_t>(1, length / ring);
  shape.seq_kv = length;
  shape.heads = per_rank(model_.heads, split);
  if (layer.mixer == MixerKind::kMla) {
    shape.kv_heads = shape.heads;
    shape.qk_dim = model_.qk_nope_dim + model_.qk_rope_dim;
    shape.v_dim = model_.v_head_dim;
  } else {
    shape.kv_heads = per_rank(model_.kv_heads, split);
    shape.qk_dim = model_.head_dim;
    shape.v_dim = model_.value_dim();
  }
  // A window, and the balanced share of a context-parallel rank, as the same number of pairs without a mask.
  const bool windowed = layer.window > 0 && layer.window < length;
  if (part != CorePart::kAll) {
    shape.causal = part == CorePart::kOwn;
    shape.seq_kv = shape.causal ? shape.seq_q : std::max<std::int64_t>(1, shape.seq_q / 2);
  } else if (windowed || ring > 1) {
    const double keys = windowed ? mean_keys(length, layer.window) : static_cast<double>(length) / 2.0;
    shape.seq_kv = std::max<std::int64_t>(1, std::llround(keys));
    shape.causal = false;
  }
  return shape;
}

void LayerKernels::unfused_core(Segment& segment, const AttentionShape& shape, AttentionPass pass) const {
  const std::int64_t rows = shape.batch * shape.heads * shape.seq_q;
  const double scores = product(rows, shape.seq_kv);
  const auto multiply = [&](std::int64_t n, std::int64_t k) {
    segment.add("attention", TimeClass::kAttention,
                profile_.gemm({rows, n, k, NumberFormat::kBf16, GemmPass::kForward}));
  };
  if (pass == AttentionPass::kForward) {
    multiply(shape.seq_kv, shape.qk_dim);
    memory(segment, "softmax", MemoryOp::kNorm, 4.0 * scores);
    memory(segment, "dropout", MemoryOp::kAdd, 5.0 * scores);
    multiply(shape.v_dim, shape.seq_kv);
    return;
  }
  multiply(shape.v_dim, shape.seq_kv);  // gradient of the values
  multiply(shape.seq_kv, shape.v_dim);  // of the scores
  memory(segment, "dropout", MemoryOp::kAdd, 5.0 * scores);
  memory(segment, "softmax", MemoryOp::kNorm, 6.0 * scores);
  multiply(shape.qk_dim, shape.seq_kv);  // of queries and keys
  multiply(shape.qk_dim, shape.seq_kv);
}

void LayerKernels::gqa_projections(Segment& segment, bool is_backward) const {
  const std::int64_t q = per_rank(model_.heads, tp_) * model_.head_dim;
  const std::int64_t k = per_rank(model_.kv_heads, tp_) * model_.head_dim;
  const std::int64_t v = per_rank(model_.kv_heads, tp_) * model_.value_dim();
  const double rotated = 2.0 * product(tokens_.region, q + k) * kBf16Bytes;
  const Linear qkv{"qkv", tokens_.region, model_.hidden, q + k + v};
  if (is_backward) {
    memory(segment, "rope", MemoryOp::kRope, rotated);
    if (model_.qk_norm) norm_backward(segment, tokens_.region, q + k);
    backward(segment, qkv, gather(tokens_.region, model_.hidden), scatter(tokens_.region, model_.hidden));
    return;
  }
  enter_region(segment);
  forward(segment, qkv);
  if (model_.qk_norm) norm_forward(segment, tokens_.region, q + k);
  memory(segment, "rope", MemoryOp::kRope, rotated);
}

void LayerKernels::mla_forward(Segment& segment) const {
  const std::int64_t heads = per_rank(model_.heads, tp_);
  const std::int64_t q_out = heads * (model_.qk_nope_dim + model_.qk_rope_dim);
  if (model_.q_lora_rank > 0) {
    forward(segment, {"q down", tokens_.local, model_.hidden, model_.q_lora_rank});
    norm_forward(segment, tokens_.local, model_.q_lora_rank);
  }
  forward(segment, {"kv down", tokens_.local, model_.hidden, model_.kv_lora_rank + model_.qk_rope_dim});
  norm_forward(segment, tokens_.local, model_.kv_lora_rank);
  collective(segment, "tp all-gather",
             gather(tokens_.region, (model_.q_lora_rank > 0 ? model_.q_lora_rank : model_.hidden) +
                                        model_.kv_lora_rank + model_.qk_rope_dim));
  forward(segment,
          {"q up", tokens_.region, model_.q_lora_rank > 0 ? model_.q_lora_rank : model_.hidden, q_out});
  forward(segment,
          {"kv up", tokens_.region, model_.kv_lora_rank, heads * (model_.qk_nope_dim + model_.v_head_dim)});
  // Rotates the positional part and copies it into the concatenated q and k.
  memory(segment, "rope", MemoryOp::kRope, 2.0 * product(tokens_.region, 2 * q_out) * kBf16Bytes);
}

void LayerKernels::mla_backward(Segment& segment) const {
  const std::int64_t heads = per_rank(model_.heads, tp_);
  const std::int64_t q_out = heads * (model_.qk_nope_dim + model_.qk_rope_dim);
  const std::int64_t q_in = model_.q_lora_rank > 0 ? model_.q_lora_rank : model_.hidden;
  memory(segment, "rope", MemoryOp::kRope, 2.0 * product(tokens_.region, 2 * q_out) * kBf16Bytes);
  backward(segment,
           {"kv up", tokens_.region, model_.kv_lora_rank, heads * (model_.qk_nope_dim + model_.v_head_dim)},
           gather(tokens_.region, model_.kv_lora_rank),
           scatter(tokens_.region, model_.kv_lora_rank + model_.qk_rope_dim));
  backward(segment, {"q up", tokens_.region, q_in, q_out}, gather(tokens_.region, q_in),
           scatter(tokens_.region, q_in));
  norm_backward(segment, tokens_.local, model_.kv_lora_rank);
  backward(segment, {"kv down", tokens_.local, model_.hidden, model_.kv_lora_rank + model_.qk_rope_dim});
  if (model_.q_lora_rank > 0) {
    norm_backward(segment, tokens_.local, model_.q_lora_rank);
    backward(segment, {"q down", tokens_.local, model_.hidden, model_.q_lora_rank});
  }
}

Segment LayerKernels::attention_forward(const LayerSpec& layer, std::int64_t document) const {
  Segment segment;
  if (layer.mixer == MixerKind::kNone) return segment;
  const bool mla = layer.mixer == MixerKind::kMla;
  const std::int64_t out_in = per_rank(model_.heads, tp_) * (mla ? model_.v_head_dim : model_.value_dim());
  norm_forward(segment, tokens_.local, model_.hidden);
  if (mla) {
    mla_forward(segment);
  } else {
    gqa_projections(segment, false);
  }
  context_core(segment, layer, AttentionPass::kForward, document);
  forward(segment, {"out projection", tokens_.region, out_in, model_.hidden});
  leave_region(segment);
  memory(segment, "residual", MemoryOp::kAdd, 3.0 * product(tokens_.local, model_.hidden) * kBf16Bytes);
  if (!graph_.attention) wait_for_launches(segment);
  return segment;
}

Segment LayerKernels::attention_backward(const LayerSpec& layer, std::int64_t document) const {
  Segment segment;
  if (layer.mixer == MixerKind::kNone) return segment;
  const bool mla = layer.mixer == MixerKind::kMla;
  const std::int64_t out_in = per_rank(model_.heads, tp_) * (mla ? model_.v_head_dim : model_.value_dim());
  enter_region(segment);
  backward(segment, {"out projection", tokens_.region, out_in, model_.hidden});
  if (mla && recomputes(RecomputeModule::kMlaUpProj)) {
    const std::int64_t heads = per_rank(model_.heads, tp_);
    forward(segment, {"q up", tokens_.region, model_.q_lora_rank > 0 ? model_.q_lora_rank : model_.hidden,
                      heads * (model_.qk_nope_dim + model_.qk_rope_dim)});
    forward(segment,
            {"kv up", tokens_.region, model_.kv_lora_rank, heads * (model_.qk_nope_dim + model_.v_head_dim)});
  }
  context_core(segment, layer, AttentionPass::kBackward, document);
  if (mla) {
    mla_backward(segment);
  } else {
    gqa_projections(segment, true);
  }
  norm_backward(segment, tokens_.local, model_.hidden);
  memory(segment, "residual", MemoryOp::kAdd, 3.0 * product(tokens_.local, model_.hidden) * kBf16Bytes);
  if (!graph_.attention) wait_for_launches(segment);
  return segment;
}

}  // namespace moeplan::sim
