#include "calibrate/fit/grouped_fit.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "base/parallel.h"
#include "calibrate/fit/band_fit.h"
#include "calibrate/fit/descend.h"
#include "calibrate/fit/residuals.h"
#include "sim/cost/grouped_model.h"
#include "sim/cost/kernel_rows.h"

namespace moeplan::calibrate {

namespace {

constexpr double kUs = 1e-6;
constexpr int kTileColumns = 128;
// Row tiles, largest first: what fused kernels choose among; DeepGEMM has one.
const std::vector<int> kFusedTiles{256, 128, 64};
const std::vector<int> kDeepTiles{128};
constexpr std::int64_t kLeastRankRows = 1024;
constexpr std::int64_t kMostRanks = 16;
constexpr int kRounds = 60;
constexpr int kFoldRounds = 30;
constexpr std::size_t kFolds = 4;
constexpr std::size_t kBandClasses = 6;
enum : std::size_t {
  kFixed,
  kFloor,
  kWave,
  kMemory,
  kActivation,
  kMove,
  kShare,
  kAfter,
  kReread,
  kLargestTile,
  kSmallerTiles  // each relative to the next larger
};

/// A sample with the token counts that it may have run.
struct Row {
  const GroupedMeasurement* measured = nullptr;
  std::vector<std::vector<std::int64_t>> draws;
  std::int64_t rank_rows = 0;
};
using Rows = std::vector<Row>;
using Slab = std::tuple<std::int64_t, std::int64_t, std::int64_t>;

sim::GroupedGemmRow row_of(const GroupedGemmSample& s) {
  sim::GroupedGemmRow row;
  row.format = s.format;
  row.num_tokens = s.tokens;
  row.hidden = s.hidden;
  row.inter = s.inter;
  row.topk = s.top_k;
  row.num_experts = s.experts;
  row.moe_tp = s.tensor_ranks;
  row.moe_ep = s.expert_ranks;
  row.distribution = s.distribution;
  row.kernel = s.kernel;
  return row;
}

Compared compare(const sim::ProfileData& device, const sim::GroupedTable& table, const Row& row) {
  const GroupedGemmSample& s = row.measured->sample;
  double total = 0.0;
  for (const std::vector<std::int64_t>& counts : row.draws)
    total += sim::expert_operation_time(device, table, counts, s.hidden, s.inter, s.tokens).time.s();
  return {total / static_cast<double>(row.draws.size()), row.measured->seconds};
}

std::vector<Compared> compare_all(const sim::ProfileData& device, const sim::GroupedTable& table,
                                  const Rows& rows) {
  std::vector<Compared> all;
  for (const Row& row : rows) all.push_back(compare(device, table, row));
  return all;
}

/// What the fit of one table starts from and keeps to.
struct Frame {
  sim::GroupedTable table;  ///< format, kernel and launch
  const std::vector<int>* tiles = nullptr;
  std::vector<Parameter> bounds;
};

Frame frame_of(const sim::ProfileData& device, sim::NumberFormat format, sim::GroupedKernel kernel,
               const Rows& rows, const sim::GemmTable& dense) {
  Frame frame;
  const bool deep = kernel == sim::GroupedKernel::kDeepGemm;
  frame.tiles = deep ? &kDeepTiles : &kFusedTiles;
  frame.table.format = format;
  frame.table.kernel = kernel;
  frame.table.launch_s = dense.launch_s;
  double best_tile = 0.0;
  for (const sim::TileEfficiency& tile : dense.tiles) best_tile = std::max(best_tile, tile.efficiency);
  double largest_weight = 0.0;
  for (const Row& row : rows) {
    const GroupedGemmSample& s = row.measured->sample;
    largest_weight = std::max(largest_weight,
                              2.0 * static_cast<double>(s.hidden * s.inter) * sim::bytes_per_element(format));
  }
  const bool spills = device.l2_cache.count() > 0 && largest_weight > device.l2_cache.as_double();
  std::vector<Parameter> b(kSmallerTiles);
  b[kFixed] = {60.0 * kUs, 1.0 * kUs, 600.0 * kUs};
  b[kFloor] = deep ? Parameter{300.0 * kUs, 1.0 * kUs, 3000.0 * kUs} : Parameter{0.0, 0.0, 0.0};
  b[kWave] = {1.0 * kUs, 0.05 * kUs, std::max(0.1 * kUs, 2.0 * dense.wave_overhead_s)};
  b[kMemory] = {0.8, 0.3, 0.95};
  b[kActivation] = {0.7, 0.3, 0.95};
  b[kMove] = {0.6, 0.1, 0.95};
  b[kShare] = {0.85, 0.5, 1.0};
  b[kAfter] = {1000.0 * kUs, 100.0 * kUs, 1e4 * kUs};
  b[kReread] = spills ? Parameter{0.3, 0.001, 1.0} : Parameter{0.0, 0.0, 0.0};
  b[kLargestTile] = {0.7 * best_tile, 0.1, best_tile};
  b.resize(kSmallerTiles + frame.tiles->size() - 1, {0.9, 0.3, 1.0});
  frame.bounds = std::move(b);
  return frame;
}

sim::GroupedTable table_of(const Frame& frame, std::span<const double> p) {
  sim::GroupedTable table = frame.table;
  table.operation = {p[kFixed], p[kFloor], p[kActivation], p[kMove]};
  table.wave_overhead_s = p[kWave];
  table.memory_efficiency = p[kMemory];
  table.clock = sim::ClockDrop{p[kShare], p[kAfter]};
  table.reread_share = p[kReread];
  double efficiency = 1.0;
  for (std::size_t i = 0; i < frame.tiles->size(); ++i) {
    efficiency *= p[kLargestTile + i];
    table.tiles.push_back({(*frame.tiles)[i], kTileColumns, significant(efficiency)});
  }
  return table;
}

bool is_time(std::size_t index) {
  return index == kFixed || index == kFloor || index == kWave || index == kAfter;
}

sim::GroupedTable fit_mechanism(const sim::ProfileData& device, const Frame& frame, const Rows& rows,
                                int rounds) {
  const auto loss = [&](std::span<const double> p) {
    const sim::GroupedTable table = table_of(frame, p);
    double total = 0.0;
    for (const Row& row : rows) {
      const Compared c = compare(device, table, row);
      total += std::abs(std::log(c.predicted / c.measured));
    }
    return total / static_cast<double>(rows.size());
  };
  std::vector<double> p = descend(frame.bounds, {}, loss, rounds);
  for (std::size_t i = 0; i < p.size(); ++i)
    p[i] = is_time(i) ? significant(p[i] / kUs) * kUs : significant(p[i]);
  return table_of(frame, p);
}

std::vector<Compared> refit_residuals(const sim::ProfileData& device, const Frame& frame, const Rows& fitted,
                                      int threads) {
  std::array<std::vector<Compared>, kFolds> parts;
  base::parallel_for(kFolds, threads, [&](std::size_t fold) {
    Rows kept, judged;
    for (std::size_t i = 0; i < fitted.size(); ++i) (i % kFolds == fold ? judged : kept).push_back(fitted[i]);
    if (kept.size() < kLeastGroupedRows / 2 || judged.empty()) return;
    const sim::GroupedTable table = fit_mechanism(device, frame, kept, kFoldRounds);
    parts[fold] = compare_all(device, table, judged);
  });
  std::vector<Compared> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

void set_range(sim::GroupedTable& table, const Rows& rows) {
  bool first = true;
  const auto widen = [&](sim::Interval& range, double x) {
    range = first ? sim::Interval{x, x} : sim::Interval{std::min(range.low, x), std::max(range.high, x)};
  };
  for (const Row& row : rows) {
    const GroupedGemmSample& s = row.measured->sample;
    widen(table.rows, static_cast<double>(row.rank_rows));
    widen(table.area, static_cast<double>(s.hidden * s.inter));
    first = false;
  }
  table.area.high *= 2.0;  // fc1 has 2 inter columns
}

}  // namespace

bool fits_grouped(const GroupedGemmSample& s) {
  if (s.tensor_ranks != 1 || sim::token_draws(row_of(s)).empty()) return false;
  if (s.kernel == sim::GroupedKernel::kDeepGemm) return true;
  if (s.expert_ranks > 1 && s.distribution != "balanced") return false;
  return s.expert_ranks <= kMostRanks && s.tokens * s.top_k / s.expert_ranks >= kLeastRankRows;
}

std::size_t count_fitted(const std::vector<GroupedMeasurement>& rows) {
  return static_cast<std::size_t>(std::count_if(rows.begin(), rows.end(), [](const GroupedMeasurement& row) {
    return !sim::left_out_of_fit(row_of(row.sample));
  }));
}

sim::GroupedTable fit_grouped(const sim::ProfileData& device, sim::NumberFormat format,
                              sim::GroupedKernel kernel, const std::vector<GroupedMeasurement>& rows,
                              const sim::GemmTable& dense, int threads) {
  Rows all, fitted, held;
  for (const GroupedMeasurement& measured : rows) {
    const GroupedGemmSample& s = measured.sample;
    const sim::GroupedGemmRow shape = row_of(s);
    const Row row{&measured, sim::token_draws(shape), s.tokens * s.top_k / s.expert_ranks};
    all.push_back(row);
    (sim::left_out_of_fit(shape) ? held : fitted).push_back(row);
  }
  MOEPLAN_CHECK(fitted.size() >= kLeastGroupedRows, "too few rows to fit a grouped table");
  sim::ProfileData burst = device;
  burst.sustained.reset();
  const Frame frame = frame_of(burst, format, kernel, fitted, dense);
  sim::GroupedTable table = fit_mechanism(burst, frame, fitted, kRounds);
  set_range(table, all);
  const std::vector<Compared> on_fitted = compare_all(burst, table, fitted);
  table.origin.evidence = sim::Evidence::kMeasured;
  table.origin.fitted = summarise(on_fitted);
  if (!held.empty()) table.origin.left_out = summarise(compare_all(burst, table, held));
  const std::vector<Compared> apart = refit_residuals(burst, frame, fitted, threads);
  table.origin.band = fit_band(apart.empty() ? on_fitted : apart, kBandClasses);
  return table;
}

}  // namespace moeplan::calibrate
