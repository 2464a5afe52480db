#include "sim/cost/gemm_model.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "sim/cost/weight_sums.h"

namespace moeplan::sim {

namespace {

constexpr std::int64_t kKStep = 64;                      // values of k that one main-loop step takes
constexpr std::array<std::int64_t, 3> kSplits{1, 2, 4};  // of k over thread blocks
constexpr double kOutputBytes = 2.0;                     // bf16 result
constexpr double kPartialBytes = 8.0;                    // fp32 partial sum written and read
constexpr double kInputBytes = 2.0;                      // bf16 values before quantisation
constexpr double kOperandShare = 0.5;  // of the L2 that one operand gets beside the other and the result
// Share of the L2 that a scan leaves to other data before it begins to evict its own lines.
constexpr double kScanShare = 0.7;
// How much a band opens outside the measured range; an assumption, the extrapolation itself is the model's.
constexpr double kExtrapolationLow = 0.8;
constexpr double kExtrapolationHigh = 1.25;

std::int64_t ceil_divide(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// Share of A that half the L2 cannot hold.
double spilled_share(const ProfileData& profile, NumberFormat format, const GemmShape& shape) {
  const double bytes =
      static_cast<double>(shape.m) * static_cast<double>(shape.k) * bytes_per_element(format);
  const double kept = kOperandShare * static_cast<double>(profile.l2_cache.count());
  return kept > 0.0 ? std::max(0.0, 1.0 - kept / bytes) : 0.0;
}

double compute_seconds(const ProfileData& profile, const GemmTable& table, const GemmShape& shape) {
  const std::int64_t sms = profile.sm_count;
  const double seconds_per_flop = sm_seconds_per_flop(profile, table.format);
  const double partial_seconds = kPartialBytes * static_cast<double>(shape.m) * static_cast<double>(shape.n) /
                                 profile.hbm_bandwidth.bytes_per_s();
  double best = std::numeric_limits<double>::infinity();
  for (const TileEfficiency& tile : table.tiles) {
    const std::int64_t blocks = ceil_divide(shape.m, tile.m) * ceil_divide(shape.n, tile.n);
    const double per_k = 2.0 * tile.m * tile.n * seconds_per_flop / tile.efficiency;
    for (const std::int64_t split : kSplits) {
      const auto steps = static_cast<double>(ceil_divide(shape.k, split * kKStep) * kKStep);
      const double filled = static_cast<double>(blocks * split) / static_cast<double>(sms);
      const double waves = filled + (1.0 - table.tail_recovered) * (std::ceil(filled) - filled);
      double t = waves * (per_k * steps + table.wave_overhead_s);
      if (split > 1) t += table.split_overhead_s + static_cast<double>(split) * partial_seconds;
      best = std::min(best, t);
    }
  }
  const double store = kOutputBytes * static_cast<double>(shape.m) * static_cast<double>(shape.n) /
                       profile.hbm_bandwidth.bytes_per_s();
  return best * (1.0 + table.spill_slowdown * spilled_share(profile, table.format, shape)) +
         table.store_exposed * store;
}

double memory_seconds(const ProfileData& profile, const GemmTable& table, const GemmShape& shape) {
  const auto m = static_cast<double>(shape.m);
  const auto n = static_cast<double>(shape.n);
  const auto k = static_cast<double>(shape.k);
  const double inputs = (m * k + n * k) * bytes_per_element(table.format);
  const double rate = profile.hbm_bandwidth.bytes_per_s() * table.memory_efficiency;
  if (shape.pass != GemmPass::kWeightGradient) return (inputs + m * n * kOutputBytes) / rate;
  return inputs / rate + sums_seconds(profile, m * n, shape.result, rate);
}

double exposed_seconds(const ProfileData& profile, const GemmShape& shape) {
  if (!adds_to_sums(shape.pass, shape.result)) return 0.0;
  const double values = static_cast<double>(shape.m) * static_cast<double>(shape.n);
  return exposed_sums_seconds(profile, values, shape.k, shape.result);
}

double correction_factor(const GemmCorrection& grid, const GemmShape& shape) {
  const LogAxis::Cell m = grid.m.locate(static_cast<double>(shape.m));
  const LogAxis::Cell n = grid.n.locate(static_cast<double>(shape.n));
  const LogAxis::Cell k = grid.k_coarse.locate(static_cast<double>(shape.k));
  const LogAxis::Cell n_coarse = grid.n_coarse.locate(static_cast<double>(shape.n));
  return std::exp(interpolate(grid.by_m_n, grid.n.size(), m, n) +
                  interpolate(grid.by_m_k, grid.k_coarse.size(), m, k) +
                  interpolate(grid.by_n_k, grid.k_coarse.size(), n_coarse, k));
}

}  // namespace

Estimate with_band(const TableOrigin& origin, double seconds, bool inside_range) {
  Estimate estimate;
  estimate.time = base::Seconds::of(seconds);
  const std::size_t cell = origin.band.cell(seconds * 1e6);
  estimate.low = origin.band.low[cell];
  estimate.high = origin.band.high[cell];
  estimate.evidence = origin.evidence;
  if (!inside_range && origin.evidence < Evidence::kExtrapolated) {
    estimate.low *= kExtrapolationLow;
    estimate.high *= kExtrapolationHigh;
    estimate.evidence = Evidence::kExtrapolated;
  }
  return estimate;
}

Estimate with_pass(Estimate estimate, const PassFactor& factor) {
  estimate.low *= factor.low;
  estimate.high *= factor.high;
  estimate.evidence = worst(estimate.evidence, factor.evidence);
  return estimate;
}

Estimate with_sustained(Estimate estimate, const ProfileData& profile) {
  if (!profile.is_sustained()) return estimate;
  estimate.evidence = worst(estimate.evidence, profile.sustained->evidence);
  return estimate;
}

double sm_seconds_per_flop(const ProfileData& profile, NumberFormat format) {
  return profile.sm_count /
         (profile.peak[static_cast<std::size_t>(format)].flops_per_s() * profile.compute_factor());
}

Estimate gemm_time(const ProfileData& profile, const GemmTable& table, const GemmShape& shape) {
  if (shape.m <= 0 || shape.n <= 0 || shape.k <= 0) return {};
  // A weight gradient that only writes loses as little against a forward product as a data gradient.
  const GemmPass like = shape.pass == GemmPass::kWeightGradient && !adds_to_sums(shape.pass, shape.result)
                            ? GemmPass::kDataGradient
                            : shape.pass;
  const PassFactor& factor = profile.gemm_passes[static_cast<std::size_t>(like)];
  double compute = compute_seconds(profile, table, shape) / factor.relative_efficiency;
  if (table.clock) compute = table.clock->apply(compute);
  compute += exposed_seconds(profile, shape);
  double t = table.launch_s + std::max(compute, memory_seconds(profile, table, shape));
  if (table.correction) t *= correction_factor(*table.correction, shape);
  const bool inside = table.m.contains(static_cast<double>(shape.m)) &&
                      table.n.contains(static_cast<double>(shape.n)) &&
                      table.k.contains(static_cast<double>(shape.k));
  Estimate estimate = with_band(table.origin, t, inside);
  if (table.beyond) {
    const double growth = table.beyond->at(static_cast<double>(shape.m));
    estimate.low = std::pow(estimate.low, growth);
    estimate.high = std::pow(estimate.high, growth);
  }
  return with_sustained(with_pass(estimate, factor), profile);
}

Estimate table_quantise_time(const ProfileData& profile, const GemmTable& table, std::int64_t m,
                             std::int64_t k) {
  if (!table.quantise) return {};
  const double elements = static_cast<double>(m) * static_cast<double>(k);
  double miss = 1.0;
  if (profile.l2_cache > base::Bytes{}) {
    const double bytes = elements * (kInputBytes + bytes_per_element(table.format));
    miss = std::clamp(
        (bytes / static_cast<double>(profile.l2_cache.count()) - kScanShare) / (1.0 - kScanShare), 0.0, 1.0);
  }
  const double share = miss + (1.0 - miss) * table.quantise->l2_share;
  const double t = table.quantise->fixed_s +
                   elements * table.quantise->bytes_per_element * share / profile.hbm_bandwidth.bytes_per_s();
  return with_band(table.origin, t, true);
}

}  // namespace moeplan::sim
