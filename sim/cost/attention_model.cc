#include "sim/cost/attention_model.h"

#include <algorithm>
#include <cmath>

#include "sim/cost/gemm_model.h"

namespace moeplan::sim {

namespace {

constexpr std::int64_t kQueryBlock = 128;  // queries of one thread block
constexpr double kElementBytes = 2.0;      // bf16

double head_size(const AttentionShape& s) { return 0.5 * static_cast<double>(s.qk_dim + s.v_dim); }

double correction_factor(const AttentionTable& table, const AttentionShape& s) {
  if (!table.correction) return 1.0;
  const AttentionCorrection& grid = *table.correction;
  const LogAxis::Cell dim = grid.dim.locate(head_size(s));
  const LogAxis::Cell seq = grid.seq.locate(static_cast<double>(s.seq_q));
  const LogAxis::Cell heads = grid.heads.locate(static_cast<double>(s.batch * s.heads));
  const double ratio =
      static_cast<double>(s.heads) / static_cast<double>(std::max<std::int64_t>(1, s.kv_heads));
  const LogAxis::Cell group = grid.group.locate(ratio);
  const std::size_t rows = grid.seq.size();
  const std::size_t columns = grid.heads.size();
  const auto plane = [&](std::size_t d) {
    const double* values = grid.by_dim_seq_heads.data() + (d * rows + seq.lower) * columns;
    const double lower = interpolate(values, heads);
    return seq.fraction == 0.0
               ? lower
               : (1.0 - seq.fraction) * lower + seq.fraction * interpolate(values + columns, heads);
  };
  double c = plane(dim.lower);
  if (dim.fraction > 0.0) c = (1.0 - dim.fraction) * c + dim.fraction * plane(dim.lower + 1);
  return std::exp(c + interpolate(grid.by_dim_group, grid.group.size(), dim, group));
}

Evidence shape_evidence(const AttentionTable& table, const AttentionShape& s) {
  if (s.qk_dim != s.v_dim) return Evidence::kAssumed;
  if (!table.correction) return table.origin.evidence;
  const std::vector<double>& dims = table.correction->dim.nodes();
  const bool known = std::find(dims.begin(), dims.end(), head_size(s)) != dims.end();
  return known && s.causal && s.seq_q == s.seq_kv ? Evidence::kMeasured : Evidence::kInterpolated;
}

bool inside(const AttentionTable& table, const AttentionShape& s) {
  if (!table.correction) return true;
  const AttentionCorrection& grid = *table.correction;
  const auto within = [](const LogAxis& axis, double x) {
    return axis.nodes().front() <= x && x <= axis.nodes().back();
  };
  return within(grid.dim, head_size(s)) && within(grid.seq, static_cast<double>(s.seq_q)) &&
         within(grid.heads, static_cast<double>(s.batch * s.heads));
}

}  // namespace

Estimate attention_time(const ProfileData& profile, const AttentionShape& s, AttentionPass pass) {
  if (s.batch <= 0 || s.seq_q <= 0 || s.seq_kv <= 0 || s.heads <= 0) return {};
  const AttentionTable& table = profile.attention;
  const auto q = static_cast<double>(s.seq_q);
  const auto kv = static_cast<double>(s.seq_kv);
  const double pairs = s.causal ? q * (kv - 0.5 * (q - 1.0)) : q * kv;
  const double width = 2.0 * static_cast<double>(s.qk_dim + s.v_dim) + 4.0 * table.softmax_dim;
  const double rate = profile.peak[static_cast<std::size_t>(NumberFormat::kBf16)].flops_per_s() *
                      profile.compute_factor() * table.efficiency;
  const double work = width * static_cast<double>(s.batch) * static_cast<double>(s.heads) * pairs / rate;
  const double longest =
      width * static_cast<double>(std::min(kQueryBlock, s.seq_q)) * kv * profile.sm_count / rate;
  double t = (table.launch_s + std::max(work + table.tail * longest, longest)) * correction_factor(table, s);
  const PassFactor& backward = table.backward_of(s.qk_dim != s.v_dim);
  if (pass == AttentionPass::kBackward) {
    const double launch = std::min(t, table.launch_s);
    t = launch + (t - launch) * table.backward_flop_ratio / backward.relative_efficiency;
  }
  Estimate estimate = with_band(table.origin, t, inside(table, s));
  estimate.evidence = worst(estimate.evidence, shape_evidence(table, s));
  estimate = with_sustained(estimate, profile);
  return pass == AttentionPass::kBackward ? with_pass(estimate, backward) : estimate;
}

Estimate attention_prepare_time(const ProfileData& profile, const AttentionShape& s) {
  const AttentionTable& table = profile.attention;
  const double values = static_cast<double>(s.batch) * static_cast<double>(s.seq_q) *
                        static_cast<double>(s.qk_dim + s.v_dim) * static_cast<double>(s.heads + s.kv_heads);
  const double t = values * kElementBytes / (profile.hbm_bandwidth.bytes_per_s() * table.prepare_efficiency);
  return with_band(table.origin, t * correction_factor(table, s), inside(table, s));
}

}  // namespace moeplan::sim
