#include "sim/workload/model_layers.h"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "base/quantity_text.h"
#include "sim/workload/moe_pattern.h"

namespace moeplan::sim {

namespace {

constexpr std::int64_t kMaxLayers = 100'000;  ///< more is a broken file, not a model

bool is_list(const base::Node* node) { return node != nullptr && node->kind == base::NodeKind::kSequence; }
bool is_text(const base::Node* node) { return node != nullptr && node->kind == base::NodeKind::kScalar; }

/// Splits "MEM*E" or ["mamba", "moe", ...] into one layer each; hybrid models give a block either a mixer or
/// an FFN.
bool read_block(std::string_view word, const ModelSpec& model, LayerSpec& layer) {
  const MixerKind attention = model.is_mla() ? MixerKind::kMla : MixerKind::kAttention;
  if (word == "M" || word == "mamba")
    layer = {MixerKind::kMamba, FfnKind::kNone, 0};
  else if (word == "E" || word == "moe")
    layer = {MixerKind::kNone, FfnKind::kMoe, 0};
  else if (word == "*" || word == "attention")
    layer = {attention, FfnKind::kNone, 0};
  else if (word == "-" || word == "mlp")
    layer = {MixerKind::kNone, FfnKind::kDense, 0};
  else
    return false;
  return true;
}

void read_hybrid_pattern(base::ObjectReader& config, ModelSpec& model) {
  const bool letters = config.has("hybrid_override_pattern");
  const char* key = letters ? "hybrid_override_pattern" : "layers_block_type";
  std::vector<std::string> words;
  if (letters) {
    for (const char c : config.required<std::string>(key)) words.emplace_back(1, c);
  } else {
    words = config.required<std::vector<std::string>>(key);
  }
  for (std::size_t i = 0; i < words.size(); ++i) {
    LayerSpec layer;
    if (!read_block(words[i], model, layer)) {
      config.fault(key, fmt::format("unknown layer kind \"{}\" at layer {}", words[i], i),
                   letters ? "known are M (mamba), E (moe), * (attention), - (mlp)"
                           : "known are mamba, moe, attention, mlp");
      return;
    }
    model.layers.push_back(layer);
  }
  const auto stated = config.optional<std::int64_t>("num_hidden_layers");
  if (stated && *stated != static_cast<std::int64_t>(words.size())) {
    config.fault(key, fmt::format("found {} layers, but num_hidden_layers is {}", words.size(), *stated));
  }
}

/// A list of 0 and 1, one per layer.
void apply_flags(base::ObjectReader& config, const char* key, const std::vector<int>& flags,
                 ModelSpec& model) {
  if (flags.size() != model.layers.size()) {
    config.fault(key, fmt::format("found {} entries, expected one for each of the {} layers", flags.size(),
                                  model.layers.size()));
    return;
  }
  for (std::size_t i = 0; i < flags.size(); ++i)
    model.layers[i].ffn = flags[i] != 0 ? FfnKind::kMoe : FfnKind::kDense;
}

/// The listed layers are MoE, the others dense.
void apply_indices(base::ObjectReader& config, const char* key, const std::vector<std::int64_t>& moe,
                   ModelSpec& model) {
  for (LayerSpec& layer : model.layers) layer.ffn = FfnKind::kDense;
  for (const std::int64_t index : moe) {
    if (index < 0 || index >= static_cast<std::int64_t>(model.layers.size())) {
      config.fault(key, fmt::format("found layer {}, expected 0 to {}", index, model.layers.size() - 1));
      return;
    }
    model.layers[static_cast<std::size_t>(index)].ffn = FfnKind::kMoe;
  }
}

/// first_k_dense_replace dense layers, then every moe_layer_freq-th.
void apply_frequency(base::ObjectReader& config, ModelSpec& model) {
  const auto first = config.value_or<std::int64_t>("first_k_dense_replace", 0);
  const base::Node* node = config.node("moe_layer_freq");
  if (is_list(node))
    return apply_flags(config, "moe_layer_freq", config.required<std::vector<int>>("moe_layer_freq"), model);
  if (is_text(node) && !node->text.empty() && (node->text[0] == '(' || node->text[0] == '[')) {
    const auto flags = parse_moe_pattern(node->text, static_cast<std::size_t>(kMaxLayers));
    if (flags) return apply_flags(config, "moe_layer_freq", *flags, model);
    return config.fault(
        "moe_layer_freq",
        fmt::format("found \"{}\", expected a number, a list of 0 and 1, or \"([0]*3+[1]*58)\"", node->text));
  }
  const auto every = config.value_or<std::int64_t>("moe_layer_freq", 1);
  if (every < 1) return config.fault("moe_layer_freq", fmt::format("found {}, expected at least 1", every));
  if (first < 0 || first > static_cast<std::int64_t>(model.layers.size())) {
    return config.fault(
        "first_k_dense_replace",
        fmt::format("found {}, expected 0 to {} (the number of layers)", first, model.layers.size()));
  }
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    const auto l = static_cast<std::int64_t>(i);
    model.layers[i].ffn = l >= first && l % every == 0 ? FfnKind::kMoe : FfnKind::kDense;
  }
}

/// Every step-th layer, counted so that the last of each step is MoE: (l + 1) % step == 0.
void apply_step(base::ObjectReader& config, const char* key, ModelSpec& model) {
  const auto step = config.value_or<std::int64_t>(key, 1);
  if (step < 1) return config.fault(key, fmt::format("found {}, expected at least 1", step));
  const auto dense = config.value_or<std::vector<std::int64_t>>("mlp_only_layers", {});
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    const auto l = static_cast<std::int64_t>(i);
    const bool only = std::find(dense.begin(), dense.end(), l) != dense.end();
    model.layers[i].ffn = (l + 1) % step == 0 && !only ? FfnKind::kMoe : FfnKind::kDense;
  }
}

/// Ernie: layers start..end (-1 = the last), every interval-th.
void apply_interval(base::ObjectReader& config, ModelSpec& model) {
  const auto last = static_cast<std::int64_t>(model.layers.size()) - 1;
  const auto start = config.value_or<std::int64_t>("moe_layer_start_index", 0);
  const auto stated_end = config.value_or<std::int64_t>("moe_layer_end_index", -1);
  const auto interval = config.value_or<std::int64_t>("moe_layer_interval", 1);
  if (interval < 1)
    return config.fault("moe_layer_interval", fmt::format("found {}, expected at least 1", interval));
  const std::int64_t end = stated_end < 0 ? last : stated_end;
  for (std::int64_t l = 0; l <= last; ++l) {
    const bool moe = l >= start && l <= end && (l + 1) % interval == 0;
    model.layers[static_cast<std::size_t>(l)].ffn = moe ? FfnKind::kMoe : FfnKind::kDense;
  }
}

/// Step-3: "3,4,5,...,44".
void apply_enumeration(base::ObjectReader& config, ModelSpec& model) {
  std::vector<std::int64_t> indices;
  const std::string text = config.required<std::string>("moe_layers_enum");
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    const auto value = base::parse_integer(text.substr(at, comma - at));
    if (!value)
      return config.fault("moe_layers_enum",
                          fmt::format("found \"{}\", expected layer numbers joined by commas", text));
    indices.push_back(*value);
    at = comma + 1;
  }
  apply_indices(config, "moe_layers_enum", indices, model);
}

void read_ffn_kinds(base::ObjectReader& config, ModelSpec& model) {
  if (!model.is_moe()) {
    for (LayerSpec& layer : model.layers) layer.ffn = FfnKind::kDense;
    return;
  }
  const bool listed = is_list(config.node("moe_layers"));
  if (config.has("moe_layers_enum"))
    apply_enumeration(config, model);
  else if (listed)
    apply_indices(config, "moe_layers", config.required<std::vector<std::int64_t>>("moe_layers"), model);
  else if (config.has("first_k_dense_replace") || config.has("moe_layer_freq"))
    apply_frequency(config, model);
  else if (config.has("interleave_moe_layer_step"))
    apply_step(config, "interleave_moe_layer_step", model);
  else if (config.has("moe_layer_start_index") || config.has("moe_layer_interval"))
    apply_interval(config, model);
  else
    apply_step(config, "decoder_sparse_step", model);

  if (!listed && config.has("moe_layers")) {
    const auto stated = config.required<std::int64_t>("moe_layers");
    if (stated != model.moe_layers()) {
      config.fault("moe_layers", fmt::format("found {}, but the other keys make {} of {} layers MoE", stated,
                                             model.moe_layers(), model.layers.size()));
    }
  }
}

/// The words of layer_types. nullopt = unknown.
std::optional<MixerKind> mixer_of(const std::string& word, MixerKind attention) {
  static const std::map<std::string, MixerKind> special = {
      {"linear_attention", MixerKind::kLinearAttention},
      {"mamba", MixerKind::kMamba},
      {"compressed_sparse_attention", MixerKind::kSparseAttention},
      {"heavily_compressed_attention", MixerKind::kSparseAttention},
      {"sparse_attention", MixerKind::kSparseAttention},
  };
  static const std::set<std::string> plain = {"full_attention", "sliding_attention", "chunked_attention",
                                              "attention", "global_attention"};
  if (plain.count(word) > 0) return attention;
  const auto found = special.find(word);
  return found != special.end() ? std::optional(found->second) : std::nullopt;
}

void read_layer_types(base::ObjectReader& config, std::int64_t window, MixerKind attention,
                      ModelSpec& model) {
  const auto words = config.required<std::vector<std::string>>("layer_types");
  // Reduced models keep the list of the whole one: the first entries count.
  if (words.size() < model.layers.size()) {
    return config.fault("layer_types", fmt::format("found {} entries, expected one for each of the {} layers",
                                                   words.size(), model.layers.size()));
  }
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    const auto kind = mixer_of(words[i], attention);
    if (!kind)
      return config.fault("layer_types", fmt::format("unknown layer kind \"{}\" at layer {}", words[i], i));
    model.layers[i].mixer = *kind;
    if (words[i] == "sliding_attention") model.layers[i].window = window;
  }
}

/// Sliding windows where no layer_types list says which layers have them.
void read_windows(base::ObjectReader& config, std::int64_t window, ModelSpec& model) {
  const base::Node* hybrid = config.node("hybrid_layer_pattern");
  if (is_list(hybrid)) {  // MiMo: 1 = sliding window
    const auto flags = config.required<std::vector<int>>("hybrid_layer_pattern");
    if (flags.size() != model.layers.size()) {
      return config.fault("hybrid_layer_pattern",
                          fmt::format("found {} entries, expected one for each of the {} layers",
                                      flags.size(), model.layers.size()));
    }
    for (std::size_t i = 0; i < flags.size(); ++i) model.layers[i].window = flags[i] != 0 ? window : 0;
    return;
  }
  if (window <= 0 || !config.value_or("use_sliding_window", true)) return;
  const auto pattern =
      config.value_or<std::int64_t>("sliding_window_pattern", 0);  // Gemma: every n-th sees all
  const auto full_below =
      config.has("use_sliding_window") ? config.value_or<std::int64_t>("max_window_layers", 0) : 0;
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    const auto l = static_cast<std::int64_t>(i);
    if (l >= full_below && (pattern <= 0 || (l + 1) % pattern != 0)) model.layers[i].window = window;
  }
}

/// Kimi-Linear: lists of layers, 1-based.
void read_linear_config(base::ObjectReader& config, ModelSpec& model) {
  auto linear = config.optional_object("linear_attn_config");
  if (!linear) return;
  for (const std::int64_t l : linear->value_or<std::vector<std::int64_t>>("kda_layers", {})) {
    if (l < 1 || l > static_cast<std::int64_t>(model.layers.size())) {
      return linear->fault("kda_layers",
                           fmt::format("found layer {}, expected 1 to {}", l, model.layers.size()));
    }
    model.layers[static_cast<std::size_t>(l - 1)].mixer = MixerKind::kLinearAttention;
  }
}

void read_mixers(base::ObjectReader& config, ModelSpec& model) {
  const bool indexed =
      config.has("index_topk") || config.has("index_n_heads") || config.has("compress_ratios");
  const MixerKind attention = indexed          ? MixerKind::kSparseAttention
                              : model.is_mla() ? MixerKind::kMla
                                               : MixerKind::kAttention;
  for (LayerSpec& layer : model.layers) layer.mixer = attention;
  const auto window = config.value_or<std::int64_t>("sliding_window", 0);
  const bool typed = config.has("layer_types");
  if (typed)
    read_layer_types(config, window, attention, model);
  else if (!indexed)
    read_windows(config, window, model);

  if (const auto interval = config.optional<std::int64_t>("full_attention_interval"); interval && !typed) {
    if (*interval < 1)
      return config.fault("full_attention_interval", fmt::format("found {}, expected at least 1", *interval));
    for (std::size_t i = 0; i < model.layers.size(); ++i) {
      if (static_cast<std::int64_t>(i + 1) % *interval != 0)
        model.layers[i].mixer = MixerKind::kLinearAttention;
    }
  }
  if (is_list(config.node(
          "attn_type_list"))) {  // MiniMax: 0 = lightning (linear) attention, 1 = softmax attention
    const auto types = config.required<std::vector<int>>("attn_type_list");
    for (std::size_t i = 0; i < std::min(types.size(), model.layers.size()); ++i) {
      if (types[i] == 0) model.layers[i].mixer = MixerKind::kLinearAttention;
    }
  }
  read_linear_config(config, model);
}

}  // namespace

void read_layers(base::ObjectReader& config, ModelSpec& model) {
  if (config.has("hybrid_override_pattern") || config.has("layers_block_type"))
    return read_hybrid_pattern(config, model);

  const char* key = config.has("num_hidden_layers") ? "num_hidden_layers"
                    : config.has("num_layers")      ? "num_layers"
                    : config.has("n_layer")         ? "n_layer"
                                                    : "num_hidden_layers";
  const auto count = config.required<std::int64_t>(key);
  if (config.has(key) && (count < 1 || count > kMaxLayers)) {
    return config.fault(key, fmt::format("found {}, expected 1 to {} layers", count, kMaxLayers));
  }
  model.layers.assign(static_cast<std::size_t>(std::max<std::int64_t>(count, 0)), LayerSpec{});
  if (model.layers.empty()) return;
  read_ffn_kinds(config, model);
  read_mixers(config, model);
}

}  // namespace moeplan::sim
