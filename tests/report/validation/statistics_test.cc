#include "report/validation/statistics.h"

#include <gtest/gtest.h>

#include "report/validation/case.h"

namespace moeplan::report {
namespace {

Case make_case(std::string name, double measured, double predicted, std::optional<double> naive = {},
               std::optional<Band> band = {}) {
  Case one;
  one.name = std::move(name);
  one.measured = measured;
  one.predicted = predicted;
  one.naive = naive;
  one.band = band;
  return one;
}

// errors: (11-10)/10 = +0.1, (15-20)/20 = -0.25, (4-4)/4 = 0, (9-10)/10 = -0.1
//   mape   = (0.1 + 0.25 + 0 + 0.1) / 4 = 0.1125
//   median = middle two of {0, 0.1, 0.1, 0.25} = 0.1
//   worst  = -0.25, bias = (0.1 - 0.25 + 0 - 0.1) / 4 = -0.0625
// naive errors of the first two: (13-10)/10 = 0.3, (10-20)/20 = -0.5: naive_mape = 0.4
//   skill = 1 - ((0.1 + 0.25)/2) / 0.4 = 1 - 0.175/0.4 = 0.5625
// bands of the last two: [3, 5] holds 4, [8, 9.5] does not hold 10: coverage = 1/2
// one skipped row is usable, one is not: judged = 4 / (4 + 1)
TEST(Statistics, WeightedQuantilesCountEachCaseByWhatPlansAskForIt) {
  EXPECT_DOUBLE_EQ(weighted_quantile({0.3, 0.1, 0.2}, {1.0, 1.0, 1.0}, 0.5), 0.2);
  EXPECT_DOUBLE_EQ(weighted_quantile({0.3, 0.1, 0.2}, {8.0, 1.0, 1.0}, 0.5), 0.3);
  EXPECT_DOUBLE_EQ(weighted_quantile({0.3, 0.1, 0.2}, {0.0, 1.0, 1.0}, 0.95), 0.2);
  std::vector<Case> cases = {make_case("a", 10, 11), make_case("b", 10, 13)};
  EXPECT_FALSE(compute_statistics(cases, {}).asked_median);  // all weigh the same
  EXPECT_DOUBLE_EQ(*compute_statistics(cases, {}).p95, 0.3);
  cases[1].weight = 0.0;
  EXPECT_DOUBLE_EQ(*compute_statistics(cases, {}).asked_p95, 0.1);
  // half widths 1/12 and 2/8 of the predictions: their median is 1/6
  cases = {make_case("a", 10, 12, {}, Band{11, 13}), make_case("b", 10, 8, {}, Band{6, 10})};
  EXPECT_DOUBLE_EQ(*compute_statistics(cases, {}).half_width, (1.0 / 12.0 + 0.25) / 2.0);
}

TEST(Statistics, FollowTheirDefinitionsOnHandNumbers) {
  const std::vector<Case> cases = {make_case("a", 10, 11, 13), make_case("b", 20, 15, 10),
                                   make_case("c", 4, 4, {}, Band{3, 5}),
                                   make_case("d", 10, 9, {}, Band{8, 9.5})};
  const Statistics s = compute_statistics(cases, {{"e", "no profile", true}, {"f", "usable = no", false}});
  EXPECT_EQ(s.cases, 4U);
  EXPECT_DOUBLE_EQ(*s.mape, 0.1125);
  EXPECT_DOUBLE_EQ(*s.median, 0.1);
  EXPECT_DOUBLE_EQ(*s.worst, -0.25);
  EXPECT_EQ(s.worst_case, "b");
  EXPECT_DOUBLE_EQ(*s.bias, -0.0625);
  EXPECT_DOUBLE_EQ(*s.naive_mape, 0.4);
  EXPECT_DOUBLE_EQ(*s.skill, 0.5625);
  EXPECT_DOUBLE_EQ(*s.coverage, 0.5);
  EXPECT_DOUBLE_EQ(*s.judged, 0.8);
}

TEST(Statistics, OfNothingAreEmptyAndNotZero) {
  const Statistics nothing = compute_statistics({}, {});
  EXPECT_FALSE(nothing.mape || nothing.median || nothing.worst || nothing.bias || nothing.naive_mape ||
               nothing.skill || nothing.coverage || nothing.judged);
  const Statistics all_skipped = compute_statistics({}, {{"a", "why", true}});
  EXPECT_DOUBLE_EQ(*all_skipped.judged, 0.0);
  EXPECT_FALSE(all_skipped.mape);
}

TEST(Statistics, SkillIsNegativeWhereTheBaselineIsBetter) {
  // error 0.4, naive error 0.2: skill = 1 - 2 = -1
  const Statistics s = compute_statistics({make_case("a", 10, 14, 12)}, {});
  EXPECT_DOUBLE_EQ(*s.skill, -1.0);
}

TEST(Median, OfAnEvenNumberIsTheMeanOfTheMiddleTwo) {
  EXPECT_DOUBLE_EQ(compute_median({5, 1, 3}), 3);
  EXPECT_DOUBLE_EQ(compute_median({5, 1, 3, 100}), 4);
}

TEST(LeaveOneOutMedian, LeavesOutOneOfSeveralEqualValues) {
  LeaveOneOutMedian rates;
  for (const double rate : {4.0, 1.0, 2.0, 2.0}) rates.add(rate);
  rates.sort();
  EXPECT_DOUBLE_EQ(*rates.without(2.0), 2.0);  // {1, 2, 4}
  EXPECT_DOUBLE_EQ(*rates.without(4.0), 2.0);  // {1, 2, 2}
  EXPECT_DOUBLE_EQ(*rates.without(1.0), 2.0);  // {2, 2, 4}
}

TEST(LeaveOneOutMedian, OfALoneValueIsEmpty) {
  LeaveOneOutMedian rates;
  rates.add(3.0);
  rates.sort();
  EXPECT_FALSE(rates.without(3.0));
}

TEST(LeaveOneOutMedian, OfTwoIsTheOther) {
  LeaveOneOutMedian rates;
  rates.add(3.0);
  rates.add(7.0);
  rates.sort();
  EXPECT_DOUBLE_EQ(*rates.without(3.0), 7.0);
  EXPECT_DOUBLE_EQ(*rates.without(7.0), 3.0);
}

}  // namespace
}  // namespace moeplan::report
