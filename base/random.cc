#include "base/random.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/check.h"

namespace moeplan::base {

namespace {

std::uint64_t splitmix(std::uint64_t& state) {
  std::uint64_t z = (state += 0x9E3779B97F4A7C15ULL);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

std::uint64_t rotate_left(std::uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

std::uint64_t hash_name(std::string_view name) {
  std::uint64_t hash = 14695981039346656037ULL;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  return hash;
}

}  // namespace

RandomStream::RandomStream(std::uint64_t state) : origin_(state) {
  for (std::uint64_t& word : s_) word = splitmix(state);
}

RandomStream::RandomStream(std::uint64_t seed, std::string_view name) : RandomStream(seed * 0xD1342543DE82EF95ULL + hash_name(name)) {}

RandomStream RandomStream::substream(std::uint64_t index) const {
  std::uint64_t state = origin_ ^ (0xA0761D6478BD642FULL * (index + 1));
  return RandomStream(splitmix(state));
}

std::uint64_t RandomStream::next() {
  const std::uint64_t result = rotate_left(s_[1] * 5, 7) * 9;
  const std::uint64_t t = s_[1] << 17;
  s_[2] ^= s_[0];
  s_[3] ^= s_[1];
  s_[1] ^= s_[2];
  s_[0] ^= s_[3];
  s_[2] ^= t;
  s_[3] = rotate_left(s_[3], 45);
  return result;
}

double RandomStream::uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

std::uint64_t RandomStream::below(std::uint64_t bound) {
  if (bound <= 1) return 0;
  const std::uint64_t limit = -bound % bound;  // 2^64 mod bound
  for (;;) {
    const std::uint64_t draw = next();
    if (draw >= limit) return draw % bound;
  }
}

double RandomStream::normal() {
  for (;;) {
    const double u = 2 * uniform() - 1;
    const double v = 2 * uniform() - 1;
    const double s = u * u + v * v;
    if (s > 0 && s < 1) return u * std::sqrt(-2 * std::log(s) / s);
  }
}

double RandomStream::gamma(double shape) { return std::exp(log_gamma_draw(shape)); }

/// Logarithm of a gamma draw, which does not underflow for small shapes.
double RandomStream::log_gamma_draw(double shape) {
  MOEPLAN_CHECK(shape > 0 && std::isfinite(shape), "a gamma draw needs a positive shape");
  if (shape < 1) {
    const double above = log_gamma_draw(shape + 1);
    return above + std::log(std::max(uniform(), 0x1p-53)) / shape;
  }
  const double d = shape - 1.0 / 3.0;
  const double c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = normal();
    const double t = 1 + c * x;
    if (t <= 0) continue;
    const double v = t * t * t;
    const double u = std::max(uniform(), 0x1p-53);
    if (std::log(u) < 0.5 * x * x + d - d * v + d * std::log(v)) return std::log(d * v);
  }
}

std::int64_t RandomStream::binomial(std::int64_t n, double p) {
  if (n <= 0 || p <= 0) return 0;
  if (p >= 1) return n;
  if (p > 0.5) return n - binomial(n, 1 - p);
  const double mean = static_cast<double>(n) * p;
  if (mean > 30) {
    const double draw = std::round(mean + std::sqrt(mean * (1 - p)) * normal());
    return static_cast<std::int64_t>(std::clamp(draw, 0.0, static_cast<double>(n)));
  }
  const double ratio = p / (1 - p);
  double probability = std::exp(static_cast<double>(n) * std::log1p(-p));
  double u = uniform();
  std::int64_t k = 0;
  while (u > probability && k < n) {
    u -= probability;
    ++k;
    probability *= ratio * static_cast<double>(n - k + 1) / static_cast<double>(k);
  }
  return k;
}

std::vector<std::int64_t> RandomStream::multinomial(std::int64_t n, std::span<const double> weights) {
  std::vector<std::int64_t> counts(weights.size(), 0);
  double left = std::accumulate(weights.begin(), weights.end(), 0.0);
  MOEPLAN_CHECK(n == 0 || left > 0, "a multinomial draw without a positive weight");
  // The last positive weight takes what is left, so that rounding never reaches a weight of zero.
  std::size_t last = weights.size();
  while (last > 0 && weights[last - 1] <= 0) --last;
  for (std::size_t i = 0; i + 1 < last && n > 0; ++i) {
    counts[i] = left > 0 ? binomial(n, std::min(1.0, weights[i] / left)) : 0;
    n -= counts[i];
    left -= weights[i];
  }
  if (last > 0) counts[last - 1] += n;
  return counts;
}

std::vector<double> RandomStream::dirichlet(std::span<const double> alpha) {
  std::vector<double> point(alpha.size());
  for (std::size_t i = 0; i < alpha.size(); ++i) point[i] = log_gamma_draw(alpha[i]);
  if (point.empty()) return point;
  // Relative to the largest draw, so that a small alpha ends near a corner and not in 0 / 0.
  const double largest = *std::max_element(point.begin(), point.end());
  for (double& x : point) x = std::exp(x - largest);
  const double sum = std::accumulate(point.begin(), point.end(), 0.0);
  for (double& x : point) x /= sum;
  return point;
}

void RandomStream::shuffle(std::span<std::int32_t> items) {
  for (std::size_t i = items.size(); i > 1; --i) {
    std::swap(items[i - 1], items[static_cast<std::size_t>(below(i))]);
  }
}

}  // namespace moeplan::base
