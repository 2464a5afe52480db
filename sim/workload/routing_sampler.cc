#include "sim/workload/routing_sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include <fmt/format.h>

#include "base/check.h"

namespace moeplan::sim {

namespace {

constexpr int kQuantileBits = 12;
constexpr std::size_t kQuantiles = std::size_t{1} << kQuantileBits;
constexpr int kQuantilesPerDraw = 64 / kQuantileBits;

/// The gamma shape is kept above this: an expert with less than a token has its noise from rounding alone.
constexpr double kLeastShape = 0.25;

/// x with P(normal < x) = p, by bisection on erfc.
double normal_quantile(double p) {
  double low = -10.0;
  double high = 10.0;
  for (int i = 0; i < 60; ++i) {
    const double middle = 0.5 * (low + high);
    (0.5 * std::erfc(-middle / std::sqrt(2.0)) < p ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

const std::array<double, kQuantiles>& normal_quantiles() {
  static const std::array<double, kQuantiles> table = [] {
    std::array<double, kQuantiles> all{};
    for (std::size_t i = 0; i < kQuantiles; ++i)
      all[i] = normal_quantile((static_cast<double>(i) + 0.5) / kQuantiles);
    return all;
  }();
  return table;
}

/// Five table normals from each 64-bit draw.
class TableNormals {
 public:
  explicit TableNormals(base::RandomStream random) : random_(random), table_(normal_quantiles()) {}
  double next() {
    if (left_ == 0) {
      bits_ = random_.next();
      left_ = kQuantilesPerDraw;
    }
    const double value = table_[bits_ & (kQuantiles - 1)];
    bits_ >>= kQuantileBits;
    --left_;
    return value;
  }
  double uniform() { return random_.uniform(); }

 private:
  base::RandomStream random_;
  const std::array<double, kQuantiles>& table_;
  std::uint64_t bits_ = 0;
  int left_ = 0;
};

/// Mean of max(0, 1 - 1/(9a) + z/(3 sqrt(a)))^3 for a gamma of shape a: what cutting at zero adds to 1.
double cube_mean(double shape) {
  // With c = 1/(9a), s = 1/(3 sqrt(a)) and u = (1 - c)/s: E[(m + s z)+^3], m = 1 - c, by parts.
  const double c = 1.0 / (9.0 * shape);
  const double s = 1.0 / (3.0 * std::sqrt(shape));
  const double m = 1.0 - c;
  const double u = m / s;
  const double density = std::exp(-0.5 * u * u) / std::sqrt(2.0 * 3.14159265358979323846);
  const double below = 0.5 * std::erfc(-u / std::sqrt(2.0));
  return (m * m * m + 3.0 * m * s * s) * below + (m * m * s + 2.0 * s * s * s) * density;
}

/// A row's noise: entry = scale * max(0, offset + slope * z)^3 has the wanted mean and variance.
struct Noise {
  double scale = 0.0;
  double offset = 1.0;
  double slope = 0.0;
};

std::vector<Noise> plan_noise(std::span<const double> share, int top_k, double tokens, double correlation) {
  std::vector<Noise> noise(share.size());
  const double inflation = 1.0 + (tokens - 1.0) * correlation;
  for (std::size_t e = 0; e < share.size(); ++e) {
    const double q = std::min(1.0, share[e] * top_k);
    const double mean = tokens * q;
    if (mean <= 0.0) continue;
    const double rounding = mean < 1.0 ? mean * (1.0 - mean) : 1.0 / 6.0;
    const double variance = mean * (1.0 - q) * inflation - rounding;
    if (variance <= 0.0) {
      noise[e] = {mean, 1.0, 0.0};
      continue;
    }
    const double shape = std::max(kLeastShape, mean * mean / variance);
    noise[e] = {mean / cube_mean(shape), 1.0 - 1.0 / (9.0 * shape), 1.0 / (3.0 * std::sqrt(shape))};
  }
  return noise;
}

/// Scales a row to `total`, no entry above `cap`. Entries that are cut hand their excess to the others.
void fit_row(std::vector<double>& row, double total, double cap) {
  double sum = std::accumulate(row.begin(), row.end(), 0.0);
  const double largest = *std::max_element(row.begin(), row.end());
  if (sum > 0.0 && largest * total <= cap * sum) {
    const double factor = total / sum;
    for (double& x : row) x *= factor;
    return;
  }
  std::vector<bool> full(row.size(), false);
  double left = total;
  for (std::size_t pass = 0; pass <= row.size(); ++pass) {
    sum = 0.0;
    std::size_t open = 0;
    for (std::size_t e = 0; e < row.size(); ++e) {
      if (!full[e]) sum += row[e], ++open;
    }
    if (open == 0) return;
    const double factor = sum > 0.0 ? left / sum : 0.0;
    bool cut = false;
    for (std::size_t e = 0; e < row.size(); ++e) {
      if (full[e]) continue;
      const double wanted = sum > 0.0 ? row[e] * factor : left / static_cast<double>(open);
      if (wanted > cap) full[e] = true, cut = true;
    }
    if (!cut) {
      for (std::size_t e = 0; e < row.size(); ++e) {
        if (!full[e]) row[e] = sum > 0.0 ? row[e] * factor : left / static_cast<double>(open);
      }
      break;
    }
    left = total;
    for (std::size_t e = 0; e < row.size(); ++e) {
      if (full[e]) row[e] = cap, left -= cap;
    }
    left = std::max(left, 0.0);
  }
}

/// Systematic rounding: entry e becomes floor or ceil of itself, in expectation itself; the row sums to
/// total.
void round_row(const std::vector<double>& row, double offset, std::int64_t total, std::int64_t cap,
               std::int32_t* out) {
  double running = offset;
  std::int64_t before = 0;
  std::int64_t sum = 0;
  for (std::size_t e = 0; e < row.size(); ++e) {
    running += row[e];
    const auto now = static_cast<std::int64_t>(running);
    const std::int64_t count = std::clamp<std::int64_t>(now - before, 0, cap);
    before = now;
    sum += count;
    out[e] = static_cast<std::int32_t>(count);
  }
  // Rounding errors of the running sum: at most a token or two.
  for (std::size_t e = 0; sum != total && e < row.size(); ++e) {
    const std::int64_t room =
        sum < total ? std::min(cap - out[e], total - sum) : -std::min<std::int64_t>(out[e], sum - total);
    out[e] += static_cast<std::int32_t>(room);
    sum += room;
  }
}

RoutingMatrix empty_matrix(int experts, int top_k, const RoutingShape& shape) {
  MOEPLAN_CHECK(shape.sources > 0 && shape.tokens >= 0 && experts > 0 && top_k > 0 && top_k <= experts,
                fmt::format("sources {}, tokens {}, experts {}, top-k {}", shape.sources, shape.tokens,
                            experts, top_k));
  MOEPLAN_CHECK(shape.tokens < (std::int64_t{1} << 31), fmt::format("{} tokens a micro-batch", shape.tokens));
  RoutingMatrix matrix;
  matrix.sources = shape.sources;
  matrix.experts = experts;
  matrix.tokens.resize(static_cast<std::size_t>(shape.sources) * static_cast<std::size_t>(experts));
  return matrix;
}

}  // namespace

RoutingMatrix sample_routing(std::span<const double> share, int top_k, const RoutingShape& shape,
                             const Dispersion& dispersion, base::RandomStream random) {
  RoutingMatrix matrix = empty_matrix(static_cast<int>(share.size()), top_k, shape);
  if (shape.tokens == 0) return matrix;
  MOEPLAN_CHECK(shape.parts > 0 && shape.sources % shape.parts == 0,
                fmt::format("{} sources in parts of {}", shape.sources, shape.parts));
  const auto tokens = static_cast<double>(shape.tokens) * shape.parts;  // of the sequences that are drawn
  const std::vector<Noise> noise = plan_noise(share, top_k, tokens, dispersion.correlation_at(tokens));
  TableNormals normals(random);
  std::vector<double> row(share.size());
  for (int source = 0; source < shape.sources; source += shape.parts) {
    for (std::size_t e = 0; e < row.size(); ++e) {
      const double root = std::max(0.0, noise[e].offset + noise[e].slope * normals.next());
      row[e] = noise[e].scale * root * root * root;
    }
    fit_row(row, tokens * top_k, tokens);
    for (double& x : row) x /= shape.parts;
    for (int part = source; part < source + shape.parts; ++part) {
      round_row(row, normals.uniform(), shape.tokens * top_k, shape.tokens,
                matrix.tokens.data() + static_cast<std::size_t>(part) * row.size());
    }
  }
  return matrix;
}

RoutingMatrix even_routing(int experts, int top_k, const RoutingShape& shape) {
  RoutingMatrix matrix = empty_matrix(experts, top_k, shape);
  const std::int64_t total = shape.tokens * top_k;
  const std::int64_t each = total / experts;
  const std::int64_t extra = total % experts;
  for (int source = 0; source < shape.sources; ++source) {
    std::int32_t* row =
        matrix.tokens.data() + static_cast<std::size_t>(source) * static_cast<std::size_t>(experts);
    std::fill(row, row + experts, static_cast<std::int32_t>(each));
    for (std::int64_t j = 0; j < extra; ++j) ++row[(source * extra + j) % experts];
  }
  return matrix;
}

}  // namespace moeplan::sim
