#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "sim/cost/profile.h"
#include "sim/schedule/segment.h"
#include "sim/workload/model.h"
#include "sim/workload/plan.h"
#include "sim/workload/run.h"

namespace moeplan::sim {

/// The group a collective inside a layer runs over. Of a context-parallel group: all; runs of neighbours that
/// exchange heads; the ranks at the same place of these runs, which keys and values go round.
/// Of a router's loss: the ranks of a tensor- and context-parallel group, and all of a stage.
enum class LayerGroup { kTensor, kContext, kContextHeads, kContextRing, kTensorContext, kStage };
/// Time of such a collective; `buffer` is the full buffer as in solve_ring, of an all-to-all what all ranks
/// of a group hold together.
using LayerComm = std::function<Estimate(LayerGroup, CollectiveKind, base::Bytes)>;

/// Sizes of one micro-batch on one rank.
struct RankTokens {
  std::int64_t sequences = 0;  ///< micro-batch
  std::int64_t seq_len = 0;    ///< whole sequence
  std::int64_t region = 0;     ///< tokens inside a tensor-parallel region: sequences * seq_len / cp
  std::int64_t local =
      0;  ///< tokens that the rank holds between regions: region / tp with sequence parallelism
  std::int64_t routed = 0;  ///< tokens that the rank routes: region / tp
};
RankTokens rank_tokens(const PlanSpec& plan, const RunSpec& run);

/// Distinct tokens / copies that a rank receives under even routing: 1 unless the dispatcher removes
/// duplicates.
double distinct_share(const ModelSpec& model, const PlanSpec& plan);

/// The kernels of one transformer layer on one rank, as segments: lists of kernels with their times.
///
/// Model: docs/models/schedule.md lists each kernel with its shape and bytes. Backward of a linear layer is
/// its data gradient, its weight gradient and the accumulation into the main gradients; TP all-gathers in the
/// backward pass hide behind the data gradient, reduce-scatters behind the weight gradient, and only what is
/// left is exposed. Not modelled: dropout, biases, fused residual-norm kernels, interference of TP traffic
/// with GEMMs.
class LayerKernels {
 public:
  LayerKernels(const ModelSpec& model, const RunSpec& run, const PlanSpec& plan, const Profile& profile,
               LayerComm comm);

  /// `document`: tokens of every document that the sequences are packed with; 0: each is one document.
  Segment attention_forward(const LayerSpec& layer, std::int64_t document = 0) const;
  Segment attention_backward(const LayerSpec& layer, std::int64_t document = 0) const;
  Segment dense_forward() const;
  Segment dense_backward() const;
  /// Norm, shared experts, router, permutation: what comes before the dispatch.
  Segment moe_before_forward() const;
  Segment moe_before_backward() const;
  /// Unpermutation and residual: what comes after the combine. Backward runs it first.
  Segment moe_after_forward() const;
  Segment moe_after_backward() const;
  /// Shared experts in two parts where the plan puts them beside the all-to-alls (shared_experts.h): up to
  /// the activation, and the second product.
  Segment shared_up_forward() const;
  Segment shared_down_forward() const;
  Segment shared_down_backward() const;
  Segment shared_up_backward() const;
  /// What a rank does to the tokens of its slots. Shape: tokens[slot]
  Segment experts_forward(std::span<const std::int64_t> tokens) const;
  Segment experts_backward(std::span<const std::int64_t> tokens) const;

  Segment embedding_forward() const;
  Segment embedding_backward() const;
  /// Final norm, output projection and loss.
  Segment head_forward() const;
  Segment head_backward() const;
  /// The 2h x h projection and the norms in front of a multi-token-prediction block.
  Segment mtp_projection_forward() const;
  Segment mtp_projection_backward() const;

  const RankTokens& tokens() const { return tokens_; }
  /// Bytes that one copy of a token takes in a dispatch and in a combine, probabilities included.
  double dispatch_bytes_per_copy() const;
  double combine_bytes_per_copy() const;
  std::int64_t dispatch_width() const { return model_.dispatch_width; }
  /// SMs that the dispatcher's kernels hold while they run.
  int communication_sms() const;
  const Profile& profile() const { return profile_; }

 private:
  /// What the host does for a segment besides the kernels that it names.
  struct HostWork {
    std::int64_t experts = 1;  ///< products that one grouped layer launches
    int operations = 0;  ///< of router and dispatcher (host_operations.h), which stand for their kernels
    int quantised = 0;   ///< operands of grouped layers, quantised expert by expert
    int weights = 0;     ///< of an expert, whose gradients are handed over
  };
  struct Linear {
    std::string_view name;
    std::int64_t tokens, in, out;
  };
  void forward(Segment& segment, const Linear& linear) const;
  /// `gather` and `scatter`: TP traffic that hides behind data gradient and weight gradient.
  void backward(Segment& segment, const Linear& linear, const Estimate& gather,
                const Estimate& scatter) const;
  void backward(Segment& segment, const Linear& linear) const {
    backward(segment, linear, Estimate{}, Estimate{});
  }
  /// A weight gradient and the part of `traffic` that does not fit behind it.
  void add_weight_gradient(Segment& segment, std::string_view name, const Estimate& product,
                           const Estimate& traffic) const;
  /// A collective that the host calls, and the part of it that does not fit `behind` a product.
  void collective(Segment& segment, std::string_view name, const Estimate& traffic,
                  const Estimate& behind = {}) const;
  void memory(Segment& segment, std::string_view name, MemoryOp op, double moved) const;
  void enter_region(Segment& segment) const;  ///< all-gather of the hidden states
  void leave_region(Segment& segment) const;  ///< reduce-scatter (or all-reduce) of the hidden states
  Estimate gather(std::int64_t tokens, std::int64_t width) const;
  Estimate scatter(std::int64_t tokens, std::int64_t width) const;
  void norm_forward(Segment& segment, std::int64_t tokens, std::int64_t width) const;
  void norm_backward(Segment& segment, std::int64_t tokens, std::int64_t width) const;
  void activation(Segment& segment, std::int64_t tokens, std::int64_t width, bool backward) const;
  void expert_activation(Segment& segment, std::int64_t rows, bool backward) const;
  void expert_bias(Segment& segment, std::int64_t rows, bool backward) const;
  HostWork expert_host(std::int64_t experts, bool backward) const;
  void mlp_forward(Segment& segment, std::int64_t ffn) const;
  void mlp_backward(Segment& segment, std::int64_t ffn, bool recompute) const;
  void mlp_up_forward(Segment& segment, std::int64_t ffn) const;
  void mlp_down_forward(Segment& segment, std::int64_t ffn) const;
  void mlp_down_backward(Segment& segment, std::int64_t ffn) const;
  void mlp_up_backward(Segment& segment, std::int64_t ffn) const;
  void gqa_projections(Segment& segment, bool backward) const;
  void mla_forward(Segment& segment) const;
  void mla_backward(Segment& segment) const;
  /// The attention core and what context parallelism exchanges for it (context_attention.cc).
  void context_core(Segment& segment, const LayerSpec& layer, AttentionPass pass,
                    std::int64_t document) const;
  void router_loss(Segment& segment, bool backward) const;
  void ring(Segment& segment, const LayerSpec& layer, AttentionPass pass, std::int64_t document) const;
  void exchange_heads(Segment& segment, const LayerSpec& layer, double width) const;
  /// What a core works on: all pairs of a rank; of a ring its own keys, or those of another rank.
  enum class CorePart { kAll, kOwn, kOther };
  /// Model: of documents of l tokens, a batch of T / l sequences of l, T tokens in all: the work of one
  /// kernel over cumulative lengths. Never more than at a longer node, of which it is a part.
  void core(Segment& segment, const LayerSpec& layer, CorePart part, AttentionPass pass,
            std::int64_t document) const;
  void core(Segment& segment, const AttentionShape& shape, AttentionPass pass) const;
  AttentionShape core_shape(const LayerSpec& layer, CorePart part = CorePart::kAll,
                            std::int64_t document = 0) const;
  /// Scores, fp16 or bf16, through memory (S values): product 2 S, softmax 4 S, dropout with its mask 5 S,
  /// product; backward four products, dropout 5 S, softmax 6 S. The causal half is not skipped.
  /// Source: Megatron-LM core attention of 2022 (scaled masked softmax fused, dropout and products not).
  void unfused_core(Segment& segment, const AttentionShape& shape, AttentionPass pass) const;
  void context_traffic(Segment& segment, const LayerSpec& layer, bool backward) const;
  void grouped(Segment& segment, std::string_view name, std::span<const std::int64_t> tokens, std::int64_t n,
               std::int64_t k, GemmPass pass) const;
  /// Bytes of the local permutation between received tokens and rows sorted by expert.
  double sorted_bytes(std::int64_t rows, std::size_t slots) const;
  /// Adds what the GPU waits for the host: launches - time, where that is positive.
  void wait_for_launches(Segment& segment, const HostWork& work) const;
  void wait_for_launches(Segment& segment) const { wait_for_launches(segment, HostWork()); }
  bool is_fp8() const;
  bool recomputes(RecomputeModule module) const;
  /// Shared experts that run before the dispatch.
  bool has_shared_before() const { return model_.shared_ffn > 0 && !plan_.overlap.shared_experts; }

  const ModelSpec& model_;
  const PlanSpec& plan_;
  const Profile& profile_;
  PrecisionRecipe precision_;
  bool fused_cross_entropy_;
  double distinct_share_;  // of the copies on a rank, where the dispatcher removes duplicates; else 1
  KernelFusion fusion_;
  GraphScope graph_;
  RouterLoss router_loss_;
  WeightResult weight_result_;  // main gradients have the format they are reduced in
  bool waits_for_counts_;       // the host reads tokens per expert before it can launch the dispatch
  LayerComm comm_;
  RankTokens tokens_;
  int tp_;
  std::int64_t expert_ffn_;  // of an expert's part on one rank: its width / etp
};

}  // namespace moeplan::sim
