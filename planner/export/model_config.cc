#include "planner/export/model_config.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "base/json_writer.h"

namespace moeplan::planner {

namespace {

std::int64_t check_layers(const sim::ModelSpec& model) {
  std::int64_t window = 0;
  for (const sim::LayerSpec& layer : model.layers) {
    const bool plain = (layer.mixer == sim::MixerKind::kAttention || layer.mixer == sim::MixerKind::kMla) && layer.ffn != sim::FfnKind::kNone;
    if (!plain || (layer.window > 0 && window > 0 && layer.window != window)) {
      throw base::InputError(fmt::format("{}: layers that are not attention with a feed-forward part and one sliding window cannot be written yet", model.name));
    }
    window = std::max(window, layer.window);
  }
  return window;
}

void write_attention(const sim::ModelSpec& m, base::JsonWriter& json) {
  json.field("num_attention_heads", m.heads);
  json.field("num_key_value_heads", m.kv_heads);
  if (m.is_mla()) {
    if (m.q_lora_rank > 0) json.field("q_lora_rank", m.q_lora_rank);
    json.field("kv_lora_rank", m.kv_lora_rank);
    json.field("qk_nope_head_dim", m.qk_nope_dim);
    json.field("qk_rope_head_dim", m.qk_rope_dim);
    json.field("v_head_dim", m.v_head_dim);
    return;
  }
  json.field("head_dim", m.head_dim);
  if (m.v_head_dim > 0) json.field("v_head_dim", m.v_head_dim);
  json.field("attention_bias", m.attention_bias);
  json.field("qk_norm", m.qk_norm);
}

void write_windows(const sim::ModelSpec& m, std::int64_t window, base::JsonWriter& json) {
  if (window == 0) return;
  json.field("sliding_window", window);
  json.key("layer_types");
  json.begin_array();
  for (const sim::LayerSpec& layer : m.layers) json.value(layer.window > 0 ? "sliding_attention" : "full_attention");
  json.end_array();
}

void write_experts(const sim::ModelSpec& m, base::JsonWriter& json) {
  json.field("num_experts", m.experts);
  json.field("num_experts_per_tok", m.top_k);
  json.field("moe_intermediate_size", m.expert_ffn);
  std::vector<std::int64_t> pattern;
  for (const sim::LayerSpec& layer : m.layers) pattern.push_back(layer.ffn == sim::FfnKind::kMoe ? 1 : 0);
  json.key("moe_layer_freq");
  json.inline_array(pattern);
  if (m.dense_ffn > 0) json.field("dense_intermediate_size", m.dense_ffn);
  if (m.shared_ffn > 0) json.field(m.shared_gate ? "shared_expert_intermediate_size" : "moe_shared_expert_intermediate_size", m.shared_ffn);
  if (m.has_latent_experts()) json.field("moe_latent_size", m.dispatch_width);
  if (m.groups > 0) json.field("n_group", m.groups);
  if (m.topk_groups > 0) json.field("topk_group", m.topk_groups);
  json.field("scoring_func", m.scoring);
}

}  // namespace

std::string write_model_config(const sim::ModelSpec& m) {
  const std::int64_t window = check_layers(m);
  base::JsonWriter json;
  json.begin_object();
  if (!m.architecture.empty()) {
    json.key("architectures");
    json.begin_array();
    json.value(m.architecture);
    json.end_array();
  }
  if (m.shared_gate) json.field("model_type", "qwen2_moe");
  json.field("hidden_size", m.hidden);
  json.field("vocab_size", m.vocab);
  json.field("tie_word_embeddings", m.tied_embeddings);
  json.field("num_hidden_layers", m.layers.size());
  json.field("gated_linear_unit", m.gated);
  write_attention(m, json);
  write_windows(m, window, json);
  if (m.is_moe()) {
    write_experts(m, json);
  } else {
    json.field("intermediate_size", m.dense_ffn);
  }
  if (m.mtp_layers > 0) json.field("num_nextn_predict_layers", m.mtp_layers);
  json.end_object();
  return json.text();
}

}  // namespace moeplan::planner
