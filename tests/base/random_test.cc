#include "base/random.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/check.h"
#include "tests/support/corpus.h"

namespace moeplan::base {
namespace {

struct Moments {
  double mean = 0;
  double variance = 0;
};

template <class Draw>
Moments moments_of(int n, Draw draw) {
  double sum = 0;
  double squares = 0;
  for (int i = 0; i < n; ++i) {
    const double x = static_cast<double>(draw());
    sum += x;
    squares += x * x;
  }
  const double mean = sum / n;
  return {mean, squares / n - mean * mean};
}

// Of n draws with variance v the mean has the standard error sqrt(v/n). The tests allow five of them (1 in 2 million by
// chance); the sample variance gets 5 sqrt((k-1)/n) of v, where k is the kurtosis (3 for a normal distribution).
constexpr int kDraws = 100000;
double five_errors(double variance) { return 5 * std::sqrt(variance / kDraws); }

TEST(RandomStreamTest, the_first_numbers_are_those_of_the_published_generators) {
  // Reckoned with an independent program from the definitions: splitmix64 and FNV-1a (seeding), xoshiro256** (which
  // gave 11520, 0, 1509978240 from the state 1, 2, 3, 4, as published).
  RandomStream stream(1, "loads");
  EXPECT_EQ(stream.next(), 0x2d919826339683c5ULL);
  EXPECT_EQ(stream.next(), 0x509c9460da609b7bULL);
  EXPECT_EQ(stream.next(), 0x8a6e4a8f08f4a921ULL);
  EXPECT_EQ(stream.next(), 0xb4a1e22e444965bbULL);
  EXPECT_EQ(RandomStream(1, "loads").substream(0).next(), 0x12955137442459efULL);
  EXPECT_EQ(RandomStream(2, "loads").next(), 0xad897b20ef313ba6ULL);
}

TEST(RandomStreamTest, a_stream_depends_on_its_seed_and_name_alone) {
  RandomStream a(7, "gate");
  RandomStream other(7, "placement");
  other.next();
  RandomStream b(7, "gate");
  std::vector<std::uint64_t> from_a;
  std::vector<std::uint64_t> from_b;
  for (int i = 0; i < 100; ++i) {
    from_a.push_back(a.next());
    other.next();
    from_b.push_back(b.next());
  }
  EXPECT_EQ(from_a, from_b);
  EXPECT_NE(RandomStream(7, "gate").next(), RandomStream(8, "gate").next());
  EXPECT_NE(RandomStream(7, "gate").next(), RandomStream(7, "gates").next());
}

TEST(RandomStreamTest, a_substream_does_not_depend_on_how_far_its_parent_is) {
  RandomStream parent(3, "layers");
  const std::uint64_t before = parent.substream(5).next();
  for (int i = 0; i < 10; ++i) parent.next();
  EXPECT_EQ(parent.substream(5).next(), before);
}

TEST(RandomStreamTest, substreams_are_not_correlated) {
  // The product of two independent uniforms about their means has the variance (1/12)^2.
  const RandomStream parent(test::test_seed(), "correlation");
  RandomStream a = parent.substream(0);
  RandomStream b = parent.substream(1);
  RandomStream c(test::test_seed(), "correlation");
  const Moments ab = moments_of(kDraws, [&] { return (a.uniform() - 0.5) * (b.uniform() - 0.5); });
  const Moments ac = moments_of(kDraws, [&] { return (a.uniform() - 0.5) * (c.uniform() - 0.5); });
  EXPECT_NEAR(ab.mean, 0, five_errors(1.0 / 144));
  EXPECT_NEAR(ac.mean, 0, five_errors(1.0 / 144));
}

TEST(RandomStreamTest, uniform_has_mean_a_half_and_variance_a_twelfth) {
  RandomStream stream(test::test_seed(), "uniform");
  double lowest = 1;
  double highest = 0;
  const Moments m = moments_of(kDraws, [&] {
    const double u = stream.uniform();
    lowest = std::min(lowest, u);
    highest = std::max(highest, u);
    return u;
  });
  EXPECT_NEAR(m.mean, 0.5, five_errors(1.0 / 12));
  EXPECT_NEAR(m.variance, 1.0 / 12, 5.0 / 12 * std::sqrt(0.8 / kDraws));  // kurtosis 1.8
  EXPECT_GE(lowest, 0.0);
  EXPECT_LT(highest, 1.0);
}

TEST(RandomStreamTest, below_gives_each_number_the_same_share) {
  // n = 7 cells of 100000/7 expected; a cell has the variance n p (1-p).
  RandomStream stream(test::test_seed(), "below");
  std::array<int, 7> counts{};
  for (int i = 0; i < kDraws; ++i) ++counts.at(stream.below(7));
  const double p = 1.0 / 7;
  for (const int count : counts) EXPECT_NEAR(count, kDraws * p, 5 * std::sqrt(kDraws * p * (1 - p)));
  EXPECT_EQ(stream.below(0), 0U);
  EXPECT_EQ(stream.below(1), 0U);
}

TEST(RandomStreamTest, below_is_without_bias_for_a_bound_of_two_thirds_of_the_range) {
  // With draw % bound and bound = 2/3 * 2^64 the lower half would come twice as often (2/3 of the draws).
  RandomStream stream(test::test_seed(), "below two thirds");
  const std::uint64_t bound = 12297829382473034410ULL;
  const Moments m = moments_of(kDraws, [&] { return stream.below(bound) < bound / 2 ? 1.0 : 0.0; });
  EXPECT_NEAR(m.mean, 0.5, five_errors(0.25));
}

TEST(RandomStreamTest, normal_has_mean_0_and_variance_1) {
  RandomStream stream(test::test_seed(), "normal");
  const Moments m = moments_of(kDraws, [&] { return stream.normal(); });
  EXPECT_NEAR(m.mean, 0, five_errors(1));
  EXPECT_NEAR(m.variance, 1, 5 * std::sqrt(2.0 / kDraws));
}

TEST(RandomStreamTest, gamma_has_its_shape_as_mean_and_variance) {
  for (const double shape : {0.2, 1.0, 7.5}) {
    RandomStream stream(test::test_seed(), "gamma " + std::to_string(shape));
    const Moments m = moments_of(kDraws, [&] { return stream.gamma(shape); });
    EXPECT_NEAR(m.mean, shape, five_errors(shape));
    // Kurtosis of the gamma distribution: 3 + 6/shape.
    EXPECT_NEAR(m.variance, shape, 5 * shape * std::sqrt((2 + 6 / shape) / kDraws));
  }
  RandomStream stream(1, "gamma");
  EXPECT_THROW(stream.gamma(0), InternalError);
  EXPECT_THROW(stream.gamma(std::nan("")), InternalError);
}

TEST(RandomStreamTest, binomial_has_mean_np_and_variance_npq_in_both_of_its_ways) {
  struct Case {
    std::int64_t n;
    double p;
  };
  for (const Case c : {Case{20, 0.3}, Case{1000, 0.02}, Case{4096, 0.4}, Case{100, 0.9}, Case{1000000, 0.999}}) {
    RandomStream stream(test::test_seed(), "binomial " + std::to_string(c.n));
    const double n = static_cast<double>(c.n);
    const double variance = n * c.p * (1 - c.p);
    const Moments m = moments_of(kDraws, [&] {
      const std::int64_t k = stream.binomial(c.n, c.p);
      EXPECT_TRUE(k >= 0 && k <= c.n);
      return k;
    });
    EXPECT_NEAR(m.mean, n * c.p, five_errors(variance)) << c.n;
    // Rounding the normal way adds the variance 1/12 of a uniform rest.
    EXPECT_NEAR(m.variance, variance, 1.0 / 12 + 5 * variance * std::sqrt((2 + 1 / variance) / kDraws)) << c.n;
  }
  RandomStream stream(1, "binomial");
  EXPECT_EQ(stream.binomial(10, 0), 0);
  EXPECT_EQ(stream.binomial(10, 1), 10);
  EXPECT_EQ(stream.binomial(0, 0.5), 0);
}

TEST(RandomStreamTest, multinomial_counts_sum_to_n_and_follow_the_weights) {
  RandomStream stream(test::test_seed(), "multinomial");
  const std::vector<double> weights{3, 0, 1, 4, 0};
  std::vector<double> sums(weights.size(), 0);
  constexpr int kRounds = 2000;
  for (int i = 0; i < kRounds; ++i) {
    const auto counts = stream.multinomial(500, weights);
    ASSERT_EQ(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}), 500);
    for (std::size_t e = 0; e < counts.size(); ++e) sums[e] += static_cast<double>(counts[e]);
  }
  for (std::size_t e = 0; e < weights.size(); ++e) {
    const double p = weights[e] / 8;
    EXPECT_NEAR(sums[e] / kRounds, 500 * p, 5 * std::sqrt(500 * p * (1 - p) / kRounds)) << e;
  }
}

TEST(RandomStreamTest, a_weight_of_zero_never_gets_a_count) {
  // 0.1 + 0.2 + 0.3 - 0.1 - 0.2 - 0.3 is not 0 in double: the rest must not fall to the trailing zero.
  RandomStream stream(test::test_seed(), "zero weight");
  const std::vector<double> weights{0.1, 0.2, 0.3, 0};
  for (int i = 0; i < 5000; ++i) ASSERT_EQ(stream.multinomial(1000, weights)[3], 0);
  EXPECT_THROW(stream.multinomial(5, std::vector<double>{0, 0}), InternalError);
  EXPECT_EQ(stream.multinomial(0, std::vector<double>{0, 0}), (std::vector<std::int64_t>{0, 0}));
  EXPECT_TRUE(stream.multinomial(0, {}).empty());
}

TEST(RandomStreamTest, dirichlet_lies_on_the_simplex_with_mean_alpha_over_sum) {
  RandomStream stream(test::test_seed(), "dirichlet");
  const std::vector<double> alpha{0.5, 1.5, 2.0};
  constexpr int kRounds = 20000;
  std::vector<double> sums(alpha.size(), 0);
  for (int i = 0; i < kRounds; ++i) {
    const auto x = stream.dirichlet(alpha);
    ASSERT_NEAR(std::accumulate(x.begin(), x.end(), 0.0), 1.0, 1e-12);
    for (std::size_t e = 0; e < x.size(); ++e) sums[e] += x[e];
  }
  for (std::size_t e = 0; e < alpha.size(); ++e) {
    const double mean = alpha[e] / 4;  // variance mean (1 - mean) / (4 + 1)
    EXPECT_NEAR(sums[e] / kRounds, mean, 5 * std::sqrt(mean * (1 - mean) / 5 / kRounds));
  }
}

TEST(RandomStreamTest, dirichlet_with_a_tiny_alpha_ends_in_a_corner) {
  // alpha -> 0 puts the whole weight on one component. Draws of gamma(1e-5) underflow to 0 nearly always, and a point
  // made of 0 / 0 would come out uniform.
  RandomStream stream(test::test_seed(), "corner");
  const std::vector<double> alpha(16, 1e-5);
  for (int i = 0; i < 200; ++i) {
    const auto x = stream.dirichlet(alpha);
    EXPECT_GT(*std::max_element(x.begin(), x.end()), 0.5);
  }
}

TEST(RandomStreamTest, a_shuffle_gives_each_order_the_same_share) {
  RandomStream stream(test::test_seed(), "shuffle");
  std::array<int, 6> counts{};  // the 3! orders of 0, 1, 2
  for (int i = 0; i < 60000; ++i) {
    std::array<std::int32_t, 3> items{0, 1, 2};
    stream.shuffle(items);
    ++counts.at(static_cast<std::size_t>(items[0] * 2 + (items[1] > items[2] ? 1 : 0)));
  }
  for (const int count : counts) EXPECT_NEAR(count, 10000, 5 * std::sqrt(60000 * (1.0 / 6) * (5.0 / 6)));
}

}  // namespace
}  // namespace moeplan::base
