#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "sim/cost/profile.h"

namespace moeplan::sim {

/// Rows of published kernel tables and what a profile predicts for them. A row's operation may hold more than
/// one of our kernels; each function says which.

/// kernels/gemm.csv: the linear operator of an inference engine, C = A B with bf16 output.
/// For the quantised formats the operation includes the quantisation of A from bf16 (the fit separates the
/// two: docs/models/compute.md).
struct GemmRow {
  NumberFormat format = NumberFormat::kBf16;
  std::int64_t m = 0, n = 0, k = 0;
};
Estimate predict(const Profile& profile, const GemmRow& row);

/// kernels/grouped_gemm.csv: a fused expert MLP. One rank's time; num_tokens counts the tokens of all moe_ep
/// ranks. Includes permute, fc1 (gated, n = 2 inter), activation, fc2 and the weighted sum back to tokens.
struct GroupedGemmRow {
  NumberFormat format = NumberFormat::kBf16;
  std::int64_t num_tokens = 0, hidden = 0, inter = 0;
  std::int64_t topk = 0, num_experts = 0, moe_tp = 1, moe_ep = 1;
  std::string_view distribution;                   ///< "balanced", "uniform" or "power_law_ALPHA"
  GroupedKernel kernel = GroupedKernel::kCutlass;  ///< kDeepGemm for grouped_gemm_deepep.csv
};
/// Empty where the row cannot be expressed: moe_tp > 1, or an unknown distribution.
std::optional<Estimate> predict(const Profile& profile, const GroupedGemmRow& row);

/// Tokens per local expert that such a row runs: `balanced`/`uniform` even shares; `power_law_ALPHA` the
/// quantiles of the bounded power law that the source draws from, of the hottest rank.
std::vector<std::int64_t> tokens_per_expert(const GroupedGemmRow& row);

/// All draws of the same, which a prediction averages over; empty where the distribution is unknown.
std::vector<std::vector<std::int64_t>> token_draws(const GroupedGemmRow& row);

/// kernels/attention_forward.csv: causal, GQA, bf16, window 0.
struct AttentionRow {
  std::int64_t batch = 1, seq = 0, heads = 0, kv_heads = 0, head_dim = 0;
};
Estimate predict(const Profile& profile, const AttentionRow& row);

/// True for the rows that no fit of ours has seen, by a rule that needs nothing but the row. GEMM: every
/// fifth (n, k) at any m, and every m above 3,276, the largest decade of the tables. Grouped GEMM: every
/// fifth (hidden, inter, experts of one rank) at any tokens and distribution, and every row of more than
/// 65,536 tokens on a rank. Attention: every fifth (heads, head size) at any batch, sequence and KV heads.
bool left_out_of_fit(const GemmRow& row);
bool left_out_of_fit(const GroupedGemmRow& row);
bool left_out_of_fit(const AttentionRow& row);

/// "H100 SXM" style column `system` (h100_sxm) -> profile file stem (h100-sxm); empty if we ship none.
std::string_view profile_stem_of_system(std::string_view system);

}  // namespace moeplan::sim
