#include "sim/cost/kernel_rows.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <initializer_list>

#include "sim/cost/attention_model.h"
#include "sim/cost/gemm_model.h"
#include "sim/cost/grouped_model.h"
#include "sim/cost/profile_data.h"

namespace moeplan::sim {

namespace {

constexpr int kHeldOutOneIn = 5;
// The largest decade of m in the GEMM tables, which end at 32,768, begins above this.
constexpr std::int64_t kLargestFittedRows = 3276;
// Rows of one rank in the grouped tables above which none is fitted: the largest octave of the measured ones.
constexpr std::int64_t kLargestFittedRankRows = 65536;
constexpr int kPowerLawDraws = 6;            // the sources average 5 to 10 draws
constexpr std::int64_t kUniformBlock = 128;  // rows; the DeepEP tables fill experts block by block

/// Vigna's splitmix64 (https://prng.di.unimi.it/splitmix64.c).
std::uint64_t splitmix64(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

bool left_out(std::initializer_list<std::int64_t> sizes) {
  std::uint64_t h = 0;
  for (const std::int64_t size : sizes) h = splitmix64(h ^ static_cast<std::uint64_t>(size));
  return h % kHeldOutOneIn == 0;
}

std::vector<std::int64_t> even_counts(std::int64_t rows, std::int64_t experts, std::int64_t local) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(local), 0);
  for (std::int64_t e = 0; e < experts; ++e) {
    counts[static_cast<std::size_t>(e)] = rows / experts + (e < rows % experts ? 1 : 0);
  }
  return counts;
}

std::optional<double> power_law_exponent(std::string_view distribution) {
  constexpr std::string_view kPrefix = "power_law_";
  if (!distribution.starts_with(kPrefix)) return std::nullopt;
  const std::string_view digits = distribution.substr(kPrefix.size());
  double alpha = 0.0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), alpha);
  if (error != std::errc{} || end != digits.data() + digits.size() || alpha <= 0.0 || alpha == 1.0)
    return std::nullopt;
  return alpha;
}

std::vector<std::int64_t> power_law_counts(const GroupedGemmRow& row, double alpha, int draw) {
  const bool dense = row.num_tokens * row.topk > row.num_experts;
  const double low = dense ? 1.0 : 0.01;
  const double high = dense ? static_cast<double>(row.num_tokens) * 0.8 : 2.0;
  const double a = 1.0 - alpha;
  const double low_a = std::pow(low, a);
  const double high_a = std::pow(high, a);
  const std::uint64_t seed = splitmix64(static_cast<std::uint64_t>(draw) * 1000003ULL +
                                        static_cast<std::uint64_t>(std::llround(alpha * 1000.0)));
  std::vector<double> weights;
  double total = 0.0;
  for (std::int64_t e = 0; e < row.num_experts; ++e) {
    const double u =
        static_cast<double>(splitmix64(seed ^ static_cast<std::uint64_t>(e)) >> 11) / 9007199254740992.0;
    weights.push_back(std::pow((high_a - low_a) * u + low_a, 1.0 / a));
    total += weights.back();
  }
  const double scale = static_cast<double>(row.num_tokens * row.topk) / total;
  const std::int64_t group = row.num_experts / row.moe_ep;
  std::vector<std::int64_t> hottest;
  std::int64_t most = -1;
  for (std::int64_t rank = 0; rank < row.moe_ep; ++rank) {
    std::vector<std::int64_t> counts;
    std::int64_t sum = 0;
    for (std::int64_t e = rank * group; e < (rank + 1) * group; ++e) {
      counts.push_back(std::llround(weights[static_cast<std::size_t>(e)] * scale));
      sum += counts.back();
    }
    if (sum > most) {
      most = sum;
      hottest = std::move(counts);
    }
  }
  return hottest;
}

}  // namespace

std::vector<std::vector<std::int64_t>> token_draws(const GroupedGemmRow& row) {
  if (row.moe_ep <= 0 || row.num_experts < row.moe_ep || row.topk <= 0 || row.num_tokens <= 0) return {};
  const std::int64_t local = row.num_experts / row.moe_ep;
  const std::int64_t rows = row.num_tokens * row.topk / row.moe_ep;
  if (row.distribution == "balanced") return {even_counts(rows, local, local)};
  if (row.distribution == "uniform") {
    const std::int64_t active = std::max<std::int64_t>(1, std::min(local, rows / kUniformBlock));
    return {even_counts(rows, active, local)};
  }
  const std::optional<double> alpha = power_law_exponent(row.distribution);
  if (!alpha) return {};
  std::vector<std::vector<std::int64_t>> draws;
  for (int draw = 0; draw < kPowerLawDraws; ++draw) draws.push_back(power_law_counts(row, *alpha, draw));
  return draws;
}

Estimate predict(const Profile& profile, const GemmRow& row) {
  const ProfileData& data = profile.data();
  const Estimate product = profile.gemm({row.m, row.n, row.k, row.format, GemmPass::kForward});
  return product + table_quantise_time(data, *data.gemm[static_cast<std::size_t>(row.format)], row.m, row.k);
}

std::optional<Estimate> predict(const Profile& profile, const GroupedGemmRow& row) {
  if (row.moe_tp != 1) return std::nullopt;
  const auto& kernels = profile.data().grouped[static_cast<std::size_t>(row.format)];
  const auto& table = kernels[static_cast<std::size_t>(row.kernel)];
  if (!table) return std::nullopt;
  const std::vector<std::vector<std::int64_t>> draws = token_draws(row);
  if (draws.empty()) return std::nullopt;
  Estimate mean;
  for (const std::vector<std::int64_t>& counts : draws) {
    mean += expert_operation_time(profile.data(), *table, counts, row.hidden, row.inter, row.num_tokens);
  }
  return mean * (1.0 / static_cast<double>(draws.size()));
}

std::vector<std::int64_t> tokens_per_expert(const GroupedGemmRow& row) {
  std::vector<std::vector<std::int64_t>> draws = token_draws(row);
  return draws.empty() ? std::vector<std::int64_t>{} : std::move(draws.front());
}

Estimate predict(const Profile& profile, const AttentionRow& row) {
  const AttentionShape shape{row.batch,    row.seq,      row.seq,      row.heads,
                             row.kv_heads, row.head_dim, row.head_dim, true};
  return profile.attention(shape, AttentionPass::kForward) + attention_prepare_time(profile.data(), shape);
}

bool left_out_of_fit(const GemmRow& row) { return row.m > kLargestFittedRows || left_out({row.n, row.k}); }

bool left_out_of_fit(const GroupedGemmRow& row) {
  const std::int64_t ranks = std::max<std::int64_t>(1, row.moe_ep);
  return row.num_tokens * row.topk / ranks > kLargestFittedRankRows ||
         left_out({row.hidden, row.inter, row.num_experts / ranks});
}

bool left_out_of_fit(const AttentionRow& row) { return left_out({row.head_dim, row.heads}); }

std::string_view profile_stem_of_system(std::string_view system) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kStems{
      {{"a100_sxm", "a100-sxm"},
       {"h100_sxm", "h100-sxm"},
       {"h200_sxm", "h200-sxm"},
       {"b200_sxm", "b200-sxm"},
       {"b300_sxm", "b300-sxm"},
       {"gb200", "gb200"},
       {"gb300", "gb300"},
       {"l40s", "l40s"}}};
  for (const auto& [known, stem] : kStems) {
    if (known == system) return stem;
  }
  return "";
}

}  // namespace moeplan::sim
