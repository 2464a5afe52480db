// The MoE block: router, permutation, experts, shared experts.
#include <algorithm>
#include <numeric>

#include "sim/schedule/host_operations.h"
#include "sim/schedule/layer_kernels.h"

namespace moeplan::sim {

namespace {

constexpr double kBf16Bytes = 2.0;
constexpr double kFp32Bytes = 4.0;

double product(std::int64_t a, std::int64_t b) { return static_cast<double>(a) * static_cast<double>(b); }

std::int64_t total(std::span<const std::int64_t> tokens) {
  return std::accumulate(tokens.begin(), tokens.end(), std::int64_t{0});
}

}  // namespace

/// Balance of the experts: probabilities of all experts summed over the tokens, tokens an expert counted over
/// the group that the loss is taken over (fp32, of each sequence with kSequence); backward a gradient into
/// the scores.
void LayerKernels::router_loss(Segment& segment, bool backward) const {
  if (router_loss_ == RouterLoss::kNone) return;
  const double scores = product(tokens_.routed, model_.experts) * kFp32Bytes;
  memory(segment, "aux loss", backward ? MemoryOp::kAdd : MemoryOp::kReduce,
         backward ? 2.0 * scores : scores);
  if (backward) return;
  const bool global = router_loss_ == RouterLoss::kGlobal;
  const int ranks = global ? plan_.layout.ranks_per_stage() : tp_ * plan_.layout.cp;
  const std::int64_t counts =
      model_.experts * (router_loss_ == RouterLoss::kSequence ? tokens_.sequences : std::int64_t{1});
  if (ranks > 1)
    segment.add("aux loss all-reduce", TimeClass::kTpComm,
                comm_(global ? LayerGroup::kStage : LayerGroup::kTensorContext, CollectiveKind::kAllReduce,
                      base::Bytes::rounded(static_cast<double>(counts) * kFp32Bytes)));
}

Segment LayerKernels::moe_before_forward() const {
  Segment segment;
  const DispatchOperations host = dispatch_operations(plan_.dispatcher);
  const std::int64_t t = tokens_.routed;
  norm_forward(segment, tokens_.local, model_.hidden);
  if (has_shared_before()) mlp_forward(segment, model_.shared_ffn);
  segment.add("router", TimeClass::kGemm,
              profile_.gemm({t, model_.experts, model_.hidden, NumberFormat::kBf16, GemmPass::kForward}));
  // Logits are read, scores and the routing map written.
  memory(segment, "router", MemoryOp::kRouter, 3.0 * product(t, model_.experts) * kFp32Bytes);
  router_loss(segment, false);
  if (model_.has_latent_experts()) forward(segment, {"latent down", t, model_.hidden, model_.dispatch_width});
  if (!removes_duplicates(plan_.dispatcher)) {  // else the dispatch reads each token where it is
    // A token is read once and written top-k times.
    memory(segment, "permute", MemoryOp::kPermute,
           product(t * (model_.top_k + 1), model_.dispatch_width) * kBf16Bytes);
  }
  if (!graph_.router)
    wait_for_launches(segment,
                      {1, router_operations(model_, router_loss_).forward + host.before.forward, 0, 0});
  if (waits_for_counts_) {
    // The queue of launches has run dry when the counts arrive: the next kernel starts one launch later.
    segment.add(kHostSync, TimeClass::kHost,
                exactly(profile_.host_sync() + profile_.launch_overhead(), Evidence::kAssumed));
  }
  return segment;
}

Segment LayerKernels::moe_before_backward() const {
  Segment segment;
  const DispatchOperations host = dispatch_operations(plan_.dispatcher);
  const std::int64_t t = tokens_.routed;
  if (!removes_duplicates(plan_.dispatcher)) {  // the gradient of a gather is a sum over the copies
    memory(segment, "permute", MemoryOp::kUnpermute,
           product(t * (model_.top_k + 1), model_.dispatch_width) * kBf16Bytes);
  }
  if (model_.has_latent_experts())
    backward(segment, {"latent down", t, model_.hidden, model_.dispatch_width});
  router_loss(segment, true);
  memory(segment, "router", MemoryOp::kRouter, 3.0 * product(t, model_.experts) * kFp32Bytes);
  segment.add(
      "router", TimeClass::kGemm,
      profile_.gemm({t, model_.hidden, model_.experts, NumberFormat::kBf16, GemmPass::kDataGradient}));
  segment.add_weight_gradient("router", profile_.gemm({model_.hidden, model_.experts, t, NumberFormat::kBf16,
                                                       GemmPass::kWeightGradient, weight_result_}));
  if (has_shared_before())
    mlp_backward(segment, model_.shared_ffn, recomputes(RecomputeModule::kSharedExperts));
  norm_backward(segment, tokens_.local, model_.hidden);
  memory(segment, "residual", MemoryOp::kAdd, 3.0 * product(tokens_.local, model_.hidden) * kBf16Bytes);
  if (!graph_.router)
    wait_for_launches(segment,
                      {1, router_operations(model_, router_loss_).backward + host.before.backward, 0, 0});
  return segment;
}

Segment LayerKernels::shared_up_forward() const {
  Segment segment;
  mlp_up_forward(segment, model_.shared_ffn);
  wait_for_launches(segment);
  return segment;
}

Segment LayerKernels::shared_down_forward() const {
  Segment segment;
  mlp_down_forward(segment, model_.shared_ffn);
  wait_for_launches(segment);
  return segment;
}

Segment LayerKernels::shared_down_backward() const {
  Segment segment;
  mlp_down_backward(segment, model_.shared_ffn);
  wait_for_launches(segment);
  return segment;
}

Segment LayerKernels::shared_up_backward() const {
  Segment segment;
  mlp_up_backward(segment, model_.shared_ffn);
  wait_for_launches(segment);
  return segment;
}

Segment LayerKernels::moe_after_forward() const {
  Segment segment;
  const std::int64_t t = tokens_.routed;
  if (!removes_duplicates(plan_.dispatcher)) {  // else the combine adds the copies up
    memory(segment, "unpermute", MemoryOp::kUnpermute,
           product(t * (model_.top_k + 1), model_.dispatch_width) * kBf16Bytes);
  }
  if (model_.has_latent_experts()) forward(segment, {"latent up", t, model_.dispatch_width, model_.hidden});
  const double adds = model_.shared_ffn > 0 ? 6.0 : 3.0;  // residual, and the shared experts' output
  memory(segment, "residual", MemoryOp::kAdd, adds * product(tokens_.local, model_.hidden) * kBf16Bytes);
  wait_for_launches(segment, {1, dispatch_operations(plan_.dispatcher).after.forward, 0, 0});
  return segment;
}

Segment LayerKernels::moe_after_backward() const {
  Segment segment;
  const std::int64_t t = tokens_.routed;
  if (model_.has_latent_experts()) backward(segment, {"latent up", t, model_.dispatch_width, model_.hidden});
  if (!removes_duplicates(plan_.dispatcher)) {
    memory(segment, "unpermute", MemoryOp::kPermute,
           product(t * (model_.top_k + 1), model_.dispatch_width) * kBf16Bytes);
  }
  wait_for_launches(segment, {1, dispatch_operations(plan_.dispatcher).after.backward, 0, 0});
  return segment;
}

double LayerKernels::sorted_bytes(std::int64_t rows, std::size_t slots) const {
  const double all = product(rows, model_.dispatch_width) * kBf16Bytes;
  // Received once a rank, read from there, written once an expert (and added up on the way back).
  if (removes_duplicates(plan_.dispatcher)) return all * (1.0 + distinct_share_);
  return slots > 1 ? 2.0 * all : 0.0;
}

void LayerKernels::grouped(Segment& segment, std::string_view name, std::span<const std::int64_t> tokens,
                           std::int64_t n, std::int64_t k, GemmPass pass) const {
  const GroupedKernel kernel = fusion_.experts ? GroupedKernel::kDefault : GroupedKernel::kPerExpert;
  const WeightResult result = fusion_.accumulation ? weight_result_ : WeightResult::kWriteBf16;
  const Estimate estimate = profile_.grouped_gemm(tokens, n, k, precision_.gemm, pass, kernel, result);
  if (pass == GemmPass::kWeightGradient)
    segment.add_weight_gradient(name, estimate);
  else
    segment.add(name, TimeClass::kGemm, estimate);
}

/// The activation and the product with the router's fp32 probability. Not fused, per value of the result:
/// forward  activation in bf16; product in fp32 (reads 2 B, writes 4); cast back (4 + 2)
/// backward cast (2 + 4); gradient of the activation, fp32 (4 + 4), and cast (4 + 2); gradient of the
///          probability (4 + 2 + 4) and its sum over a row (4); activation
void LayerKernels::expert_activation(Segment& segment, std::int64_t rows, bool is_backward) const {
  if (fusion_.epilogue) return;
  const double values = product(rows, expert_ffn_);
  if (fusion_.activation || !is_backward) activation(segment, rows, expert_ffn_, is_backward);
  if (fusion_.activation) return;
  if (!is_backward) {
    memory(segment, "weighting", MemoryOp::kCast, 6.0 * values);
    memory(segment, "weighting", MemoryOp::kCast, 6.0 * values);
    return;
  }
  for (const double bytes : {6.0, 8.0, 6.0, 10.0})
    memory(segment, "weighting", MemoryOp::kCast, bytes * values);
  memory(segment, "weighting", MemoryOp::kReduce, 4.0 * values);
  activation(segment, rows, expert_ffn_, true);
}

/// The bias of the second product times the router's probability, expert by expert and in fp32, per value of
/// the result: forward  bias times probability (4 B written); sum with the result (2 + 4 + 4); all experts
/// together (4 + 4); cast (4 + 2) backward cast (2 + 4); of an expert cast (4 + 2), gradient times bias (4 +
/// 4) and its sum (4), times probability (4 + 4)
///          and its sum (4); all experts together (2 + 2)
/// The first product holds its bias. Source: Megatron-Core 0.16.1, TEGroupedMLP._apply_bias.
void LayerKernels::expert_bias(Segment& segment, std::int64_t rows, bool is_backward) const {
  if (!model_.expert_bias || fusion_.epilogue) return;
  const double values = product(rows, model_.dispatch_width);
  if (!is_backward) {
    for (const double bytes : {4.0, 10.0}) memory(segment, "expert bias", MemoryOp::kAdd, bytes * values);
    memory(segment, "expert bias", MemoryOp::kCopy, 8.0 * values);
    memory(segment, "expert bias", MemoryOp::kCast, 6.0 * values);
    return;
  }
  for (const double bytes : {6.0, 6.0}) memory(segment, "expert bias", MemoryOp::kCast, bytes * values);
  for (const double bytes : {8.0, 8.0}) memory(segment, "expert bias", MemoryOp::kAdd, bytes * values);
  for (const double bytes : {4.0, 4.0}) memory(segment, "expert bias", MemoryOp::kReduce, bytes * values);
  memory(segment, "expert bias", MemoryOp::kCopy, 4.0 * values);
}

LayerKernels::HostWork LayerKernels::expert_host(std::int64_t experts, bool is_backward) const {
  const PassOperations around = dispatch_operations(plan_.dispatcher).experts;
  const bool biased = model_.expert_bias && !fusion_.epilogue;
  HostWork work;
  work.experts = experts;
  work.operations = is_backward ? around.backward : around.forward;
  if (biased)
    work.operations +=
        static_cast<int>(experts) * (is_backward ? kBiasOperations.backward : kBiasOperations.forward);
  work.quantised = 2;
  if (is_backward) work.weights = model_.expert_bias ? 4 : 2;
  return work;
}

Segment LayerKernels::experts_forward(std::span<const std::int64_t> tokens) const {
  Segment segment;
  const std::int64_t rows = total(tokens);
  const std::int64_t width = model_.dispatch_width;
  const std::int64_t up = expert_ffn_ * (model_.gated ? 2 : 1);
  const double sorted = sorted_bytes(rows, tokens.size());
  const double small = kBf16Bytes + bytes_per_element(precision_.gemm);
  memory(segment, "sort by expert", MemoryOp::kPermute, sorted);
  const double padded = is_fp8() && !fusion_.padding ? 2.0 * product(rows, width) * kBf16Bytes : 0.0;
  memory(segment, "pad", MemoryOp::kCopy, padded);
  if (is_fp8() && !fusion_.cached_weights) {
    // Read once, written by rows and by columns.
    const auto experts = static_cast<std::int64_t>(tokens.size());
    memory(segment, "quantise", MemoryOp::kQuantise,
           product(experts * (up + expert_ffn_), width) *
               (kBf16Bytes + 2.0 * bytes_per_element(precision_.gemm)));
  }
  if (is_fp8()) memory(segment, "quantise", MemoryOp::kQuantise, product(rows, width) * small);
  grouped(segment, "experts fc1", tokens, up, width, GemmPass::kForward);
  expert_activation(segment, rows, false);
  if (is_fp8() && !fusion_.epilogue)
    memory(segment, "quantise", MemoryOp::kQuantise, product(rows, expert_ffn_) * small);
  grouped(segment, "experts fc2", tokens, width, expert_ffn_, GemmPass::kForward);
  expert_bias(segment, rows, false);
  memory(segment, "pad", MemoryOp::kCopy, padded);
  memory(segment, "sort by source", MemoryOp::kPermute, sorted);
  wait_for_launches(segment, expert_host(static_cast<std::int64_t>(tokens.size()), false));
  return segment;
}

Segment LayerKernels::experts_backward(std::span<const std::int64_t> tokens) const {
  Segment segment;
  const std::int64_t rows = total(tokens);
  const std::int64_t width = model_.dispatch_width;
  const std::int64_t up = expert_ffn_ * (model_.gated ? 2 : 1);
  const double sorted = sorted_bytes(rows, tokens.size());
  const double gemm_bytes = bytes_per_element(precision_.gemm);
  memory(segment, "sort by source", MemoryOp::kPermute, sorted);
  const double padded = is_fp8() && !fusion_.padding ? 2.0 * product(rows, width) * kBf16Bytes : 0.0;
  memory(segment, "pad", MemoryOp::kCopy, padded);
  if (is_fp8()) {
    const std::int64_t inner = fusion_.epilogue ? 0 : up;
    memory(segment, "quantise", MemoryOp::kQuantise,
           product(rows, width + inner) * (kBf16Bytes + gemm_bytes));
    memory(segment, "transpose", MemoryOp::kTranspose,
           product(rows, 2 * width + (fusion_.epilogue ? 0 : expert_ffn_) + inner) * 2.0 * gemm_bytes);
  }
  expert_bias(segment, rows, true);
  if (recomputes(RecomputeModule::kMoeAct)) activation(segment, rows, expert_ffn_, false);
  grouped(segment, "experts fc2", tokens, width, expert_ffn_, GemmPass::kDataGradient);
  grouped(segment, "experts fc2", tokens, width, expert_ffn_, GemmPass::kWeightGradient);
  expert_activation(segment, rows, true);
  grouped(segment, "experts fc1", tokens, up, width, GemmPass::kDataGradient);
  grouped(segment, "experts fc1", tokens, up, width, GemmPass::kWeightGradient);
  memory(segment, "pad", MemoryOp::kCopy, padded);
  memory(segment, "sort by expert", MemoryOp::kPermute, sorted);
  wait_for_launches(segment, expert_host(static_cast<std::int64_t>(tokens.size()), true));
  return segment;
}

}  // namespace moeplan::sim
