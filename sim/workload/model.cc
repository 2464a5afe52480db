#include "sim/workload/model.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/diagnostics.h"

namespace moeplan::sim {

std::string_view name(MixerKind kind) {
  switch (kind) {
    case MixerKind::kAttention:
      return "attention";
    case MixerKind::kMla:
      return "mla";
    case MixerKind::kMamba:
      return "mamba";
    case MixerKind::kLinearAttention:
      return "linear-attention";
    case MixerKind::kSparseAttention:
      return "sparse-attention";
    case MixerKind::kNone:
      return "none";
  }
  return "?";
}

std::string_view name(FfnKind kind) {
  switch (kind) {
    case FfnKind::kDense:
      return "dense";
    case FfnKind::kMoe:
      return "moe";
    case FfnKind::kNone:
      return "none";
  }
  return "?";
}

int ModelSpec::moe_layers() const {
  return static_cast<int>(std::count_if(layers.begin(), layers.end(),
                                        [](const LayerSpec& layer) { return layer.ffn == FfnKind::kMoe; }));
}

std::vector<std::string> ModelSpec::kinds_without_cost() const {
  std::vector<std::string> kinds;
  for (const MixerKind kind : {MixerKind::kMamba, MixerKind::kLinearAttention, MixerKind::kSparseAttention}) {
    const bool used = std::any_of(layers.begin(), layers.end(),
                                  [kind](const LayerSpec& layer) { return layer.mixer == kind; });
    if (used) kinds.emplace_back(sim::name(kind));
  }
  return kinds;
}

namespace {

/// "3-60", "1, 3, 5": which layers satisfy a predicate, 0-based.
template <class Predicate>
std::string layer_ranges(const ModelSpec& model, Predicate predicate) {
  std::string text;
  for (std::size_t i = 0; i < model.layers.size();) {
    if (!predicate(model.layers[i])) {
      ++i;
      continue;
    }
    std::size_t end = i;
    while (end + 1 < model.layers.size() && predicate(model.layers[end + 1])) ++end;
    text += text.empty() ? "" : ", ";
    text += i == end ? fmt::format("{}", i) : fmt::format("{}-{}", i, end);
    i = end + 1;
  }
  return text;
}

std::string describe_mixers(const ModelSpec& model) {
  std::string text;
  for (const MixerKind kind : {MixerKind::kAttention, MixerKind::kMla, MixerKind::kMamba,
                               MixerKind::kLinearAttention, MixerKind::kSparseAttention}) {
    const std::string where = layer_ranges(model, [kind](const LayerSpec& l) { return l.mixer == kind; });
    if (!where.empty()) text += fmt::format("  {:<18} layers {}\n", name(kind), where);
  }
  const std::string windowed = layer_ranges(model, [](const LayerSpec& l) { return l.window > 0; });
  if (!windowed.empty()) text += fmt::format("  {:<18} layers {}\n", "sliding window", windowed);
  return text;
}

}  // namespace

std::string describe(const ModelSpec& model) {
  std::string text = fmt::format("model {}", model.name);
  if (!model.architecture.empty()) text += fmt::format(" ({})", model.architecture);
  text += fmt::format("\n  {:<18} {}{}\n", "layers", model.layers.size(),
                      model.mtp_layers > 0 ? fmt::format(" + {} MTP", model.mtp_layers) : "");
  text += fmt::format("  {:<18} {}, vocabulary {}{}\n", "hidden", model.hidden, model.vocab,
                      model.tied_embeddings ? ", tied embeddings" : "");
  text += describe_mixers(model);
  if (model.is_mla()) {
    text += fmt::format("  {:<18} {} (q rank {}, kv rank {}, qk {}+{}, v {})\n", "heads", model.heads,
                        model.q_lora_rank, model.kv_lora_rank, model.qk_nope_dim, model.qk_rope_dim,
                        model.v_head_dim);
  } else {
    text += fmt::format("  {:<18} {} / {} key-value, {} wide\n", "heads", model.heads, model.kv_heads,
                        model.head_dim);
  }
  if (model.dense_ffn > 0) {
    text += fmt::format("  {:<18} width {}, layers {}\n", "dense ffn", model.dense_ffn,
                        layer_ranges(model, [](const LayerSpec& l) { return l.ffn == FfnKind::kDense; }));
  }
  if (model.is_moe()) {
    text += fmt::format("  {:<18} {} experts, top-{}, width {}, layers {}\n", "moe", model.experts,
                        model.top_k, model.expert_ffn,
                        layer_ranges(model, [](const LayerSpec& l) { return l.ffn == FfnKind::kMoe; }));
    if (model.shared_ffn > 0) text += fmt::format("  {:<18} width {}\n", "shared experts", model.shared_ffn);
    if (model.has_latent_experts())
      text += fmt::format("  {:<18} {} wide\n", "dispatched", model.dispatch_width);
    if (model.groups > 1) {
      text += fmt::format("  {:<18} {} of {} groups\n", "group-limited", model.topk_groups, model.groups);
    }
  }
  text += fmt::format("  {:<18} {:.2f} G in all, {:.2f} G active per token\n", "parameters",
                      static_cast<double>(total_parameters(model)) * 1e-9,
                      static_cast<double>(active_parameters(model)) * 1e-9);
  text += fmt::format("  {:<18} {:.1f} GFLOP per token at 4096 tokens a sequence (Megatron-Core's formula)\n",
                      "training", training_flops_per_token(model, 4096) * 1e-9);
  for (const std::string& kind : model.kinds_without_cost()) {
    text += fmt::format("  {:<18} {} has no cost model\n", "cannot simulate", kind);
  }
  for (const std::string& note : model.notes) text += fmt::format("  {:<18} {}\n", "note", note);
  return text;
}

void assume_attention(ModelSpec& model, const std::string& assumption) {
  const auto refuse = [&](const std::string& message, const std::string& hint) {
    throw base::InputError(fmt::format("--assume {}: {}", base::excerpt(assumption), message), hint);
  };
  const std::vector<std::string> kinds = model.kinds_without_cost();
  const std::string hint =
      kinds.empty() ? fmt::format("every layer of {} has a cost", model.name)
                    : fmt::format("{} has layers of kind {}", model.name, fmt::join(kinds, ", "));
  const std::size_t equals = assumption.find('=');
  if (equals == std::string::npos || assumption.substr(equals + 1) != "attention")
    refuse("expected KIND=attention", hint);
  const std::string kind = assumption.substr(0, equals);
  if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end())
    refuse("the model has no layers of that kind that lack a cost", hint);
  if (model.heads < 1) refuse("the model states no attention heads to take the cost from", "");
  const auto is_kind = [&](const LayerSpec& layer) { return sim::name(layer.mixer) == kind; };
  model.notes.push_back(fmt::format("layers {} are of kind {} and costed as full attention (--assume)",
                                    layer_ranges(model, is_kind), kind));
  for (LayerSpec& layer : model.layers)
    if (is_kind(layer)) layer.mixer = model.is_mla() ? MixerKind::kMla : MixerKind::kAttention;
}

}  // namespace moeplan::sim
