#include "calibrate/fit/gemm_fit.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/parallel.h"
#include "calibrate/fit/descend.h"
#include "calibrate/fit/residuals.h"
#include "calibrate/fit/ridge.h"
#include "sim/cost/gemm_model.h"

namespace moeplan::calibrate {

namespace {

using Rows = std::vector<GemmMeasurement>;

constexpr double kUs = 1e-6;
/// Tiles of common kernels, and the first guess of what they reach.
struct Tile {
  int m, n;
  double efficiency;
};
constexpr std::array<Tile, 9> kTiles{{{256, 256, 0.7},
                                      {256, 128, 0.8},
                                      {128, 256, 0.8},
                                      {192, 128, 0.75},
                                      {128, 192, 0.75},
                                      {128, 128, 0.7},
                                      {64, 128, 0.55},
                                      {128, 64, 0.55},
                                      {64, 64, 0.4}}};
enum : std::size_t {
  kLaunch,
  kWave,
  kMemory,
  kSplit,
  kShare,
  kAfter,
  kTail,
  kFixed,
  kBytes,
  kL2Share,
  kSpill,
  kStore,
  kTile
};
constexpr int kRounds = 60;
constexpr int kFoldRounds = 25;   // of the fits by fold, whose constants nobody keeps
constexpr double kPenalty = 2.0;  // of the correction grid; chosen by leaving out a fifth of the fitted slabs
constexpr int kRidgeRounds = 5;
constexpr std::size_t kCoarseNodes = 9;  // of the coarse axes
constexpr std::size_t kFolds = 4;
// Such a mechanism is taken up where it lowers the fit's mean error by at least this share.
constexpr double kWorthwhile = 0.03;

/// Mechanisms that only some kernels show.
struct Effects {
  bool quantise_in_cache = false, spill = false, store = false;
};

std::vector<Parameter> parameters(bool quantised, Effects effects, std::optional<double> launch_s) {
  std::vector<Parameter> p(kTile);
  p[kLaunch] =
      launch_s ? Parameter{*launch_s, *launch_s, *launch_s} : Parameter{2.0 * kUs, 0.3 * kUs, 8.0 * kUs};
  p[kWave] = {1.0 * kUs, 0.05 * kUs, 12.0 * kUs};
  p[kMemory] = {0.7, 0.3, 0.95};
  p[kSplit] = {2.0 * kUs, 0.1 * kUs, 60.0 * kUs};
  p[kShare] = {0.9, 0.5, 1.0};
  p[kAfter] = {1000.0 * kUs, 20.0 * kUs, 1e4 * kUs};
  p[kTail] = {0.3, 0.01, 1.0};
  p[kFixed] = quantised ? Parameter{3.0 * kUs, 0.2 * kUs, 20.0 * kUs} : Parameter{0.0, 0.0, 0.0};
  p[kBytes] = quantised ? Parameter{6.0, 2.0, 24.0} : Parameter{0.0, 0.0, 0.0};
  p[kL2Share] = effects.quantise_in_cache ? Parameter{0.7, 0.1, 1.0} : Parameter{1.0, 1.0, 1.0};
  p[kStore] = effects.store ? Parameter{0.3, 0.01, 4.0} : Parameter{0.0, 0.0, 0.0};
  p[kSpill] = effects.spill ? Parameter{0.05, 0.001, 2.0} : Parameter{0.0, 0.0, 0.0};
  for (const Tile& tile : kTiles) p.push_back({tile.efficiency, 0.1, 1.0});
  return p;
}

sim::GemmTable table_of(sim::NumberFormat format, std::span<const double> p) {
  sim::GemmTable table;
  table.format = format;
  table.launch_s = p[kLaunch];
  table.wave_overhead_s = p[kWave];
  table.memory_efficiency = p[kMemory];
  table.split_overhead_s = p[kSplit];
  table.tail_recovered = p[kTail];
  table.spill_slowdown = p[kSpill];
  table.store_exposed = p[kStore];
  table.clock = sim::ClockDrop{p[kShare], p[kAfter]};
  if (p[kBytes] > 0.0) table.quantise = sim::QuantiseCost{p[kFixed], p[kBytes], p[kL2Share]};
  for (std::size_t i = 0; i < kTiles.size(); ++i)
    table.tiles.push_back({kTiles[i].m, kTiles[i].n, p[kTile + i]});
  return table;
}

double product(const sim::ProfileData& device, const sim::GemmTable& table, const sim::GemmRow& row) {
  return sim::gemm_time(device, table, {row.m, row.n, row.k, row.format, sim::GemmPass::kForward}).time.s();
}

double quantise(const sim::ProfileData& device, const sim::GemmTable& table, const sim::GemmRow& row) {
  return sim::table_quantise_time(device, table, row.m, row.k).time.s();
}

Compared compare(const sim::ProfileData& device, const sim::GemmTable& table, const GemmMeasurement& row) {
  return {product(device, table, row.row) + quantise(device, table, row.row), row.seconds};
}

/// Seconds to four digits of microseconds, shares to four digits.
double rounded(std::size_t index, double value) {
  const bool time =
      index == kLaunch || index == kWave || index == kSplit || index == kAfter || index == kFixed;
  return time ? significant(value / kUs) * kUs : significant(value);
}

struct Mechanism {
  sim::GemmTable table;
  double loss = 0.0;  ///< mean |log(predicted / measured)|
};

Mechanism fit_mechanism(const sim::ProfileData& device, sim::NumberFormat format, const Rows& rows,
                        std::optional<double> launch_s, Effects effects, int rounds) {
  const auto loss = [&](std::span<const double> p) {
    const sim::GemmTable table = table_of(format, p);
    double total = 0.0;
    for (const GemmMeasurement& row : rows) {
      const Compared c = compare(device, table, row);
      total += std::abs(std::log(c.predicted / c.measured));
    }
    return total / static_cast<double>(rows.size());
  };
  std::vector<std::size_t> tiles;
  for (std::size_t i = 0; i < kTiles.size(); ++i) tiles.push_back(kTile + i);
  std::vector<double> p =
      descend(parameters(format != sim::NumberFormat::kBf16, effects, launch_s), {tiles}, loss, rounds);
  const double least = loss(p);
  for (std::size_t i = 0; i < p.size(); ++i)
    if (i != kLaunch || !launch_s) p[i] = rounded(i, p[i]);
  return {table_of(format, p), least};
}

/// The mechanisms that the rows speak for, one after the other.
Effects find_effects(const sim::ProfileData& device, sim::NumberFormat format, const Rows& rows,
                     std::optional<double> launch_s, Mechanism& best) {
  Effects effects;
  const auto consider = [&](bool Effects::*effect) {
    Effects trial = effects;
    trial.*effect = true;
    Mechanism with = fit_mechanism(device, format, rows, launch_s, trial, kRounds);
    if (with.loss > (1.0 - kWorthwhile) * best.loss) return;
    best = std::move(with);
    effects = trial;
  };
  if (device.l2_cache > base::Bytes{}) {
    if (format != sim::NumberFormat::kBf16) consider(&Effects::quantise_in_cache);
    consider(&Effects::spill);
  }
  consider(&Effects::store);
  return effects;
}

std::vector<double> distinct(const Rows& rows, std::int64_t sim::GemmRow::*size) {
  std::set<double> values;
  for (const GemmMeasurement& row : rows) values.insert(static_cast<double>(row.row.*size));
  return {values.begin(), values.end()};
}

/// `count` of the values, evenly spread by rank, first and last included.
std::vector<double> thin(const std::vector<double>& values, std::size_t count) {
  if (values.size() <= count) return values;
  std::set<double> kept;
  for (std::size_t i = 0; i < count; ++i)
    kept.insert(values[(i * (values.size() - 1) + (count - 1) / 2) / (count - 1)]);
  return {kept.begin(), kept.end()};
}

using Terms = std::vector<std::pair<std::size_t, double>>;

Terms hat(const sim::LogAxis& axis, std::int64_t x) {
  const sim::LogAxis::Cell cell = axis.locate(static_cast<double>(x));
  if (cell.fraction == 0.0) return {{cell.lower, 1.0}};
  return {{cell.lower, 1.0 - cell.fraction}, {cell.lower + 1, cell.fraction}};
}

void add_cross(Terms& terms, const Terms& a, const Terms& b, std::size_t columns, std::size_t offset,
               double scale) {
  for (const auto& [i, u] : a)
    for (const auto& [j, v] : b) terms.emplace_back(offset + i * columns + j, u * v * scale);
}

/// Adds the correction grid to a table: for small c, log(measured / predicted) = share of the product * c.
void fit_correction(const sim::ProfileData& device, sim::GemmTable& table, const Rows& rows) {
  sim::GemmCorrection grid;
  grid.m = sim::LogAxis(distinct(rows, &sim::GemmRow::m));
  grid.n = sim::LogAxis(distinct(rows, &sim::GemmRow::n));
  grid.n_coarse = sim::LogAxis(thin(grid.n.nodes(), kCoarseNodes));
  grid.k_coarse = sim::LogAxis(thin(distinct(rows, &sim::GemmRow::k), kCoarseNodes));
  const std::size_t second = grid.m.size() * grid.n.size();
  const std::size_t third = second + grid.m.size() * grid.k_coarse.size();
  const std::size_t size = third + grid.n_coarse.size() * grid.k_coarse.size();
  std::vector<Equation> equations;
  for (const GemmMeasurement& row : rows) {
    const double alone = product(device, table, row.row);
    const double whole = alone + quantise(device, table, row.row);
    Equation equation;
    equation.target = std::log(row.seconds / whole);
    const Terms m = hat(grid.m, row.row.m);
    const Terms k = hat(grid.k_coarse, row.row.k);
    add_cross(equation.terms, m, hat(grid.n, row.row.n), grid.n.size(), 0, alone / whole);
    add_cross(equation.terms, m, k, grid.k_coarse.size(), second, alone / whole);
    add_cross(equation.terms, hat(grid.n_coarse, row.row.n), k, grid.k_coarse.size(), third, alone / whole);
    equations.push_back(std::move(equation));
  }
  std::vector<double> c = solve_ridge(equations, size, kPenalty, kRidgeRounds);
  for (double& value : c) value = round_to(value, 4);
  const auto at = [&](std::size_t i) { return c.begin() + static_cast<std::ptrdiff_t>(i); };
  grid.by_m_n.assign(at(0), at(second));
  grid.by_m_k.assign(at(second), at(third));
  grid.by_n_k.assign(at(third), c.end());
  table.correction = std::move(grid);
}

/// Which quarter of the slabs an (n, k) is in.
std::size_t fold_of(const sim::GemmRow& row) {
  return static_cast<std::size_t>((row.n / 256) * 7 + (row.k / 256) * 13) % kFolds;
}

/// What cross-validation leaves, and how much more of it there is at the largest m, which no fold had seen.
struct Apart {
  std::vector<Compared> rows;  ///< those at the largest m brought back to the spread of the others
  double growth = 1.0;         ///< at least 1
};

double mean_size(const std::vector<Compared>& rows) {
  double total = 0.0;
  for (const Compared& row : rows) total += std::abs(std::log(row.measured / row.predicted));
  return total / static_cast<double>(rows.size());
}

Apart pool(std::vector<Compared> near, const std::vector<Compared>& largest) {
  Apart apart{std::move(near), 1.0};
  if (apart.rows.empty() || largest.empty()) {
    apart.rows.insert(apart.rows.end(), largest.begin(), largest.end());
    return apart;
  }
  const double spread = mean_size(apart.rows);
  if (spread > 0.0) apart.growth = std::max(1.0, mean_size(largest) / spread);
  for (const Compared& row : largest)
    apart.rows.push_back(
        {row.predicted, row.predicted * std::pow(row.measured / row.predicted, 1.0 / apart.growth)});
  return apart;
}

Apart refit_residuals(const sim::ProfileData& device, sim::NumberFormat format, const Rows& fitted,
                      std::optional<double> launch_s, Effects effects, int threads) {
  std::int64_t largest = 0;
  for (const GemmMeasurement& row : fitted) largest = std::max(largest, row.row.m);
  std::array<std::vector<Compared>, kFolds> parts, tops;
  base::parallel_for(kFolds, threads, [&](std::size_t fold) {
    Rows kept, judged;
    for (const GemmMeasurement& row : fitted) {
      const bool out = fold_of(row.row) == fold || row.row.m == largest;
      (out ? judged : kept).push_back(row);
    }
    if (kept.size() < kLeastGemmRows / 2 || judged.empty()) return;
    sim::GemmTable table = fit_mechanism(device, format, kept, launch_s, effects, kFoldRounds).table;
    fit_correction(device, table, kept);
    for (const GemmMeasurement& row : judged)
      (row.row.m == largest ? tops : parts)[fold].push_back(compare(device, table, row));
  });
  std::vector<Compared> near, top;
  for (std::size_t fold = 0; fold < kFolds; ++fold) {
    near.insert(near.end(), parts[fold].begin(), parts[fold].end());
    top.insert(top.end(), tops[fold].begin(), tops[fold].end());
  }
  return pool(std::move(near), top);
}

sim::Interval range_of(const std::vector<double>& values) { return {values.front(), values.back()}; }

/// A table fitted on all of `rows`; its band from refits.
sim::GemmTable fit_table(const sim::ProfileData& device, sim::NumberFormat format, const Rows& rows,
                         std::optional<double> launch_s, int threads) {
  Mechanism best = fit_mechanism(device, format, rows, launch_s, {}, kRounds);
  const Effects effects = find_effects(device, format, rows, launch_s, best);
  sim::GemmTable& table = best.table;
  fit_correction(device, table, rows);
  std::vector<Compared> on_fitted;
  for (const GemmMeasurement& row : rows) on_fitted.push_back(compare(device, table, row));
  table.origin.fitted = summarise(on_fitted);
  const Apart apart = refit_residuals(device, format, rows, launch_s, effects, threads);
  table.origin.band = find_band(apart.rows.empty() ? on_fitted : apart.rows);
  table.beyond = sim::BandGrowth{distinct(rows, &sim::GemmRow::m).back(), significant(apart.growth)};
  table.origin.evidence = sim::Evidence::kMeasured;
  return std::move(best.table);
}

}  // namespace

sim::GemmTable fit_gemm(const sim::ProfileData& device, sim::NumberFormat format, const Rows& rows,
                        std::optional<double> launch_s, int threads, GemmHoldOut hold_out) {
  Rows fitted, held;
  for (const GemmMeasurement& row : rows) (sim::left_out_of_fit(row.row) ? held : fitted).push_back(row);
  MOEPLAN_CHECK(fitted.size() >= kLeastGemmRows, "too few rows to fit a GEMM table");
  sim::GemmTable table = fit_table(device, format, fitted, launch_s, threads);
  std::vector<Compared> on_held;
  for (const GemmMeasurement& row : held) on_held.push_back(compare(device, table, row));
  if (hold_out == GemmHoldOut::kThenAllRows && !held.empty()) table = fit_table(device, format, rows, launch_s, threads);
  table.m = range_of(distinct(rows, &sim::GemmRow::m));
  table.n = range_of(distinct(rows, &sim::GemmRow::n));
  table.k = range_of(distinct(rows, &sim::GemmRow::k));
  if (!held.empty()) table.origin.left_out = summarise(on_held);
  if (held.empty()) table.beyond.reset();
  return table;
}

}  // namespace moeplan::calibrate
