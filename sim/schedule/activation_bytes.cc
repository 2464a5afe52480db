#include "sim/schedule/activation_bytes.h"

#include <algorithm>

namespace moeplan::sim {

namespace {

constexpr double kBf16 = 2.0;  ///< bytes
constexpr double kFp32 = 4.0;  ///< bytes

bool is_low_precision(NumberFormat format) { return value_bytes(format) < kBf16; }

}  // namespace

ActivationBytes::ActivationBytes(const ModelSpec& model, const RunSpec& run, const PlanSpec& plan)
    : model_(model),
      recompute_(plan.recompute),
      tokens_(static_cast<double>(plan.micro_batch) * static_cast<double>(run.seq_len) / plan.layout.cp),
      shard_(plan.layout.sequence_parallel ? tokens_ / plan.layout.tp : tokens_),
      tp_(plan.layout.tp),
      cp_(plan.layout.cp),
      cp_comm_(plan.cp_comm()),
      etp_(plan.layout.etp),
      input_(is_low_precision(run.precision.gemm) ? bytes_per_element(run.precision.gemm) : kBf16) {}

void ActivationBytes::keep(LayerBytes& bytes, double amount, bool recomputed) const {
  (recomputed ? bytes.dropped : bytes.kept) += amount;
}

/// Buffers of context parallelism while the core's backward runs, for widths of all heads. Gathered: keys and
/// values of the sequence, and their gradients before they are reduced. Ring: those at hand and those that
/// arrive, gradients likewise. Heads: what one all-to-all receives.
double ActivationBytes::exchanged(double query, double key, double value) const {
  if (cp_ == 1.0) return 0.0;
  const double own = tokens_ * (key + value) * kBf16 / tp_;
  const double heads = tokens_ * (query + key + value) * kBf16 / tp_;
  switch (cp_comm_) {
    case ContextExchange::kAllGather:
      return 2.0 * cp_ * own;
    case ContextExchange::kP2p:
      return 4.0 * own;
    case ContextExchange::kAllToAll:
      return heads;
    case ContextExchange::kAllToAllP2p:
      return heads + 4.0 * own;
  }
  return 0.0;
}

/// Saved: norm input and output, q, k, v after RoPE (their norms' inputs too), attention output, its
/// log-sum-exp.
void ActivationBytes::add_attention(LayerBytes& bytes) const {
  const auto hidden = static_cast<double>(model_.hidden);
  const double q = static_cast<double>(model_.heads) * static_cast<double>(model_.head_dim);
  const double k = static_cast<double>(model_.kv_heads) * static_cast<double>(model_.head_dim);
  const double v = static_cast<double>(model_.kv_heads) * static_cast<double>(model_.value_dim());
  const double out = static_cast<double>(model_.heads) * static_cast<double>(model_.value_dim());
  keep(bytes, shard_ * hidden * kBf16, false);
  keep(bytes, shard_ * hidden * input_, recompute_.has(RecomputeModule::kLayernorm));
  keep(bytes, tokens_ * (q + k + v) * kBf16 / tp_, false);
  if (model_.qk_norm) keep(bytes, tokens_ * (q + k) * kBf16 / tp_, false);
  keep(bytes, tokens_ * out * kBf16 / tp_, false);
  keep(bytes, tokens_ * model_.heads * kFp32 / tp_, recompute_.has(RecomputeModule::kCoreAttn));
  bytes.stashed += shard_ * hidden * (input_ + kBf16) + tokens_ * ((q + k + v) * kBf16 + out * input_) / tp_;
  bytes.backward = std::max(bytes.backward, tokens_ * 2.0 * (q + k + v) * kBf16 / tp_ +
                                                shard_ * hidden * kBf16 + exchanged(q, k, v));
}

/// Saved: norm input and output; compressed q and kv before and after their norms; q, k and the kv
/// up-projection (v is a view of it); attention output.
void ActivationBytes::add_mla(LayerBytes& bytes) const {
  const auto hidden = static_cast<double>(model_.hidden);
  const auto heads = static_cast<double>(model_.heads);
  const auto qk = static_cast<double>(model_.qk_nope_dim + model_.qk_rope_dim);
  const auto kv_up = static_cast<double>(model_.qk_nope_dim + model_.v_head_dim);
  const auto compressed = static_cast<double>(model_.q_lora_rank + model_.kv_lora_rank);
  keep(bytes, shard_ * hidden * kBf16, false);
  keep(bytes, shard_ * hidden * input_, recompute_.has(RecomputeModule::kLayernorm));
  keep(bytes, shard_ * compressed * (kBf16 + input_), false);
  keep(bytes, tokens_ * static_cast<double>(model_.qk_rope_dim) * kBf16, false);
  keep(bytes, tokens_ * heads * (2.0 * qk + kv_up) * kBf16 / tp_,
       recompute_.has(RecomputeModule::kMlaUpProj));
  keep(bytes, tokens_ * heads * static_cast<double>(model_.v_head_dim) * kBf16 / tp_, false);
  keep(bytes, tokens_ * heads * kFp32 / tp_, recompute_.has(RecomputeModule::kCoreAttn));
  const double rope = static_cast<double>(model_.qk_rope_dim);
  bytes.stashed +=
      shard_ * (hidden * (input_ + kBf16) + compressed * (input_ + kBf16) + rope * kBf16) +
      tokens_ * heads * ((qk + kv_up) * kBf16 + static_cast<double>(model_.v_head_dim) * input_) / tp_;
  bytes.backward = std::max(
      bytes.backward, tokens_ * heads * (2.0 * qk + kv_up) * kBf16 / tp_ + shard_ * hidden * kBf16 +
                          exchanged(heads * qk, heads * qk, heads * static_cast<double>(model_.v_head_dim)));
}

/// Saved: norm input and output, fc1's output, the activation's output.
void ActivationBytes::add_dense(LayerBytes& bytes) const {
  const auto hidden = static_cast<double>(model_.hidden);
  const auto width = static_cast<double>(model_.dense_ffn) / tp_;
  const double halves = model_.gated ? 2.0 : 1.0;
  const bool again = recompute_.has(RecomputeModule::kMlp);
  keep(bytes, shard_ * hidden * kBf16, false);
  keep(bytes, shard_ * hidden * input_, recompute_.has(RecomputeModule::kLayernorm));
  keep(bytes, tokens_ * width * halves * kBf16, again);
  keep(bytes, tokens_ * width * input_, again);
  bytes.stashed += shard_ * hidden * (input_ + kBf16) + tokens_ * width * (halves * kBf16 + input_);
  bytes.backward =
      std::max(bytes.backward, tokens_ * width * (halves + 1.0) * kBf16 + 2.0 * shard_ * hidden * kBf16);
}

/// Saved: norm input and output, router scores and probabilities, permuted tokens, fc1's output, the
/// activation's output (which carries the probabilities, so that fc2's output is not needed), and the same of
/// the shared experts.
void ActivationBytes::add_moe(LayerBytes& bytes) const {
  const auto hidden = static_cast<double>(model_.hidden);
  const auto width = static_cast<double>(model_.dispatch_width);
  const auto ffn = static_cast<double>(model_.expert_ffn) / etp_;
  const auto shared = static_cast<double>(model_.shared_ffn) / tp_;
  const double halves = model_.gated ? 2.0 : 1.0;
  const bool all = recompute_.has(RecomputeModule::kMoe);
  keep(bytes, shard_ * hidden * kBf16, false);
  keep(bytes, shard_ * hidden * kBf16, recompute_.has(RecomputeModule::kLayernorm));
  keep(bytes, shard_ * model_.experts * 2.0 * kFp32, all);
  keep(bytes, tokens_ * shared * (halves * kBf16 + input_),
       all || recompute_.has(RecomputeModule::kSharedExperts));
  if (model_.has_latent_experts()) keep(bytes, shard_ * width * kBf16, all);

  const double fc1 = width * input_ + ffn * halves * kBf16;
  const double activation = ffn * input_;
  (all ? bytes.dropped_per_row : bytes.kept_per_row) += fc1;
  (all || recompute_.has(RecomputeModule::kMoeAct) ? bytes.dropped_per_row : bytes.kept_per_row) +=
      activation;
  bytes.stashed +=
      shard_ * (hidden * 2.0 * kBf16 + model_.experts * kFp32) + tokens_ * shared * (halves * kBf16 + input_);
  if (model_.has_latent_experts()) bytes.stashed += shard_ * width * 2.0 * kBf16;
  bytes.stashed_per_row = (width + ffn) * input_ + (ffn * halves + width) * kBf16;
  bytes.backward_per_row = ffn * (halves + 1.0) * kBf16;
  bytes.backward = std::max(bytes.backward, shard_ * hidden * kBf16);
}

LayerBytes ActivationBytes::layer(const LayerSpec& layer) const {
  LayerBytes bytes;
  if (layer.mixer == MixerKind::kMla || (layer.mixer == MixerKind::kSparseAttention && model_.is_mla()))
    add_mla(bytes);
  else if (layer.mixer != MixerKind::kNone)
    add_attention(bytes);
  if (layer.ffn == FfnKind::kDense) add_dense(bytes);
  if (layer.ffn == FfnKind::kMoe) add_moe(bytes);
  if (recompute_.mode == RecomputeMode::kFull) {
    // One layer at a time: its input is kept, all else comes back for its backward.
    const double input = shard_ * static_cast<double>(model_.hidden) * kBf16;
    bytes.dropped += std::max(0.0, bytes.kept - input);
    bytes.dropped_per_row += bytes.kept_per_row;
    bytes.kept = input;
    bytes.kept_per_row = 0.0;
  }
  return bytes;
}

}  // namespace moeplan::sim
