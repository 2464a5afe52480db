#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/units.h"
#include "sim/collective/expert_parallel_rows.h"
#include "sim/collective/nccl_log.h"
#include "sim/collective/nccl_model.h"
#include "sim/cost/format.h"
#include "sim/cost/ops.h"
#include "sim/cost/profile_data.h"

namespace moeplan::calibrate {

/// One matrix product; for a quantised format the operation holds the quantisation of A from bf16, too.
struct GemmSample {
  sim::GemmShape shape;
};

/// A fused expert MLP on one rank: permute, fc1 (gated), activation, fc2, weighted sum back. `tokens` counts
/// those of all `expert_ranks`; `distribution` is "balanced", "uniform" or "power_law_ALPHA".
struct GroupedGemmSample {
  sim::NumberFormat format = sim::NumberFormat::kBf16;
  sim::GroupedKernel kernel = sim::GroupedKernel::kCutlass;
  std::int64_t tokens = 0, hidden = 0, inter = 0, top_k = 0, experts = 0, tensor_ranks = 1, expert_ranks = 1;
  std::string distribution;
};

/// Attention over whole sequences, in bf16. `preparation`: the operation holds rotary embedding and the
/// KV-cache write beside the core. window = 0: none.
struct AttentionSample {
  sim::AttentionPass pass = sim::AttentionPass::kForward;
  std::int64_t batch = 1, seq = 0, heads = 0, kv_heads = 0, head_dim = 0, v_dim = 0, window = 0;
  bool causal = true, preparation = true;
};

/// A collective out of place over `group.local` GPUs of each of `group.nodes` nodes; S (`size`) as nccl-tests
/// counts it.
struct CollectiveShape {
  sim::NcclTest test = sim::NcclTest::kAllGather;
  sim::NcclGroup group;
  base::Bytes size;
  std::string cluster;  ///< whose links these are; empty where nobody says
  std::optional<base::BytesPerSecond>
      nic;  ///< one GPU's share of its node's NICs; over nodes, where it is known
};

/// One operation of an expert-parallel library; the row's system, stem and time are the sample's.
struct ExpertParallelShape {
  sim::EpRow row;
};

/// A bare product over `groups` experts of `rows` tokens each, n outputs and k inputs of the layer in every
/// pass.
struct GroupedProductSample {
  sim::NumberFormat format = sim::NumberFormat::kBf16;
  sim::GemmPass pass = sim::GemmPass::kForward;
  std::int64_t groups = 0, rows = 0, n = 0, k = 0;
  sim::WeightResult result = sim::WeightResult::kAddFp32;  ///< of a weight gradient
};

/// A kernel that is bound by memory; bytes read plus written, each operand once. `variant` tells kernels of
/// one class apart ("swiglu_backward").
struct MemorySample {
  sim::MemoryOp op = sim::MemoryOp::kCopy;
  std::string variant;
  base::Bytes bytes;
};

using SampleShape = std::variant<GemmSample, GroupedGemmSample, AttentionSample, CollectiveShape,
                                 ExpertParallelShape, GroupedProductSample, MemorySample>;
/// "gemm", "grouped_gemm", "attention", "collective", "expert_parallel", "grouped_product", "memory_op".
std::string_view kind_name(const SampleShape& shape);

/// One measured time: what ran where, under which software and method, and who says so.
struct Sample {
  std::string gpu;       ///< as profiles are named: "h100-sxm"
  std::string software;  ///< "TRTLLM 1.3.0rc20, torch_flow"
  sim::TimingMethod method = sim::TimingMethod::kBurst;
  std::optional<double> power_limit_w;
  SampleShape shape;
  base::Seconds time;
  std::string file;  ///< where it was read, and at which line
  int line = 0;
  std::string citation;
};

/// One JSON object a line, schema moeplan.sample/1 (docs/formats/samples.md).
std::string write_samples(const std::vector<Sample>& samples);
/// Throws InputError with FILE:LINE:COLUMN for every fault.
std::vector<Sample> parse_samples(std::string_view text, const std::string& file);
std::vector<Sample> load_samples(const std::string& path);

}  // namespace moeplan::calibrate
