#include "calibrate/cases/model_cases.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "calibrate/measure/case_list.h"

namespace moeplan::calibrate {

namespace {

/// Tokens of a micro-batch; 4,096 and more are what training runs use.
constexpr std::int64_t kTokens[] = {4096, 8192, 16384, 2048, 1024, 32768};
constexpr std::int64_t kDegrees[] = {1, 2, 4, 8};
/// Columns that the measuring program's kernels can do are multiples of this.
constexpr std::int64_t kColumnStep = 128;

/// The linear layers of one rank, by what tokens they see and in which format they run.
struct RankLayers {
  std::vector<LinearLayer> region;        ///< T tokens, in the recipe's format
  std::vector<LinearLayer> local;         ///< T/tp tokens, in the recipe's format
  std::vector<LinearLayer> region_bf16;   ///< T tokens, bf16 whatever the recipe
  std::vector<LinearLayer> local_bf16;    ///< T/tp tokens, bf16 whatever the recipe
  std::vector<std::int64_t> activations;  ///< widths of gated activations on T tokens
};

bool has_mixer(const sim::ModelSpec& model, sim::MixerKind kind) {
  return std::any_of(model.layers.begin(), model.layers.end(),
                     [&](const sim::LayerSpec& layer) { return layer.mixer == kind; });
}

bool has_dense_layer(const sim::ModelSpec& model) {
  return std::any_of(model.layers.begin(), model.layers.end(),
                     [](const sim::LayerSpec& layer) { return layer.ffn == sim::FfnKind::kDense; });
}

/// The rules of sim/schedule/faults.cc.
bool can_split(const sim::ModelSpec& model, std::int64_t tp) {
  const bool kv = model.is_mla() || model.kv_heads % tp == 0 || tp % model.kv_heads == 0;
  return model.heads % tp == 0 && kv && model.dense_ffn % tp == 0 && model.shared_ffn % tp == 0;
}

void add_attention(RankLayers& rank, const sim::ModelSpec& model, std::int64_t tp) {
  const std::int64_t heads = model.heads / tp;
  if (has_mixer(model, sim::MixerKind::kAttention)) {
    const std::int64_t kv_heads = std::max<std::int64_t>(1, model.kv_heads / tp);
    rank.region.push_back(
        {heads * model.head_dim + kv_heads * (model.head_dim + model.value_dim()), model.hidden});
    rank.region.push_back({model.hidden, heads * model.value_dim()});
  }
  if (has_mixer(model, sim::MixerKind::kMla)) {
    const std::int64_t q_in = model.q_lora_rank > 0 ? model.q_lora_rank : model.hidden;
    if (model.q_lora_rank > 0) rank.local.push_back({model.q_lora_rank, model.hidden});
    rank.local.push_back({model.kv_lora_rank + model.qk_rope_dim, model.hidden});
    rank.region.push_back({heads * (model.qk_nope_dim + model.qk_rope_dim), q_in});
    rank.region.push_back({heads * (model.qk_nope_dim + model.v_head_dim), model.kv_lora_rank});
    rank.region.push_back({model.hidden, heads * model.v_head_dim});
  }
}

void add_mlp(RankLayers& rank, const sim::ModelSpec& model, std::int64_t ffn, std::int64_t tp) {
  rank.region.push_back({ffn / tp * (model.gated ? 2 : 1), model.hidden});
  rank.region.push_back({model.hidden, ffn / tp});
  rank.activations.push_back(ffn / tp);
}

RankLayers rank_layers(const sim::ModelSpec& model, std::int64_t tp) {
  RankLayers rank;
  add_attention(rank, model, tp);
  if (has_dense_layer(model)) add_mlp(rank, model, model.dense_ffn, tp);
  if (model.shared_ffn > 0) add_mlp(rank, model, model.shared_ffn, tp);
  if (model.is_moe()) rank.local_bf16.push_back({model.experts, model.hidden});
  if (model.has_latent_experts()) {
    rank.local.push_back({model.dispatch_width, model.hidden});
    rank.local.push_back({model.hidden, model.dispatch_width});
  }
  if (model.mtp_layers > 0) rank.region.push_back({model.hidden / tp, 2 * model.hidden});
  rank.region_bf16.push_back({model.vocab / tp, model.hidden});
  return rank;
}

class ModelCases {
 public:
  explicit ModelCases(const sim::ModelSpec& model) : model_(model) {
    for (const std::int64_t tp : kDegrees)
      if (can_split(model, tp)) ranks_.push_back({tp, rank_layers(model, tp)});
  }

  std::vector<Case> build() {
    for (const std::int64_t tokens : kTokens) {
      add_dense("bf16", tokens);
      add_experts("per_expert", "bf16", tokens);
      add_memory(tokens);
    }
    for (const std::int64_t tokens : kTokens) add_experts("cublas_grouped", "bf16", tokens);
    for (const std::int64_t tokens : kTokens) {
      add_dense("fp8_tensor", tokens);
      add_experts("per_expert", "fp8_tensor", tokens);
    }
    for (const std::int64_t tokens : kTokens) add_dense("fp8_block", tokens);
    return list_.take();
  }

 private:
  struct Rank {
    std::int64_t tp = 1;
    RankLayers layers;
  };

  void add_linear(const std::string& format, std::int64_t tokens, const std::vector<LinearLayer>& layers) {
    for (const LinearLayer& layer : layers)
      for (const char* pass : kPassNames) list_.add_gemm(format, pass, tokens, layer);
  }

  void add_dense(const std::string& format, std::int64_t tokens) {
    for (const Rank& rank : ranks_) {
      add_linear(format, tokens, rank.layers.region);
      add_linear(format, tokens / rank.tp, rank.layers.local);
      if (format != "bf16") continue;
      add_linear(format, tokens, rank.layers.region_bf16);
      add_linear(format, tokens / rank.tp, rank.layers.local_bf16);
    }
  }

  void add_experts(const std::string& kernel, const std::string& format, std::int64_t tokens) {
    if (!model_.is_moe()) return;
    const LinearLayer layers[] = {{model_.expert_ffn * (model_.gated ? 2 : 1), model_.dispatch_width},
                                  {model_.dispatch_width, model_.expert_ffn}};
    for (const std::int64_t ep : kDegrees) {
      if (model_.experts % ep != 0) continue;
      for (const Rank& rank : ranks_) {
        const std::int64_t rows = tokens / rank.tp * model_.top_k * ep / model_.experts;
        if (rows < 1) continue;
        for (const LinearLayer& layer : layers)
          for (const char* pass : kPassNames)
            list_.add_grouped(kernel, format, pass, model_.experts / ep, rows, layer);
      }
    }
  }

  void add_kernel(const char* op, std::int64_t rows, std::int64_t cols, std::int64_t top_k = 1) {
    if (cols % kColumnStep == 0) list_.add_memory(op, rows, cols, top_k);
  }

  void add_activation(std::int64_t rows, std::int64_t cols) {
    if (!model_.gated) return;
    add_kernel("swiglu", rows, cols);
    add_kernel("swiglu_backward", rows, cols);
  }

  void add_memory(std::int64_t tokens) {
    for (const Rank& rank : ranks_) {
      for (const std::int64_t width : rank.layers.activations) add_activation(tokens, width);
      if (!model_.is_moe()) continue;
      const std::int64_t local = tokens / rank.tp;
      add_kernel("permute", local, model_.dispatch_width, model_.top_k);
      add_kernel("unpermute", local, model_.dispatch_width, model_.top_k);
      add_activation(local * model_.top_k, model_.expert_ffn);
    }
    for (const char* op : {"norm", "quantise", "transpose", "add", "cast", "grad_accumulate", "optimizer",
                           "reduce", "copy", "fill"})
      add_kernel(op, tokens, model_.hidden);
  }

  const sim::ModelSpec& model_;
  std::vector<Rank> ranks_;
  CaseList list_;
};

}  // namespace

std::vector<Case> model_cases(const sim::ModelSpec& model) {
  if (const auto kinds = model.kinds_without_cost(); !kinds.empty())
    throw base::InputError(
        fmt::format("model {}: layers of kind {} have no cost model, so no plan asks for their shapes",
                    model.name, fmt::join(kinds, ", ")));
  return ModelCases(model).build();
}

}  // namespace moeplan::calibrate
