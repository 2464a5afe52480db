// Attention where ranks hold parts of the sequence: what they exchange, and what of it the core hides.
#include <algorithm>

#include "sim/schedule/host_operations.h"
#include "sim/schedule/layer_kernels.h"
#include "sim/schedule/packing.h"

namespace moeplan::sim {

namespace {

using base::Bytes;
using base::Seconds;

constexpr double kBf16Bytes = 2.0;

double product(std::int64_t a, std::int64_t b) { return static_cast<double>(a) * static_cast<double>(b); }

/// What of `hops` transfers of one step `hiding` does not hide.
Estimate exposed(const Estimate& hop, double hops, const Segment& hiding) {
  Estimate rest = hop;
  rest.time = max(Seconds(), hop.time * hops - hiding.time());
  return rest;
}

}  // namespace

void LayerKernels::core(Segment& segment, const AttentionShape& shape, AttentionPass pass) const {
  if (!fusion_.attention) {
    unfused_core(segment, shape, pass);
    return;
  }
  segment.add("attention", TimeClass::kAttention, profile_.attention(shape, pass));
}

void LayerKernels::core(Segment& segment, const LayerSpec& layer, CorePart part, AttentionPass pass,
                        std::int64_t document) const {
  const AttentionShape whole = core_shape(layer, part);
  if (document == 0) return core(segment, whole, pass);
  Estimate least = profile_.attention(whole, pass);
  const double tokens = product(tokens_.sequences, tokens_.seq_len);
  for (const std::int64_t length : document_nodes(tokens_.seq_len)) {
    if (length < document || length == tokens_.seq_len) continue;
    const AttentionShape shape = core_shape(layer, part, length);
    Estimate packed = profile_.attention(shape, pass);
    packed.time = packed.time * (tokens / product(shape.batch, length));
    if (packed.time < least.time) least = packed;
  }
  least.evidence = worst(least.evidence, Evidence::kInterpolated);
  segment.add("attention", TimeClass::kAttention, least);
}

void LayerKernels::context_traffic(Segment& segment, const LayerSpec& layer, bool backward) const {
  if (plan_.layout.cp == 1) return;
  const AttentionShape shape = core_shape(layer);
  const double bytes =
      product(tokens_.sequences * tokens_.seq_len, shape.kv_heads * (shape.qk_dim + shape.v_dim)) *
      kBf16Bytes;
  collective(segment, "cp all-gather",
             comm_(LayerGroup::kContext, CollectiveKind::kAllGather, Bytes::rounded(bytes)));
  if (backward) {
    collective(segment, "cp reduce-scatter",
               comm_(LayerGroup::kContext, CollectiveKind::kReduceScatter, Bytes::rounded(bytes)));
  }
}

/// One all-to-all of `width` values a token: packed, sent, and put in the order of the sequence.
void LayerKernels::exchange_heads(Segment& segment, const LayerSpec& layer, double width) const {
  if (layer.mixer == MixerKind::kNone) return;
  const double own = static_cast<double>(tokens_.region) * width * kBf16Bytes;
  for (int pass = 0; pass < 2; ++pass) memory(segment, "cp reorder", MemoryOp::kCopy, 2.0 * own);
  collective(
      segment, "cp all-to-all",
      comm_(LayerGroup::kContextHeads, CollectiveKind::kAllToAll, Bytes::rounded(own * plan_.cp_heads())));
}

/// Step i works on the keys and values that have come i hops; with early and late parts of every document on
/// every rank each step has as many pairs: of its own part a causal half, of every other half of the keys, or
/// half of the queries.
void LayerKernels::ring(Segment& segment, const LayerSpec& layer, AttentionPass pass,
                        std::int64_t document) const {
  const int steps = plan_.cp_ring();
  const AttentionShape own = core_shape(layer, CorePart::kOwn);
  const double values = product(own.batch * own.seq_q, own.kv_heads * (own.qk_dim + own.v_dim));
  Estimate hop = comm_(LayerGroup::kContextRing, CollectiveKind::kAllGather,
                       Bytes::rounded(values * kBf16Bytes * steps));
  hop.time = hop.time * (1.0 / (steps - 1));
  const double out = product(own.batch * own.seq_q, own.heads * own.v_dim) * kBf16Bytes;
  for (int i = 0; i < steps; ++i) {
    Segment step;
    core(step, layer, i == 0 ? CorePart::kOwn : CorePart::kOther, pass, document);
    segment.append(step);
    if (pass == AttentionPass::kForward && i > 0) memory(segment, "cp merge", MemoryOp::kAdd, 3.0 * out);
    // Keys and values move on under all steps but the last; their gradients under all but the first.
    const bool keys = i + 1 < steps;
    const bool gradients = pass == AttentionPass::kBackward && i > 0;
    const int transfers = (keys ? 1 : 0) + (gradients ? 1 : 0);
    segment.add_calls(kOperationShare * transfers);
    segment.add("cp ring", TimeClass::kTpComm, exposed(hop, transfers, step));
  }
  // The last hop brings the gradients home.
  if (pass == AttentionPass::kBackward) collective(segment, "cp ring", hop);
}

void LayerKernels::context_core(Segment& segment, const LayerSpec& layer, AttentionPass pass,
                                std::int64_t document) const {
  const bool backward = pass == AttentionPass::kBackward;
  const bool again = backward && recomputes(RecomputeModule::kCoreAttn);
  if (plan_.cp_heads() == 1 && (plan_.cp_ring() == 1 || plan_.cp_comm() == ContextExchange::kAllGather)) {
    context_traffic(segment, layer, backward);
    if (again) core(segment, layer, CorePart::kAll, AttentionPass::kForward, document);
    core(segment, layer, CorePart::kAll, pass, document);
    return;
  }
  const AttentionShape shape = core_shape(layer);
  const auto heads = static_cast<double>(plan_.cp_heads());
  const double in =
      heads * static_cast<double>(shape.heads * shape.qk_dim + shape.kv_heads * (shape.qk_dim + shape.v_dim));
  const double out = heads * static_cast<double>(shape.heads * shape.v_dim);
  const auto work = [&](AttentionPass one) {
    if (plan_.cp_ring() > 1)
      ring(segment, layer, one, document);
    else
      core(segment, layer, CorePart::kAll, one, document);
  };
  if (heads > 1.0) exchange_heads(segment, layer, backward ? out : in);
  if (again) work(AttentionPass::kForward);
  work(pass);
  if (heads > 1.0) exchange_heads(segment, layer, backward ? in : out);
}

}  // namespace moeplan::sim
