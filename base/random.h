#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace moeplan::base {

/// A named stream of random numbers: the same seed and name give the same numbers on every machine and in any
/// order of use of other streams. Generator: xoshiro256** (Blackman, Vigna, 2018), seeded by splitmix64 of the
/// seed and the name's FNV-1a hash. The distributions are our own, as the standard library's differ by vendor.
class RandomStream {
 public:
  RandomStream(std::uint64_t seed, std::string_view name);
  /// A stream of its own for item `index` of this one, e.g. one per layer.
  RandomStream substream(std::uint64_t index) const;

  std::uint64_t next();
  double uniform();                            ///< [0, 1), 53 bits
  std::uint64_t below(std::uint64_t bound);    ///< 0 .. bound-1, without bias
  double normal();                             ///< mean 0, variance 1 (polar method)
  double gamma(double shape);                  ///< scale 1 (Marsaglia, Tsang, 2000)
  std::int64_t binomial(std::int64_t n, double p);  ///< exact by inversion for small n p, else normal rounded and clamped
  /// Counts of n draws over the weights (not necessarily normalised, none negative); sums to n, and a weight of 0 gets none.
  std::vector<std::int64_t> multinomial(std::int64_t n, std::span<const double> weights);
  /// A point on the simplex; alpha per component > 0.
  std::vector<double> dirichlet(std::span<const double> alpha);
  void shuffle(std::span<std::int32_t> items);

 private:
  explicit RandomStream(std::uint64_t state);
  double log_gamma_draw(double shape);
  std::uint64_t origin_;
  std::uint64_t s_[4];
};

}  // namespace moeplan::base
