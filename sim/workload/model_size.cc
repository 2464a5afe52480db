#include <algorithm>

#include "sim/workload/model.h"

namespace moeplan::sim {

namespace {

std::int64_t mla_parameters(const ModelSpec& m) {
  const std::int64_t q_out = m.heads * (m.qk_nope_dim + m.qk_rope_dim);
  const std::int64_t q = m.q_lora_rank > 0 ? m.q_lora_rank * (m.hidden + q_out + 1) : m.hidden * q_out;
  const std::int64_t kv_down = m.hidden * (m.kv_lora_rank + m.qk_rope_dim) + m.kv_lora_rank;
  const std::int64_t kv_up = m.kv_lora_rank * m.heads * (m.qk_nope_dim + m.v_head_dim);
  return q + kv_down + kv_up + m.heads * m.v_head_dim * m.hidden;
}

std::int64_t qkv_width(const ModelSpec& m) {
  return m.heads * m.head_dim + m.kv_heads * (m.head_dim + m.value_dim());
}

std::int64_t gqa_matrices(const ModelSpec& m) { return m.hidden * (qkv_width(m) + m.heads * m.value_dim()); }

std::int64_t gqa_parameters(const ModelSpec& m) {
  return gqa_matrices(m) + (m.attention_bias ? qkv_width(m) : 0) + (m.qk_norm ? 2 * m.head_dim : 0);
}

/// Matrices of a feed-forward block: up, gate where gated, down.
std::int64_t matrices(const ModelSpec& m) { return m.gated ? 3 : 2; }

/// Keys that a query sees on average, causal.
double mean_keys(std::int64_t seq_len, std::int64_t window) {
  const auto s = static_cast<double>(seq_len);
  if (window <= 0 || window >= seq_len) return s / 2.0;
  const auto w = static_cast<double>(window);
  return w - w * w / (2.0 * s);
}

/// Multiply-adds of one token in the attention core and its projections.
double mixer_products(const ModelSpec& m, const LayerSpec& layer, std::int64_t seq_len) {
  const double keys = mean_keys(seq_len, layer.window);
  if (layer.mixer == MixerKind::kMla) {
    const auto width = static_cast<double>(m.heads * (m.qk_nope_dim + m.qk_rope_dim + m.v_head_dim));
    return static_cast<double>(mla_parameters(m)) + keys * width;
  }
  if (layer.mixer == MixerKind::kAttention) {
    const auto width = static_cast<double>(m.heads * (m.head_dim + m.value_dim()));
    return static_cast<double>(gqa_matrices(m)) + keys * width;
  }
  return 0.0;
}

double ffn_products(const ModelSpec& m, const LayerSpec& layer) {
  if (layer.ffn == FfnKind::kDense) return static_cast<double>(dense_ffn_parameters(m));
  if (layer.ffn == FfnKind::kNone) return 0.0;
  return static_cast<double>(m.top_k * expert_parameters(m) + matrices(m) * m.hidden * m.shared_ffn +
                             latent_parameters(m));
}

std::int64_t ffn_parameters(const ModelSpec& m, const LayerSpec& layer, std::int64_t routed) {
  if (layer.ffn == FfnKind::kDense) return dense_ffn_parameters(m);
  if (layer.ffn == FfnKind::kNone) return 0;
  return routed * expert_parameters(m) + shared_expert_parameters(m) + router_parameters(m) +
         latent_parameters(m);
}

/// The layer that an MTP block repeats: the last one of the model that has a feed-forward part.
LayerSpec mtp_layer(const ModelSpec& m) {
  LayerSpec layer = m.layers.empty() ? LayerSpec{} : m.layers.back();
  if (layer.mixer == MixerKind::kNone || layer.ffn == FfnKind::kNone) {
    layer.mixer = m.is_mla() ? MixerKind::kMla : MixerKind::kAttention;
    layer.ffn = m.is_moe() ? FfnKind::kMoe : FfnKind::kDense;
  }
  return layer;
}

std::int64_t layers_parameters(const ModelSpec& m, std::int64_t routed) {
  std::int64_t sum = 0;
  const auto add = [&](const LayerSpec& layer) {
    const int norms = (layer.mixer != MixerKind::kNone ? 1 : 0) + (layer.ffn != FfnKind::kNone ? 1 : 0);
    sum += attention_parameters(m, layer) + ffn_parameters(m, layer, routed) + norms * m.hidden;
  };
  for (const LayerSpec& layer : m.layers) add(layer);
  for (int i = 0; i < m.mtp_layers; ++i) {
    add(mtp_layer(m));
    sum += 2 * m.hidden * m.hidden + 3 * m.hidden;  // projection of [hidden, embedding], and its norms
  }
  return sum + m.hidden;  // final norm
}

}  // namespace

std::int64_t attention_parameters(const ModelSpec& model, const LayerSpec& layer) {
  switch (layer.mixer) {
    case MixerKind::kMla:
      return mla_parameters(model);
    case MixerKind::kAttention:
      return gqa_parameters(model);
    case MixerKind::kSparseAttention:
      return model.is_mla() ? mla_parameters(model) : gqa_parameters(model);
    case MixerKind::kMamba:
    case MixerKind::kLinearAttention:
    case MixerKind::kNone:
      return 0;
  }
  return 0;
}

std::int64_t dense_ffn_parameters(const ModelSpec& model) {
  return matrices(model) * model.hidden * model.dense_ffn;
}

std::int64_t expert_parameters(const ModelSpec& model) {
  return model.is_moe() ? matrices(model) * model.dispatch_width * model.expert_ffn : 0;
}

std::int64_t shared_expert_parameters(const ModelSpec& model) {
  return matrices(model) * model.hidden * model.shared_ffn + (model.shared_gate ? model.hidden : 0);
}

std::int64_t router_parameters(const ModelSpec& model) { return model.hidden * model.experts; }

std::int64_t latent_parameters(const ModelSpec& model) {
  return model.has_latent_experts() ? 2 * model.hidden * model.dispatch_width : 0;
}

std::int64_t embedding_parameters(const ModelSpec& model) { return model.vocab * model.hidden; }

std::int64_t total_parameters(const ModelSpec& model) {
  return layers_parameters(model, model.experts) +
         embedding_parameters(model) * (model.tied_embeddings ? 1 : 2);
}

std::int64_t active_parameters(const ModelSpec& model) {
  return layers_parameters(model, model.top_k) + embedding_parameters(model);
}

double training_flops_per_token(const ModelSpec& model, std::int64_t seq_len) {
  double products = 0.0;
  for (const LayerSpec& layer : model.layers) {
    products += mixer_products(model, layer, seq_len) + ffn_products(model, layer);
  }
  const LayerSpec extra = mtp_layer(model);
  const auto hidden = static_cast<double>(model.hidden);
  products += model.mtp_layers *
              (mixer_products(model, extra, seq_len) + ffn_products(model, extra) + 2.0 * hidden * hidden);
  products += (1 + model.mtp_layers) * static_cast<double>(embedding_parameters(model));
  return 6.0 * products;
}

}  // namespace moeplan::sim
