// Linear layers, memory-bound kernels and TP traffic that the parts of a layer share; dense MLP, embedding,
// head.
#include "sim/schedule/layer_kernels.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "sim/collective/token_copies.h"
#include "sim/cost/profile_data.h"
#include "sim/schedule/host_operations.h"

namespace moeplan::sim {

namespace {

using base::Bytes;
using base::Seconds;

constexpr double kBf16Bytes = 2.0;
/// Probability of an expert that travels with each copy of a token, fp32.
constexpr double kProbabilityBytes = 4.0;

double product(std::int64_t a, std::int64_t b) { return static_cast<double>(a) * static_cast<double>(b); }

/// Kernels whose launches are among the counted operations of router and dispatcher.
bool is_counted(std::string_view kernel) {
  static constexpr std::array<std::string_view, 7> kCounted{
      "router", "aux loss", "permute", "unpermute", "sort by expert", "sort by source", "expert bias"};
  return std::find(kCounted.begin(), kCounted.end(), kernel) != kCounted.end();
}

/// What of `traffic` does not fit behind `hiding`.
Estimate exposed(const Estimate& traffic, const Estimate& hiding) {
  Estimate rest = traffic;
  rest.time = max(Seconds(), traffic.time - hiding.time);
  return rest;
}

}  // namespace

double distinct_share(const ModelSpec& model, const PlanSpec& plan) {
  if (!removes_duplicates(plan.dispatcher) || model.top_k < 1 || model.experts < model.top_k) return 1.0;
  const GroupLimit limit =
      model.groups > 1 && model.topk_groups > 0 ? GroupLimit{model.groups, model.topk_groups} : GroupLimit{};
  return expected_distinct(model.experts, model.top_k, plan.layout.ep, limit) / model.top_k;
}

RankTokens rank_tokens(const PlanSpec& plan, const RunSpec& run) {
  RankTokens tokens;
  tokens.sequences = plan.micro_batch;
  tokens.seq_len = run.seq_len;
  tokens.region = plan.micro_batch * run.seq_len / plan.layout.cp;
  tokens.routed = tokens.region / plan.layout.tp;
  tokens.local = plan.layout.sequence_parallel ? tokens.routed : tokens.region;
  return tokens;
}

LayerKernels::LayerKernels(const ModelSpec& model, const RunSpec& run, const PlanSpec& plan,
                           const Profile& profile, LayerComm comm)
    : model_(model),
      plan_(plan),
      profile_(profile),
      precision_(run.precision),
      fused_cross_entropy_(run.fused_cross_entropy),
      distinct_share_(distinct_share(model, plan)),
      fusion_(run.fusion),
      graph_(run.graph),
      router_loss_(run.router_loss),
      weight_result_(bytes_per_element(run.precision.gradient_reduce) > kBf16Bytes ? WeightResult::kAddFp32
                                                                                   : WeightResult::kAddBf16),
      waits_for_counts_(run.gate != GatePolicy::kCapacity && !run.graph.whole_step),
      comm_(std::move(comm)),
      tokens_(rank_tokens(plan, run)),
      tp_(plan.layout.tp),
      expert_ffn_(model.expert_ffn / plan.layout.etp) {}

bool LayerKernels::is_fp8() const { return bytes_per_element(precision_.gemm) < kBf16Bytes; }

bool LayerKernels::recomputes(RecomputeModule module) const {
  return plan_.recompute.mode == RecomputeMode::kSelective && plan_.recompute.has(module);
}

double LayerKernels::dispatch_bytes_per_copy() const {
  return static_cast<double>(model_.dispatch_width) * bytes_per_element(precision_.dispatch) +
         kProbabilityBytes;
}

double LayerKernels::combine_bytes_per_copy() const {
  return static_cast<double>(model_.dispatch_width) * bytes_per_element(precision_.combine);
}

int LayerKernels::communication_sms() const {
  const ProfileData& data = profile_.data();
  if (!removes_duplicates(plan_.dispatcher)) return data.interference.nccl_sms;
  if (plan_.dispatcher_sms > 0) return plan_.dispatcher_sms;
  const EpLibrary library =
      plan_.dispatcher == Dispatcher::kHybridEp ? EpLibrary::kHybridEp : EpLibrary::kDeepEp;
  const EpConstants* constants = data.expert_parallel.find(library, EpOperation::kDispatch);
  return constants != nullptr ? constants->default_sms : 0;
}

void LayerKernels::wait_for_launches(Segment& segment, const HostWork& work) const {
  if (graph_.whole_step) return;
  const Seconds kernel = profile_.launch_overhead();
  std::vector<Seconds> hosts;
  std::string_view before;
  for (const Part& part : segment.parts()) {
    if (part.time_class == TimeClass::kTpComm) {  // counted as calls
      hosts.emplace_back();
      continue;
    }
    // Data and weight gradient of a layer are one call of the framework.
    const bool called = part.time_class == TimeClass::kGemm && part.name != before;
    Seconds host = (called ? profile_.linear_overhead() : kernel) * profile_.framework_share();
    if (work.operations > 0 && is_counted(part.name)) host = Seconds();
    if (part.name.starts_with("experts") && !fusion_.experts)
      host += kernel * static_cast<double>(work.experts - 1);
    hosts.push_back(host);
    before = part.name;
  }
  const double operation = kOperationShare * profile_.framework_share();
  double launches = operation * work.operations + profile_.framework_share() * segment.calls();
  if (!fusion_.experts) {
    launches += static_cast<double>(work.experts * work.weights) * (1.0 + kHookShare * operation);
    if (is_fp8())
      launches += static_cast<double>(work.experts * work.quantised) * quantise_launches(precision_.gemm);
  }
  if (!hosts.empty()) hosts.front() += kernel * launches;
  segment.add_launch_wait(hosts);
}

void LayerKernels::collective(Segment& segment, std::string_view name, const Estimate& traffic,
                              const Estimate& behind) const {
  if (traffic.time <= Seconds()) return;
  segment.add_calls(behind.time > Seconds() ? kOperationShare : 1.0);
  segment.add(name, TimeClass::kTpComm, exposed(traffic, behind));
}

void LayerKernels::memory(Segment& segment, std::string_view name, MemoryOp op, double moved) const {
  if (moved > 0) segment.add(name, TimeClass::kMemory, profile_.memory_op(op, Bytes::rounded(moved)));
}

void LayerKernels::forward(Segment& segment, const Linear& l) const {
  if (is_fp8())
    memory(segment, "quantise", MemoryOp::kQuantise,
           product(l.tokens, l.in) * (kBf16Bytes + bytes_per_element(precision_.gemm)));
  segment.add(l.name, TimeClass::kGemm,
              profile_.gemm({l.tokens, l.out, l.in, precision_.gemm, GemmPass::kForward}));
}

void LayerKernels::add_weight_gradient(Segment& segment, std::string_view name, const Estimate& product,
                                       const Estimate& traffic) const {
  const Estimate rest = exposed(traffic, product);
  Estimate hidden = traffic;
  hidden.time = traffic.time - rest.time;
  segment.add_weight_gradient(name, product, hidden);
  collective(segment, "tp reduce-scatter", traffic, product);
}

void LayerKernels::backward(Segment& segment, const Linear& l, const Estimate& gather,
                            const Estimate& scatter) const {
  if (is_fp8()) {
    const double small = bytes_per_element(precision_.gemm);
    memory(segment, "quantise", MemoryOp::kQuantise, product(l.tokens, l.out) * (kBf16Bytes + small));
    memory(segment, "transpose", MemoryOp::kTranspose, product(l.tokens, l.in + l.out) * 2.0 * small);
  }
  const Estimate dgrad = profile_.gemm({l.tokens, l.in, l.out, precision_.gemm, GemmPass::kDataGradient});
  const Estimate wgrad =
      profile_.gemm({l.in, l.out, l.tokens, precision_.gemm, GemmPass::kWeightGradient, weight_result_});
  segment.add(l.name, TimeClass::kGemm, dgrad);
  collective(segment, "tp all-gather", gather, dgrad);
  add_weight_gradient(segment, l.name, wgrad, scatter);
}

Estimate LayerKernels::gather(std::int64_t tokens, std::int64_t width) const {
  if (tp_ == 1 || !plan_.layout.sequence_parallel) return {};
  return comm_(LayerGroup::kTensor, CollectiveKind::kAllGather,
               Bytes::rounded(product(tokens, width) * kBf16Bytes));
}

Estimate LayerKernels::scatter(std::int64_t tokens, std::int64_t width) const {
  if (tp_ == 1) return {};
  const CollectiveKind kind =
      plan_.layout.sequence_parallel ? CollectiveKind::kReduceScatter : CollectiveKind::kAllReduce;
  return comm_(LayerGroup::kTensor, kind, Bytes::rounded(product(tokens, width) * kBf16Bytes));
}

void LayerKernels::enter_region(Segment& segment) const {
  collective(segment, "tp all-gather", gather(tokens_.region, model_.hidden));
}

void LayerKernels::leave_region(Segment& segment) const {
  collective(segment, "tp reduce-scatter", scatter(tokens_.region, model_.hidden));
}

void LayerKernels::norm_forward(Segment& segment, std::int64_t tokens, std::int64_t width) const {
  memory(segment, "norm", MemoryOp::kNorm, 2.0 * product(tokens, width) * kBf16Bytes);
}

void LayerKernels::norm_backward(Segment& segment, std::int64_t tokens, std::int64_t width) const {
  if (recomputes(RecomputeModule::kLayernorm)) norm_forward(segment, tokens, width);
  memory(segment, "norm", MemoryOp::kNorm, 3.0 * product(tokens, width) * kBf16Bytes);
}

void LayerKernels::activation(Segment& segment, std::int64_t tokens, std::int64_t width,
                              bool backward) const {
  const double arrays = model_.gated ? (backward ? 5.0 : 3.0) : (backward ? 3.0 : 2.0);
  memory(segment, "activation", MemoryOp::kSwiglu, arrays * product(tokens, width) * kBf16Bytes);
}

void LayerKernels::mlp_up_forward(Segment& segment, std::int64_t ffn) const {
  const std::int64_t up = ffn / tp_ * (model_.gated ? 2 : 1);
  enter_region(segment);
  forward(segment, {"fc1", tokens_.region, model_.hidden, up});
  activation(segment, tokens_.region, ffn / tp_, false);
}

void LayerKernels::mlp_down_forward(Segment& segment, std::int64_t ffn) const {
  forward(segment, {"fc2", tokens_.region, ffn / tp_, model_.hidden});
  leave_region(segment);
}

void LayerKernels::mlp_forward(Segment& segment, std::int64_t ffn) const {
  mlp_up_forward(segment, ffn);
  mlp_down_forward(segment, ffn);
}

void LayerKernels::mlp_down_backward(Segment& segment, std::int64_t ffn) const {
  enter_region(segment);
  backward(segment, {"fc2", tokens_.region, ffn / tp_, model_.hidden});
}

void LayerKernels::mlp_up_backward(Segment& segment, std::int64_t ffn) const {
  const std::int64_t up = ffn / tp_ * (model_.gated ? 2 : 1);
  activation(segment, tokens_.region, ffn / tp_, true);
  backward(segment, {"fc1", tokens_.region, model_.hidden, up}, gather(tokens_.region, model_.hidden),
           scatter(tokens_.region, model_.hidden));
}

void LayerKernels::mlp_backward(Segment& segment, std::int64_t ffn, bool recompute) const {
  if (recompute) mlp_forward(segment, ffn);
  mlp_down_backward(segment, ffn);
  mlp_up_backward(segment, ffn);
}

Segment LayerKernels::dense_forward() const {
  Segment segment;
  norm_forward(segment, tokens_.local, model_.hidden);
  mlp_forward(segment, model_.dense_ffn);
  memory(segment, "residual", MemoryOp::kAdd, 3.0 * product(tokens_.local, model_.hidden) * kBf16Bytes);
  wait_for_launches(segment);
  return segment;
}

Segment LayerKernels::dense_backward() const {
  Segment segment;
  mlp_backward(segment, model_.dense_ffn, recomputes(RecomputeModule::kMlp));
  norm_backward(segment, tokens_.local, model_.hidden);
  memory(segment, "residual", MemoryOp::kAdd, 3.0 * product(tokens_.local, model_.hidden) * kBf16Bytes);
  wait_for_launches(segment);
  return segment;
}

Segment LayerKernels::embedding_forward() const {
  Segment segment;
  memory(segment, "embedding", MemoryOp::kEmbedding,
         2.0 * product(tokens_.region, model_.hidden) * kBf16Bytes);
  leave_region(segment);
  return segment;
}

Segment LayerKernels::embedding_backward() const {
  Segment segment;
  enter_region(segment);
  // Reads the gradient, reads and writes the fp32 rows of the table.
  memory(segment, "embedding", MemoryOp::kEmbedding,
         (kBf16Bytes + 8.0) * product(tokens_.region, model_.hidden));
  return segment;
}

Segment LayerKernels::head_forward() const {
  Segment segment;
  const std::int64_t columns = model_.vocab / tp_;
  norm_forward(segment, tokens_.local, model_.hidden);
  enter_region(segment);
  segment.add(
      "logits", TimeClass::kGemm,
      profile_.gemm({tokens_.region, columns, model_.hidden, NumberFormat::kBf16, GemmPass::kForward}));
  // Fused: the bf16 logits are read and the fp32 exponentials written. Not fused: maximum, exponentials and
  // sum pass apart.
  const double bytes = fused_cross_entropy_ ? 6.0 : 16.0;
  memory(segment, "cross entropy", MemoryOp::kCrossEntropy, bytes * product(tokens_.region, columns));
  return segment;
}

Segment LayerKernels::head_backward() const {
  Segment segment;
  const std::int64_t columns = model_.vocab / tp_;
  const double bytes = fused_cross_entropy_ ? 6.0 : 10.0;
  memory(segment, "cross entropy", MemoryOp::kCrossEntropy, bytes * product(tokens_.region, columns));
  const Estimate dgrad =
      profile_.gemm({tokens_.region, model_.hidden, columns, NumberFormat::kBf16, GemmPass::kDataGradient});
  const Estimate wgrad = profile_.gemm({model_.hidden, columns, tokens_.region, NumberFormat::kBf16,
                                        GemmPass::kWeightGradient, weight_result_});
  segment.add("logits", TimeClass::kGemm, dgrad);
  collective(segment, "tp all-gather", gather(tokens_.region, model_.hidden), dgrad);
  add_weight_gradient(segment, "logits", wgrad, scatter(tokens_.region, model_.hidden));
  norm_backward(segment, tokens_.local, model_.hidden);
  return segment;
}

Segment LayerKernels::mtp_projection_forward() const {
  Segment segment;
  norm_forward(segment, 2 * tokens_.local, model_.hidden);
  enter_region(segment);
  forward(segment, {"mtp projection", tokens_.region, 2 * model_.hidden, model_.hidden / tp_});
  return segment;
}

Segment LayerKernels::mtp_projection_backward() const {
  Segment segment;
  backward(segment, {"mtp projection", tokens_.region, 2 * model_.hidden, model_.hidden / tp_});
  norm_backward(segment, 2 * tokens_.local, model_.hidden);
  return segment;
}

}  // namespace moeplan::sim
