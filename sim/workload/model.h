#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/document.h"

namespace moeplan::sim {

/// How a layer mixes tokens. Kinds other than kAttention and kMla import, but have no cost: simulate and plan
/// refuse them by name (ModelSpec::kinds_without_cost).
enum class MixerKind { kAttention, kMla, kMamba, kLinearAttention, kSparseAttention, kNone };
std::string_view name(MixerKind kind);

enum class FfnKind { kDense, kMoe, kNone };
std::string_view name(FfnKind kind);

struct LayerSpec {
  MixerKind mixer = MixerKind::kAttention;
  FfnKind ffn = FfnKind::kMoe;
  std::int64_t window = 0;  ///< sliding window in tokens; 0 = all
};

/// A decoder-only transformer as its config.json states it. Widths in elements.
struct ModelSpec {
  std::string name;          ///< file stem, or the config's own name
  std::string architecture;  ///< "Qwen3MoeForCausalLM"
  std::int64_t hidden = 0;
  std::int64_t vocab = 0;
  bool tied_embeddings = false;
  std::vector<LayerSpec> layers;
  int mtp_layers = 0;  ///< multi-token-prediction blocks; each holds one more layer like the last

  // Attention.
  int heads = 0;
  int kv_heads = 0;
  std::int64_t head_dim = 0;      ///< q/k/v head width of kAttention layers
  std::int64_t q_lora_rank = 0;   ///< MLA; 0 = queries are projected directly
  std::int64_t kv_lora_rank = 0;  ///< MLA
  std::int64_t qk_nope_dim = 0;   ///< MLA
  std::int64_t qk_rope_dim = 0;   ///< MLA
  std::int64_t v_head_dim = 0;    ///< MLA; of kAttention layers only where it differs from head_dim
  bool attention_bias = false;    ///< q, k and v projections have biases
  bool qk_norm = false;           ///< RMS norm of queries and keys per head

  // Feed-forward.
  std::int64_t dense_ffn = 0;  ///< width of dense layers; 0 where every layer is MoE
  bool gated = true;           ///< SwiGLU and its kin: fc1 has two halves
  int experts = 0;             ///< routed experts per MoE layer; 0 = dense model
  int top_k = 0;
  std::int64_t expert_ffn = 0;
  std::int64_t shared_ffn = 0;  ///< total width of the shared experts; 0 = none
  bool expert_bias = false;     ///< the experts' projections have biases (gpt-oss)
  bool shared_gate = false;     ///< a sigmoid gate scales the shared expert's output (Qwen2-MoE and its kin)
  std::int64_t dispatch_width =
      0;           ///< elements per token that the all-to-all carries: hidden, or the latent width
  int groups = 0;  ///< group-limited routing; 0 or 1 = none
  int topk_groups = 0;
  std::string scoring;  ///< "softmax", "sigmoid", ...

  std::vector<std::string> notes;  ///< what the importer assumed or could not express

  int moe_layers() const;
  bool is_moe() const { return experts > 0; }
  bool is_mla() const { return kv_lora_rank > 0; }
  bool has_latent_experts() const { return is_moe() && dispatch_width != hidden; }
  /// Width of a value head of kAttention layers.
  std::int64_t value_dim() const { return v_head_dim > 0 ? v_head_dim : head_dim; }
  /// Names of the layer kinds that have no cost function, each once; empty = can be simulated.
  std::vector<std::string> kinds_without_cost() const;
};

/// Reads a Hugging Face config.json. Unknown keys are not errors (the file is not ours); missing dimensions,
/// impossible values and unknown layer kinds are, with their place. Source of names: docs/formats/model.md.
ModelSpec load_model(const std::string& path);
ModelSpec import_model(const base::Document& config, std::string name);

/// Costs the layers of a kind that has no cost as full attention of the model's own heads, and says so in
/// `notes`. `assumption` is "KIND=attention", KIND as kinds_without_cost() names it. Throws InputError:
/// another form, a kind that the model lacks or that has a cost, a model without attention heads. Not
/// modelled: what such a layer really costs; a recurrent or sparse one is cheaper over long sequences.
void assume_attention(ModelSpec& model, const std::string& assumption);

/// Weights, in elements. For one layer of kind `layer`, over all ranks.
std::int64_t attention_parameters(const ModelSpec& model,
                                  const LayerSpec& layer);  ///< projections and their norms
std::int64_t dense_ffn_parameters(const ModelSpec& model);
std::int64_t expert_parameters(const ModelSpec& model);         ///< one routed expert
std::int64_t shared_expert_parameters(const ModelSpec& model);  ///< all shared experts, with their gate
std::int64_t router_parameters(const ModelSpec& model);
std::int64_t latent_parameters(
    const ModelSpec& model);  ///< hidden <-> dispatch_width around the experts; 0 where they are equal
std::int64_t embedding_parameters(
    const ModelSpec& model);  ///< one table (input); the output head is another if not tied
std::int64_t total_parameters(const ModelSpec& model);
std::int64_t active_parameters(const ModelSpec& model);  ///< per token, without the input embedding

/// Model FLOPs of one token, forward and backward (3 x forward), as Megatron-Core's
/// `num_floating_point_operations` counts them.
///
/// Model:   6 * (attention projections + expert_ffn and dense matrices + heads * (qk + v) * s/2 + vocab *
/// hidden);
///          an MTP block counts as one more layer, one more output head and its 2h x h projection
/// Symbols: s = seq_len; causal attention counts half of seq^2, a window w counts w - w^2/(2s) keys a token
/// Not counted: router, norms, embedding look-up. Layer kinds without a cost count their feed-forward part
/// only. Source:  agrees with the published GFLOP per token of DeepSeek-V3 (260), Kimi-K2 (204.5), Qwen3-235B
/// (148.0)
///          and Qwen3-30B (23.0) at s = 4096 (Megatron-Bridge performance summaries) to 0.1 %
double training_flops_per_token(const ModelSpec& model, std::int64_t seq_len);

/// What `moeplan show model` prints.
std::string describe(const ModelSpec& model);

}  // namespace moeplan::sim
