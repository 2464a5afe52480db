#include "sim/cost/log_axis.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "base/check.h"

namespace moeplan::sim {
namespace {

TEST(LogAxis, InterpolatesInTheLogarithmAndIsConstantOutside) {
  // 10 is half-way between 1 and 100 in the logarithm.
  const LogAxis axis({1.0, 100.0});
  const double values[] = {2.0, 4.0};
  EXPECT_NEAR(interpolate(values, axis.locate(10.0)), 3.0, 1e-12);
  EXPECT_DOUBLE_EQ(interpolate(values, axis.locate(0.01)), 2.0);
  EXPECT_DOUBLE_EQ(interpolate(values, axis.locate(1e6)), 4.0);
  EXPECT_DOUBLE_EQ(interpolate(values, axis.locate(1.0)), 2.0);
  EXPECT_DOUBLE_EQ(interpolate(values, axis.locate(100.0)), 4.0);
}

TEST(LogAxis, TwoAxesAreBilinearOverARowMajorTable) {
  // Rows at 1 and 100, columns at 1, 10, 100; the point (10, sqrt(10)) is the mean of the four left corners.
  const LogAxis rows({1.0, 100.0});
  const LogAxis columns({1.0, 10.0, 100.0});
  const std::vector<double> table{1.0, 2.0, 9.0, 3.0, 6.0, 9.0};
  EXPECT_NEAR(interpolate(table, 3, rows.locate(10.0), columns.locate(std::sqrt(10.0))), 3.0, 1e-12);
  EXPECT_DOUBLE_EQ(interpolate(table, 3, rows.locate(100.0), columns.locate(10.0)), 6.0);
}

TEST(LogAxis, RefusesNodesThatDoNotIncrease) {
  EXPECT_THROW(LogAxis({1.0, 1.0}), base::InternalError);
  EXPECT_THROW(LogAxis({0.0, 1.0}), base::InternalError);
  EXPECT_THROW(LogAxis(std::vector<double>{}), base::InternalError);
}

}  // namespace
}  // namespace moeplan::sim
