#include "sim/collective/token_copies.h"

#include <bit>
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include "base/random.h"

namespace moeplan::sim {
namespace {

/// Every set of k of n experts, as a bit mask.
std::vector<unsigned> all_sets(int n, int k) {
  std::vector<unsigned> sets;
  for (unsigned mask = 0; mask < 1U << n; ++mask) {
    if (std::popcount(mask) == k) sets.push_back(mask);
  }
  return sets;
}

int parts_touched(unsigned set, int n, int parts) {
  int touched = 0;
  for (int p = 0; p < parts; ++p) {
    const int size = n / parts;
    touched += (set >> (p * size) & ((1U << size) - 1U)) != 0 ? 1 : 0;
  }
  return touched;
}

TEST(ExpectedDistinct, IsTheMeanOverAllSets) {
  for (const int k : {1, 2, 3, 5}) {
    for (const int parts : {2, 3, 4, 6}) {
      double sum = 0;
      const auto sets = all_sets(12, k);
      for (const unsigned set : sets) sum += parts_touched(set, 12, parts);
      EXPECT_NEAR(expected_distinct(12, k, parts), sum / static_cast<double>(sets.size()), 1e-9)
          << k << " of 12 in " << parts;
    }
  }
}

// DeepSeek-V3 routing, 8 of 256: 1.99, 3.61 and 5.29 nodes of 2, 4 and 8; 6.52 ranks of 16
// (deepseek-ai/DeepEP, deep_ep/buffers/elastic.py uses the same form).
TEST(ExpectedDistinct, GivesThePublishedNumbersOfDeepSeekV3) {
  EXPECT_NEAR(expected_distinct(256, 8, 2), 1.99, 0.005);
  EXPECT_NEAR(expected_distinct(256, 8, 4), 3.61, 0.005);
  EXPECT_NEAR(expected_distinct(256, 8, 8), 5.29, 0.005);
  EXPECT_NEAR(expected_distinct(256, 8, 16), 6.52, 0.005);
}

/// Mean over all choices of groups and all sets inside them.
double limited_mean(int experts, int k, int parts, int groups, int chosen) {
  double sum = 0;
  double count = 0;
  const int size = experts / groups;
  for (const unsigned choice : all_sets(groups, chosen)) {
    unsigned allowed = 0;
    for (int g = 0; g < groups; ++g) {
      if ((choice >> g & 1U) != 0) allowed |= ((1U << size) - 1U) << (g * size);
    }
    for (const unsigned set : all_sets(experts, k)) {
      if ((set & ~allowed) != 0) continue;
      sum += parts_touched(set, experts, parts);
      count += 1;
    }
  }
  return sum / count;
}

TEST(ExpectedDistinct, WithALimitOfGroupsIsTheMeanOverChoicesAndSets) {
  EXPECT_NEAR(expected_distinct(12, 3, 6, {6, 2}), limited_mean(12, 3, 6, 6, 2), 1e-9);  // part = group
  EXPECT_NEAR(expected_distinct(12, 3, 3, {6, 2}), limited_mean(12, 3, 3, 6, 2), 1e-9);  // two groups a part
  EXPECT_NEAR(expected_distinct(12, 3, 12, {6, 2}), 3.0, 1e-12);                         // one expert a part
  EXPECT_NEAR(expected_distinct(12, 4, 6, {3, 2}), limited_mean(12, 4, 6, 3, 2), 1e-9);  // inside a group
  EXPECT_NEAR(expected_distinct(12, 2, 2, {4, 3}), limited_mean(12, 2, 2, 4, 3), 1e-9);
}

TEST(TouchProbability, OfEvenMarginalsIsTheClosedForm) {
  const std::vector<double> even(64, 4.0 / 64);
  const std::vector<double> touched = touch_probability(even, 4, 8);
  double sum = 0;
  for (const double p : touched) sum += p;
  EXPECT_NEAR(sum, expected_distinct(64, 4, 8), 1e-9);
}

// Sets drawn with probability ~ product of weights; their marginals are counted, and the function has to find
// from the marginals alone how often each part is touched.
TEST(TouchProbability, OfUnevenMarginalsIsThatOfConditionalPoissonSampling) {
  base::RandomStream random(7, "weights");
  for (const int k : {2, 3, 5}) {
    std::vector<double> weight(12);
    for (double& w : weight) w = std::exp(1.2 * random.normal());
    std::vector<double> marginal(12, 0.0);
    std::vector<double> touched(4, 0.0);
    double total = 0;
    for (const unsigned set : all_sets(12, k)) {
      double p = 1;
      for (int e = 0; e < 12; ++e) p *= (set >> e & 1U) != 0 ? weight[static_cast<std::size_t>(e)] : 1.0;
      total += p;
      for (int e = 0; e < 12; ++e) marginal[static_cast<std::size_t>(e)] += (set >> e & 1U) != 0 ? p : 0.0;
      for (int part = 0; part < 4; ++part)
        touched[static_cast<std::size_t>(part)] += (set >> (3 * part) & 7U) != 0 ? p : 0.0;
    }
    for (double& m : marginal) m /= total;
    const std::vector<double> got = touch_probability(marginal, k, 4);
    for (std::size_t part = 0; part < 4; ++part) EXPECT_NEAR(got[part], touched[part] / total, 2e-3) << k;
  }
}

TEST(TouchProbability, StaysBetweenTheLargestMarginalAndTheSum) {
  base::RandomStream random(11, "marginals");
  for (int round = 0; round < 50; ++round) {
    std::vector<double> marginal(32);
    for (double& m : marginal) m = std::exp(2.0 * random.normal());
    const double sum = std::accumulate(marginal.begin(), marginal.end(), 0.0);
    double most = 0;
    for (double& m : marginal) {
      m *= 4.0 / sum;
      most = std::max(most, m);
    }
    if (most > 0.999) continue;
    const std::vector<double> touched = touch_probability(marginal, 4, 8);
    for (std::size_t part = 0; part < 8; ++part) {
      double largest = 0;
      double all = 0;
      for (std::size_t e = 4 * part; e < 4 * part + 4; ++e) {
        largest = std::max(largest, marginal[e]);
        all += marginal[e];
      }
      EXPECT_GE(touched[part], largest - 2e-3);
      EXPECT_LE(touched[part], std::min(1.0, all) + 2e-3);
    }
  }
}

TEST(TouchProbability, OfNoTokensIsZero) {
  const std::vector<double> none(8, 0.0);
  for (const double p : touch_probability(none, 2, 4)) EXPECT_EQ(p, 0.0);
}

// Tokens {0,1}, {0,4}, {5,6} of 8 experts on 4 ranks of 2: rank 0 gets two tokens, ranks 2 and 3 two and one.
TEST(CountDistinct, CountsATokenOnceARank) {
  const std::vector<std::int32_t> experts = {0, 1, 0, 4, 5, 6};
  EXPECT_EQ(count_distinct(experts, 2, 8, 4), (std::vector<std::int64_t>{2, 0, 2, 1}));
}

TEST(CountDistinct, OfRandomTokenSetsTendsToTheExpectation) {
  base::RandomStream random(3, "tokens");
  constexpr int kTokens = 20000;
  std::vector<std::int32_t> experts;
  for (int t = 0; t < kTokens; ++t) {
    std::vector<std::int32_t> order(32);
    std::iota(order.begin(), order.end(), 0);
    for (std::size_t i = 0; i < 4; ++i) {
      const auto j = i + static_cast<std::size_t>(random.uniform() * static_cast<double>(32 - i));
      std::swap(order[i], order[j]);
      experts.push_back(order[i]);
    }
  }
  double sum = 0;
  for (const std::int64_t n : count_distinct(experts, 4, 32, 8)) sum += static_cast<double>(n);
  EXPECT_NEAR(sum / kTokens, expected_distinct(32, 4, 8), 0.02);
}

}  // namespace
}  // namespace moeplan::sim
