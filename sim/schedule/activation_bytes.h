#pragma once

#include <cstdint>

#include "sim/workload/model.h"
#include "sim/workload/plan.h"
#include "sim/workload/run.h"

namespace moeplan::sim {

/// Bytes that one layer keeps for its backward pass, for one micro-batch on one rank.
///
/// Model:   docs/models/memory.md: what TransformerEngine's and Megatron-Core's autograd functions save, in
/// bf16 (or the
///          GEMM format for the inputs of products), flash attention, router in fp32
/// Symbols: rows = token copies that reach the experts of the rank
struct LayerBytes {
  double kept = 0.0;          ///< until the layer's backward, apart from the experts
  double kept_per_row = 0.0;  ///< experts, per row
  double dropped = 0.0;       ///< computed again in backward, alive for that layer alone
  double dropped_per_row = 0.0;
  double stashed = 0.0;  ///< where weight gradients wait: inputs and output gradients of products
  double stashed_per_row = 0.0;
  double backward =
      0.0;  ///< gradients alive at the worst moment of the layer's backward, apart from the experts
  double backward_per_row = 0.0;
};

/// What layers of a plan cost; all numbers that do not depend on the layer are taken once.
class ActivationBytes {
 public:
  ActivationBytes(const ModelSpec& model, const RunSpec& run, const PlanSpec& plan);

  LayerBytes layer(const LayerSpec& layer) const;
  /// Tokens of one micro-batch in the sequence shard of one context-parallel rank.
  double tokens() const { return tokens_; }
  /// Tokens that a rank holds outside the tensor-parallel regions: tokens / tp under sequence parallelism.
  double shard_tokens() const { return shard_; }
  /// Token copies that reach the experts of a rank under an even load.
  double mean_rows() const { return shard_ * etp_ * model_.top_k; }

 private:
  void add_attention(LayerBytes& bytes) const;
  void add_mla(LayerBytes& bytes) const;
  void add_dense(LayerBytes& bytes) const;
  void add_moe(LayerBytes& bytes) const;
  double exchanged(double query, double key, double value) const;
  void keep(LayerBytes& bytes, double amount, bool recomputed) const;

  const ModelSpec& model_;
  const Recompute& recompute_;
  double tokens_;
  double shard_;
  double tp_;
  double cp_ = 1;  ///< ranks of a context-parallel group
  ContextExchange cp_comm_ = ContextExchange::kAllGather;
  double etp_;
  double input_;  ///< bytes per element of a product's saved input
};

}  // namespace moeplan::sim
