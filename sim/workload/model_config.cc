#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "base/object_reader.h"
#include "sim/workload/model.h"
#include "sim/workload/model_layers.h"

namespace moeplan::sim {

namespace {

constexpr std::int64_t kMaxWidth =
    1'000'000'000;                    ///< larger dimensions are broken files, and would overflow products
constexpr int kMaxCount = 1'000'000;  ///< the same for heads, experts ...

using Keys = std::vector<std::string>;

/// Typed look-ups by a list of names; the first that is there and not null wins.
class ConfigReader {
 public:
  explicit ConfigReader(base::ObjectReader& reader) : reader_(reader) {}

  std::string first_present(const Keys& keys) const {
    for (const std::string& key : keys) {
      if (reader_.has(key)) return key;
    }
    return {};
  }

  std::int64_t optional(const Keys& keys, std::int64_t fallback, std::int64_t least = 0,
                        std::int64_t most = kMaxWidth) {
    const std::string key = first_present(keys);
    if (key.empty()) return fallback;
    const auto value = reader_.optional<std::int64_t>(key);
    if (!value) return fallback;
    if (*value < least || *value > most) {
      reader_.fault(key, fmt::format("found {}, expected {} to {}", *value, least, most));
      return fallback;
    }
    return *value;
  }

  std::int64_t required(const Keys& keys, const std::string& hint = "") {
    if (first_present(keys).empty()) {
      reader_.fault(keys.front(), fmt::format("key \"{}\" is missing", keys.front()), hint);
      return 0;
    }
    return optional(keys, 0, 1);
  }

  int count(const Keys& keys, int fallback, int least = 0) {
    return static_cast<int>(optional(keys, fallback, least, kMaxCount));
  }

  base::ObjectReader& reader() { return reader_; }

 private:
  base::ObjectReader& reader_;
};

const Keys kExperts = {"num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"};
const Keys kTopK = {"num_experts_per_tok",
                    "experts_per_token",
                    "top_k_experts",
                    "num_experts_per_token",
                    "moe_k",
                    "moe_top_k"};
const Keys kSharedCount = {"n_shared_experts", "num_shared_experts", "moe_num_shared_experts"};
const Keys kSharedWidth = {"shared_expert_intermediate_size", "moe_shared_expert_intermediate_size",
                           "share_expert_dim", "share_expert_dims", "shared_intermediate_size"};
const Keys kLatent = {"moe_latent_size", "routed_expert_hidden_size"};
const Keys kMtp = {"num_nextn_predict_layers", "mtp_num_hidden_layers", "mtp_num_layers"};

/// Activations whose feed-forward block has no gate half.
bool is_gated(base::ObjectReader& config) {
  if (config.has("gated_linear_unit")) return config.required<bool>("gated_linear_unit");
  const std::string key = config.has("mlp_hidden_act") ? "mlp_hidden_act" : "hidden_act";
  static const std::set<std::string> ungated = {"relu",     "relu2",     "gelu",
                                                "gelu_new", "gelu_fast", "quick_gelu"};
  return ungated.count(config.value_or<std::string>(key, "silu")) == 0;
}

void read_attention(ConfigReader& config, ModelSpec& model) {
  model.heads = static_cast<int>(config.required({"num_attention_heads", "n_head"}));
  model.kv_heads = config.count({"num_key_value_heads", "num_attention_groups"}, model.heads, 1);
  model.q_lora_rank = config.optional({"q_lora_rank"}, 0);
  model.kv_lora_rank = config.optional({"kv_lora_rank"}, 0);
  model.v_head_dim = config.optional({"v_head_dim"}, 0);
  if (model.is_mla()) {
    model.qk_nope_dim = config.required({"qk_nope_head_dim"});
    model.qk_rope_dim = config.required({"qk_rope_head_dim"});
    if (model.v_head_dim == 0) config.required({"v_head_dim"});
    model.head_dim = model.qk_nope_dim + model.qk_rope_dim;
    return;
  }
  base::ObjectReader& reader = config.reader();
  if (model.heads > 0 && model.heads % model.kv_heads != 0) {
    reader.fault("num_key_value_heads", fmt::format("found {}, expected a divisor of the {} attention heads",
                                                    model.kv_heads, model.heads));
  }
  model.head_dim = config.optional({"head_dim", "attention_head_dim"}, 0);
  if (model.head_dim == 0 && model.heads > 0) {
    if (model.hidden % model.heads != 0) {
      reader.fault("num_attention_heads",
                   fmt::format("found {}, which does not divide hidden_size {}", model.heads, model.hidden),
                   "state head_dim");
    }
    model.head_dim = model.hidden / model.heads;
  }
  model.attention_bias = reader.value_or("attention_bias", false) || reader.value_or("qkv_bias", false);
  const auto norm = [&](const char* key) { return reader.has(key) && reader.required<bool>(key); };
  model.qk_norm = norm("use_qk_norm") || norm("qk_norm") || model.architecture.rfind("Qwen3", 0) == 0 ||
                  model.architecture.rfind("Olmoe", 0) == 0;
  if (model.v_head_dim == model.head_dim) model.v_head_dim = 0;
}

/// `intermediate_size` is the expert width where no moe_intermediate_size stands beside it.
void read_widths(ConfigReader& config, ModelSpec& model) {
  const Keys expert_keys = {"moe_intermediate_size", "moe_ffn_hidden_size", "expert_intermediate_size"};
  const bool separate = !config.first_present(expert_keys).empty();
  if (!model.is_moe()) {
    model.dense_ffn = config.required({"intermediate_size", "ffn_hidden_size", "n_inner"});
    return;
  }
  model.expert_ffn =
      separate ? config.required(expert_keys)
               : config.required({"intermediate_size"}, "or moe_intermediate_size, the width of one expert");
  const bool any_dense = std::any_of(model.layers.begin(), model.layers.end(),
                                     [](const LayerSpec& l) { return l.ffn == FfnKind::kDense; });
  if (!any_dense) return;
  const Keys dense_keys = separate
                              ? Keys{"dense_intermediate_size", "intermediate_size", "intermediate_size_mlp"}
                              : Keys{"intermediate_size_mlp", "dense_intermediate_size"};
  if (config.first_present(dense_keys).empty() && model.architecture.rfind("NemotronH", 0) != 0) {
    config.reader().fault(dense_keys.front(), "no width for the dense layers",
                          "state intermediate_size (dense layers) and moe_intermediate_size (experts)");
    return;
  }
  model.dense_ffn = config.optional(dense_keys, 0, 1);
}

void read_shared_experts(ConfigReader& config, const std::string& model_type, ModelSpec& model) {
  const std::int64_t count = config.optional(kSharedCount, 0, 0, kMaxCount);
  const std::string width_key = config.first_present(kSharedWidth);
  if (!width_key.empty()) {
    // A total width; a count beside it of 0 switches the block off.
    const bool off = !config.first_present(kSharedCount).empty() && count == 0;
    model.shared_ffn = off ? 0 : config.optional({width_key}, 0);
  } else {
    model.shared_ffn = count * model.expert_ffn;
  }
  model.shared_gate = model.shared_ffn > 0 && width_key == "shared_expert_intermediate_size" &&
                      model_type.rfind("qwen", 0) == 0;
  if (model_type.rfind("llama4", 0) == 0) {
    model.shared_ffn = model.expert_ffn;
    model.notes.emplace_back("one shared expert of the expert width, which Llama-4 configs leave unsaid");
  }
  if (model_type.rfind("gemma4", 0) == 0 && !config.first_present({"top_k_experts"}).empty()) {
    model.shared_ffn = config.optional({"intermediate_size"}, 0);
    model.notes.emplace_back("the dense branch beside the experts is counted as a shared expert");
  }
}

void read_moe(ConfigReader& config, const std::string& model_type, ModelSpec& model) {
  base::ObjectReader& reader = config.reader();
  model.dispatch_width = config.optional(kLatent, model.hidden, 1);
  read_shared_experts(config, model_type, model);
  model.expert_bias = model_type.rfind("gpt_oss", 0) == 0;
  model.groups = config.count({"n_group", "moe_router_num_groups"}, 0);
  model.topk_groups = config.count({"topk_group", "moe_router_group_topk"}, 0);
  if (model.groups > 1) {
    if (model.experts % model.groups != 0)
      reader.fault("n_group", fmt::format("found {}, expected a divisor of the {} experts", model.groups,
                                          model.experts));
    if (model.topk_groups < 1 || model.topk_groups > model.groups)
      reader.fault("topk_group",
                   fmt::format("found {}, expected 1 to n_group {}", model.topk_groups, model.groups));
  }
  const std::string scoring =
      config.first_present({"scoring_func", "scoring_function", "moe_router_activation_func"});
  model.scoring = scoring.empty() ? "softmax" : reader.required<std::string>(scoring);
}

void read_top_k(ConfigReader& config, ModelSpec& model) {
  const std::string key = config.first_present(kTopK);
  if (key.empty()) {
    config.reader().fault(kTopK.front(), "key \"num_experts_per_tok\" is missing",
                          "the number of experts that a token goes to");
    return;
  }
  model.top_k = config.count({key}, 0, 1);
  if (model.top_k > model.experts) {
    config.reader().fault(key, fmt::format("found {}, more than the {} experts", model.top_k, model.experts),
                          fmt::format("top-k are distinct experts: at most {}", model.experts));
  }
}

int read_mtp(ConfigReader& config, ModelSpec& model) {
  if (!config.first_present(kMtp).empty()) return config.count(kMtp, 0);
  base::ObjectReader& reader = config.reader();
  if (!reader.value_or("use_mtp", false)) return 0;
  const int modules = config.count({"num_mtp_modules"}, 1) * config.count({"mtp_transformer_layers"}, 1);
  model.notes.push_back(fmt::format("{} MTP layers (use_mtp)", modules));
  return modules;
}

void add_notes(ConfigReader& config, ModelSpec& model) {
  base::ObjectReader& reader = config.reader();
  if (reader.has("attention_chunk_size"))
    model.notes.emplace_back("chunked attention is counted as full causal attention");
  if (reader.value_or("attn_output_gate", false))
    model.notes.emplace_back("the attention output gate is not counted");
  if (reader.has("num_hash_layers"))
    model.notes.emplace_back("layers with hash routing are counted as learned routing");
  if (model.has_latent_experts())
    model.notes.push_back(fmt::format("experts work in a latent width of {}", model.dispatch_width));
  if (reader.value_or<std::string>("position_embedding", "") == "learned_absolute")
    model.notes.emplace_back("learned position embeddings are not counted");
}

std::optional<std::string> container_key(const base::ObjectReader& top) {
  if (top.has("hidden_size") || top.has("n_embd")) return std::nullopt;
  for (const char* key : {"text_config", "llm_config", "language_config"}) {
    if (top.has(key)) return key;
  }
  return std::nullopt;
}

}  // namespace

ModelSpec import_model(const base::Document& document, std::string name) {
  base::DiagnosticSink sink;
  base::ObjectReader top(document, sink, "model");
  ModelSpec model;
  model.name = std::move(name);
  if (const base::Node* architectures = top.node("architectures");
      architectures != nullptr && architectures->kind == base::NodeKind::kSequence &&
      !architectures->items.empty()) {
    model.architecture = architectures->items.front().text;
  }
  const auto key = container_key(top);
  base::ObjectReader inner = key ? top.object(*key) : top;
  ConfigReader config(inner);
  const std::string model_type =
      top.value_or<std::string>("model_type", inner.value_or<std::string>("model_type", ""));

  model.hidden = config.required({"hidden_size", "n_embd"},
                                 "the width of the residual stream; is this a Hugging Face config.json?");
  model.vocab = config.required({"vocab_size"});
  model.tied_embeddings = inner.value_or("tie_word_embeddings", top.value_or("tie_word_embeddings", false));
  model.gated = is_gated(inner);
  model.experts = config.count(kExperts, 0);
  if (model.is_moe()) read_top_k(config, model);
  read_attention(config, model);
  read_layers(inner, model);
  if (model.is_moe() && sink.empty() && model.moe_layers() == 0) {
    model.notes.emplace_back("the config names experts, but no layer is MoE");
  }
  read_widths(config, model);
  if (model.is_moe()) read_moe(config, model_type, model);
  model.mtp_layers = read_mtp(config, model);
  add_notes(config, model);
  sink.throw_if_any();
  return model;
}

ModelSpec load_model(const std::string& path) {
  const std::filesystem::path file(path);
  std::string name = file.stem().string();
  if (name == "config") name = file.parent_path().filename().string();
  return import_model(base::load_document(path), std::move(name));
}

}  // namespace moeplan::sim
