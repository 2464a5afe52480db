#include "calibrate/fit/attention_fit.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/parallel.h"
#include "calibrate/fit/band_fit.h"
#include "calibrate/fit/descend.h"
#include "calibrate/fit/residuals.h"
#include "calibrate/fit/ridge.h"
#include "sim/cost/attention_model.h"
#include "sim/cost/kernel_rows.h"

namespace moeplan::calibrate {

namespace {

using Rows = std::vector<AttentionMeasurement>;
using Slab = std::pair<std::int64_t, std::int64_t>;  // head size, heads

constexpr double kUs = 1e-6;
enum : std::size_t { kLaunch, kEfficiency, kTail, kPrepare, kSoftmax, kParameters };
constexpr std::array<Parameter, kParameters> kBounds{{{5.0 * kUs, 2.0 * kUs, 40.0 * kUs},
                                                      {0.6, 0.1, 1.0},
                                                      {0.5, 0.01, 1.0},
                                                      {0.5, 0.1, 0.9},
                                                      {20.0, 1.0, 200.0}}};
constexpr int kRounds = 60;
constexpr double kPenalty = 0.1;  // of the correction grid
constexpr int kRidgeRounds = 6;
constexpr std::size_t kFolds = 5;
constexpr std::size_t kBandClasses = 4;
constexpr std::size_t kMostDims = 4, kMostSeqs = 7;  // nodes; a profile holds at most 400 values per table
const std::vector<double> kHeadNodes{1, 2, 4, 8, 16, 32, 64, 96, 192, 384};  // batch x heads
const std::vector<double> kGroupNodes{1, 2, 4, 8, 16, 32, 96};               // heads / kv heads

sim::AttentionShape shape_of(const AttentionSample& s) {
  return {s.batch, s.seq, s.seq, s.heads, s.kv_heads, s.head_dim, s.v_dim, s.causal};
}

bool is_left_out(const AttentionSample& s) {
  return sim::left_out_of_fit(sim::AttentionRow{s.batch, s.seq, s.heads, s.kv_heads, s.head_dim});
}

Slab slab_of(const AttentionMeasurement& row) { return {row.sample.head_dim, row.sample.heads}; }

Compared compare(const sim::ProfileData& device, const AttentionMeasurement& row) {
  const sim::AttentionShape shape = shape_of(row.sample);
  return {sim::attention_time(device, shape, sim::AttentionPass::kForward).time.s() +
              sim::attention_prepare_time(device, shape).time.s(),
          row.seconds};
}

std::vector<Compared> compare_all(const sim::ProfileData& device, const Rows& rows) {
  std::vector<Compared> all;
  for (const AttentionMeasurement& row : rows) all.push_back(compare(device, row));
  return all;
}

void set_parameters(sim::AttentionTable& table, std::span<const double> p) {
  table.launch_s = p[kLaunch];
  table.efficiency = p[kEfficiency];
  table.tail = p[kTail];
  table.prepare_efficiency = p[kPrepare];
  table.softmax_dim = p[kSoftmax];
}

void fit_mechanism(sim::ProfileData& device, const Rows& rows) {
  device.attention.correction.reset();
  const auto loss = [&](std::span<const double> p) {
    set_parameters(device.attention, p);
    double total = 0.0;
    for (const AttentionMeasurement& row : rows) {
      const Compared c = compare(device, row);
      total += std::abs(std::log(c.predicted / c.measured));
    }
    return total / static_cast<double>(rows.size());
  };
  std::vector<double> p = descend({kBounds.begin(), kBounds.end()}, {}, loss, kRounds);
  for (std::size_t i = 0; i < p.size(); ++i)
    p[i] = i == kLaunch ? significant(p[i] / kUs) * kUs : significant(p[i]);
  set_parameters(device.attention, p);
}

/// `most` of the distinct values, evenly spread by rank, first and last included.
std::vector<double> nodes_of(const Rows& rows, std::int64_t AttentionSample::*size, std::size_t most) {
  std::set<double> distinct;
  for (const AttentionMeasurement& row : rows) distinct.insert(static_cast<double>(row.sample.*size));
  const std::vector<double> values(distinct.begin(), distinct.end());
  if (values.size() <= most) return values;
  std::set<double> kept;
  for (std::size_t i = 0; i < most; ++i) kept.insert(values[i * (values.size() - 1) / (most - 1)]);
  return {kept.begin(), kept.end()};
}

using Terms = std::vector<std::pair<std::size_t, double>>;

Terms hat(const sim::LogAxis& axis, double x) {
  const sim::LogAxis::Cell cell = axis.locate(x);
  if (cell.fraction == 0.0) return {{cell.lower, 1.0}};
  return {{cell.lower, 1.0 - cell.fraction}, {cell.lower + 1, cell.fraction}};
}

Terms cross(const Terms& a, const Terms& b, std::size_t columns) {
  Terms terms;
  for (const auto& [i, u] : a)
    for (const auto& [j, v] : b) terms.emplace_back(i * columns + j, u * v);
  return terms;
}

void fit_correction(sim::ProfileData& device, const Rows& rows) {
  sim::AttentionCorrection grid;
  grid.dim = sim::LogAxis(nodes_of(rows, &AttentionSample::head_dim, kMostDims));
  grid.seq = sim::LogAxis(nodes_of(rows, &AttentionSample::seq, kMostSeqs));
  grid.heads = sim::LogAxis(kHeadNodes);
  grid.group = sim::LogAxis(kGroupNodes);
  const std::size_t plane = grid.seq.size() * grid.heads.size();
  const std::size_t second = grid.dim.size() * plane;
  std::vector<Equation> equations;
  for (const AttentionMeasurement& row : rows) {
    const AttentionSample& s = row.sample;
    const Terms dim = hat(grid.dim, static_cast<double>(s.head_dim));
    const Terms inner = cross(hat(grid.seq, static_cast<double>(s.seq)),
                              hat(grid.heads, static_cast<double>(s.batch * s.heads)), grid.heads.size());
    Equation equation;
    equation.terms = cross(dim, inner, plane);
    const double ratio = static_cast<double>(s.heads) / static_cast<double>(s.kv_heads);
    for (const auto& [i, u] : cross(dim, hat(grid.group, ratio), grid.group.size()))
      equation.terms.emplace_back(second + i, u);
    const Compared c = compare(device, row);
    equation.target = std::log(c.measured / c.predicted);
    equations.push_back(std::move(equation));
  }
  std::vector<double> c =
      solve_ridge(equations, second + grid.dim.size() * grid.group.size(), kPenalty, kRidgeRounds);
  for (double& value : c) value = round_to(value, 4);
  const auto split = c.begin() + static_cast<std::ptrdiff_t>(second);
  grid.by_dim_seq_heads.assign(c.begin(), split);
  grid.by_dim_group.assign(split, c.end());
  device.attention.correction = std::move(grid);
}

std::vector<Compared> refit_residuals(const sim::ProfileData& device, const Rows& fitted, int threads) {
  std::set<Slab> distinct;
  for (const AttentionMeasurement& row : fitted) distinct.insert(slab_of(row));
  const std::vector<Slab> slabs(distinct.begin(), distinct.end());
  const auto fold_of = [&](const AttentionMeasurement& row) {
    return static_cast<std::size_t>(std::lower_bound(slabs.begin(), slabs.end(), slab_of(row)) -
                                    slabs.begin()) %
           kFolds;
  };
  std::array<std::vector<Compared>, kFolds> parts;
  base::parallel_for(kFolds, threads, [&](std::size_t fold) {
    Rows kept, judged;
    for (const AttentionMeasurement& row : fitted) (fold_of(row) == fold ? judged : kept).push_back(row);
    if (kept.size() < kLeastAttentionRows / 2 || judged.empty()) return;
    sim::ProfileData own = device;
    fit_mechanism(own, kept);
    fit_correction(own, kept);
    parts[fold] = compare_all(own, judged);
  });
  std::vector<Compared> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

}  // namespace

bool fits_attention(const AttentionSample& s) {
  return s.pass == sim::AttentionPass::kForward && s.causal && s.window == 0 && s.head_dim == s.v_dim &&
         s.preparation;
}

std::size_t count_fitted(const Rows& rows) {
  return static_cast<std::size_t>(std::count_if(
      rows.begin(), rows.end(), [](const AttentionMeasurement& row) { return !is_left_out(row.sample); }));
}

sim::AttentionTable fit_attention(const sim::ProfileData& device, const Rows& rows, int threads) {
  Rows fitted, held;
  for (const AttentionMeasurement& row : rows) (is_left_out(row.sample) ? held : fitted).push_back(row);
  MOEPLAN_CHECK(fitted.size() >= kLeastAttentionRows, "too few rows to fit attention");
  sim::ProfileData own = device;
  own.sustained.reset();
  fit_mechanism(own, fitted);
  fit_correction(own, fitted);
  const std::vector<Compared> on_fitted = compare_all(own, fitted);
  own.attention.origin = {};
  own.attention.origin.evidence = sim::Evidence::kMeasured;
  own.attention.origin.fitted = summarise(on_fitted);
  if (!held.empty()) own.attention.origin.left_out = summarise(compare_all(own, held));
  const std::vector<Compared> apart = refit_residuals(own, fitted, threads);
  own.attention.origin.band = fit_band(apart.empty() ? on_fitted : apart, kBandClasses);
  return own.attention;
}

}  // namespace moeplan::calibrate
