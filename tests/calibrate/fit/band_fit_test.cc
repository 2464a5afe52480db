#include "calibrate/fit/band_fit.h"

#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "tests/support/corpus.h"

namespace moeplan::calibrate {
namespace {

/// Rows whose error is ten times as large below 100 us as above.
std::vector<Compared> two_regimes(std::size_t count, std::mt19937_64& random) {
  std::uniform_real_distribution<double> exponent(1.0, 3.0);  // 10 us to 1 ms
  std::normal_distribution<double> error(0.0, 1.0);
  std::vector<Compared> rows;
  for (std::size_t i = 0; i < count; ++i) {
    const double us = std::pow(10.0, exponent(random));
    rows.push_back({us * 1e-6, us * 1e-6 * std::exp((us < 100.0 ? 0.1 : 0.01) * error(random))});
  }
  return rows;
}

double coverage(const sim::Band& band, const std::vector<Compared>& rows) {
  int inside = 0;
  for (const Compared& row : rows) {
    const std::size_t cell = band.cell(row.predicted * 1e6);
    const double ratio = row.measured / row.predicted;
    inside += band.low[cell] <= ratio && ratio <= band.high[cell] ? 1 : 0;
  }
  return static_cast<double>(inside) / static_cast<double>(rows.size());
}

TEST(BandFit, CoversNineTenthsOfFreshRowsAndIsNarrowWhereTheyAgree) {
  std::mt19937_64 random(test::test_seed());
  const sim::Band band = fit_band(two_regimes(2000, random), 6);
  ASSERT_EQ(band.low.size(), 6u);
  EXPECT_NEAR(coverage(band, two_regimes(2000, random)), 0.9, 0.03);
  EXPECT_GT(band.high.front() - band.low.front(), 4.0 * (band.high.back() - band.low.back()));
}

TEST(BandFit, FewRowsMakeOneClassAndTheirExtremes) {
  const sim::Band band = fit_band({{1e-6, 0.9e-6}, {2e-6, 2.4e-6}, {3e-6, 3e-6}}, 6);
  EXPECT_TRUE(band.edges_us.empty());
  EXPECT_DOUBLE_EQ(band.low.at(0), 0.9);
  EXPECT_DOUBLE_EQ(band.high.at(0), 1.2);
}

TEST(BandFit, HoldsThePredictionItself) {
  const sim::Band band = fit_band(std::vector<Compared>(50, {1e-6, 1.1e-6}), 1);
  EXPECT_DOUBLE_EQ(band.low.at(0), 1.0);
  EXPECT_DOUBLE_EQ(band.high.at(0), 1.1);
}

}  // namespace
}  // namespace moeplan::calibrate
