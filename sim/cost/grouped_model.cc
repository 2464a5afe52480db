#include "sim/cost/grouped_model.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "sim/cost/gemm_model.h"
#include "sim/cost/weight_sums.h"

namespace moeplan::sim {

namespace {

constexpr double kOutputBytes = 2.0;      // bf16 result
constexpr double kActivationBytes = 4.0;  // gate and up, bf16, per value of the activation's output
constexpr std::int64_t kContractionStep = 64;

std::int64_t ceil_divide(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

struct Load {
  std::int64_t rows = 0;
  std::int64_t active = 0;
};

Load load_of(std::span<const std::int64_t> tokens) {
  Load load;
  for (const std::int64_t t : tokens) {
    load.rows += t;
    load.active += t > 0 ? 1 : 0;
  }
  return load;
}

double memory_rate(const ProfileData& profile, const GroupedTable& table) {
  return profile.hbm_bandwidth.bytes_per_s() * table.memory_efficiency;
}

double forward_memory(const ProfileData& profile, const GroupedTable& table, const Load& load, std::int64_t n,
                      std::int64_t k) {
  const double element = bytes_per_element(table.format);
  const double area = static_cast<double>(load.active) * static_cast<double>(n) * static_cast<double>(k);
  const double bytes =
      area * element + static_cast<double>(load.rows) *
                           (static_cast<double>(k) * element + static_cast<double>(n) * kOutputBytes);
  return bytes / memory_rate(profile, table);
}

double gradient_memory(const ProfileData& profile, const GroupedTable& table, const Load& load,
                       std::int64_t n, std::int64_t k, WeightResult result) {
  const double rate = memory_rate(profile, table);
  const double area = static_cast<double>(load.active) * static_cast<double>(n) * static_cast<double>(k);
  const double inputs =
      static_cast<double>(load.rows) * static_cast<double>(n + k) * bytes_per_element(table.format);
  return inputs / rate + sums_seconds(profile, area, result, rate);
}

/// The faster tile's time: its waves, or what it reads from memory.
double forward_seconds(const ProfileData& profile, const GroupedTable& table,
                       std::span<const std::int64_t> tokens, const Load& load, std::int64_t n, std::int64_t k,
                       double relative_efficiency) {
  const double per_flop = sm_seconds_per_flop(profile, table.format);
  const double memory = forward_memory(profile, table, load, n, k);
  const double weights = static_cast<double>(n) * static_cast<double>(k) * bytes_per_element(table.format);
  const bool spills = profile.l2_cache.count() > 0 && weights > profile.l2_cache.as_double();
  const double reread = spills ? table.reread_share * weights / memory_rate(profile, table) : 0.0;
  double best = std::numeric_limits<double>::infinity();
  for (const TileEfficiency& tile : table.tiles) {
    std::int64_t blocks = 0;
    for (const std::int64_t t : tokens) blocks += ceil_divide(t, tile.m);
    const auto waves = static_cast<double>(ceil_divide(blocks * ceil_divide(n, tile.n), profile.sm_count));
    const double step = 2.0 * tile.m * tile.n * static_cast<double>(k) * per_flop / tile.efficiency;
    double compute = waves * (step + table.wave_overhead_s) / relative_efficiency;
    if (table.clock) compute = table.clock->apply(compute);
    best = std::min(best, std::max(compute, memory + static_cast<double>(blocks - load.active) * reread));
  }
  return best;
}

double weight_gradient_compute(const ProfileData& profile, const GroupedTable& table,
                               std::span<const std::int64_t> tokens, std::int64_t n, std::int64_t k) {
  const double per_flop = sm_seconds_per_flop(profile, table.format);
  double best = std::numeric_limits<double>::infinity();
  for (const TileEfficiency& tile : table.tiles) {
    const auto tiles = static_cast<double>(ceil_divide(k, tile.m) * ceil_divide(n, tile.n));
    double total = 0.0;
    double longest = 0.0;
    for (const std::int64_t t : tokens) {
      if (t <= 0) continue;
      const auto depth = static_cast<double>(ceil_divide(t, kContractionStep) * kContractionStep);
      const double step = 2.0 * tile.m * tile.n * depth * per_flop / tile.efficiency + table.wave_overhead_s;
      total += tiles * step;
      longest = std::max(longest, step);
    }
    best = std::min(best, std::max(total / profile.sm_count, longest));
  }
  return best;
}

double exposed_seconds(const ProfileData& profile, std::span<const std::int64_t> tokens, std::int64_t n,
                       std::int64_t k, WeightResult result) {
  const double values = static_cast<double>(n) * static_cast<double>(k);
  double seconds = 0.0;
  for (const std::int64_t t : tokens)
    if (t > 0) seconds += exposed_sums_seconds(profile, values, t, result);
  return seconds;
}

double product_seconds(const ProfileData& profile, const GroupedTable& table,
                       std::span<const std::int64_t> tokens, const Load& load, std::int64_t n, std::int64_t k,
                       GemmPass pass, WeightResult result, double relative_efficiency) {
  if (pass == GemmPass::kDataGradient) std::swap(n, k);
  double t = table.launch_s;
  if (pass == GemmPass::kWeightGradient) {
    double compute = weight_gradient_compute(profile, table, tokens, n, k) / relative_efficiency;
    if (table.clock) compute = table.clock->apply(compute);
    compute += exposed_seconds(profile, tokens, n, k, result);
    t += std::max(compute, gradient_memory(profile, table, load, n, k, result));
  } else {
    t += forward_seconds(profile, table, tokens, load, n, k, relative_efficiency);
  }
  if (table.correction) {
    const GroupedCorrection& grid = *table.correction;
    const auto rows = static_cast<double>(load.rows);
    const double area = static_cast<double>(n) * static_cast<double>(k);
    const LogAxis::Cell per_active = grid.tokens.locate(rows / static_cast<double>(load.active));
    t *= std::exp(
        interpolate(grid.by_tokens_work, grid.work.size(), per_active, grid.work.locate(rows * area)) +
        interpolate(grid.by_area.data(), grid.area.locate(area)));
  }
  return t;
}

bool inside(const GroupedTable& table, const Load& load, std::int64_t n, std::int64_t k) {
  return table.rows.contains(static_cast<double>(load.rows)) &&
         table.area.contains(static_cast<double>(n) * static_cast<double>(k));
}

}  // namespace

Estimate grouped_gemm_time(const ProfileData& profile, const GroupedTable& table,
                           std::span<const std::int64_t> tokens_per_expert, std::int64_t n, std::int64_t k,
                           GemmPass pass, WeightResult result) {
  const Load load = load_of(tokens_per_expert);
  if (load.rows <= 0 || n <= 0 || k <= 0) return {};
  const bool only_writes = pass == GemmPass::kWeightGradient && !adds_to_sums(pass, result);
  const GemmPass like = only_writes ? GemmPass::kDataGradient : pass;
  const PassFactor& factor = profile.grouped_passes[static_cast<std::size_t>(like)];
  const double t = product_seconds(profile, table, tokens_per_expert, load, n, k, pass, result,
                                   factor.relative_efficiency);
  return with_sustained(with_pass(with_band(table.origin, t, inside(table, load, n, k)), factor), profile);
}

Estimate expert_operation_time(const ProfileData& profile, const GroupedTable& table,
                               std::span<const std::int64_t> tokens_per_expert, std::int64_t hidden,
                               std::int64_t inter, std::int64_t tokens) {
  const Load load = load_of(tokens_per_expert);
  const double hbm = profile.hbm_bandwidth.bytes_per_s();
  const double element = bytes_per_element(table.format);
  const auto rows = static_cast<double>(load.rows);
  const auto h = static_cast<double>(hidden);
  const auto f = static_cast<double>(inter);
  const ExpertOperation& op = table.operation;
  double t = op.fixed_s;
  t += rows * f * (kActivationBytes + element) / (hbm * op.activation_efficiency);
  t += (rows * h * (2.0 * element + kOutputBytes) + static_cast<double>(tokens) * h * kOutputBytes) /
       (hbm * op.move_efficiency);
  if (load.rows > 0) {
    t += product_seconds(profile, table, tokens_per_expert, load, 2 * inter, hidden, GemmPass::kForward,
                         WeightResult::kWriteBf16, 1.0);
    t += product_seconds(profile, table, tokens_per_expert, load, hidden, inter, GemmPass::kForward,
                         WeightResult::kWriteBf16, 1.0);
  }
  return with_sustained(with_band(table.origin, std::max(t, op.floor_s), inside(table, load, hidden, inter)),
                        profile);
}

}  // namespace moeplan::sim
