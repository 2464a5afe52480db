#include "report/explain/step_account.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "tests/support/corpus.h"

namespace moeplan::report {
namespace {

using Class = OperationClass;

OperationInterval interval(std::int64_t start, std::int64_t end, Class operation) {
  OperationInterval i;
  i.start = start;
  i.end = end;
  i.operation = operation;
  return i;
}

// 0 .. 10 gemm; 6 .. 16 all-to-all, of which 4 under the gemm; nothing until 20; 20 .. 24 two kernels at
// once.
TEST(StepAccount, ChargesEveryMomentOnce) {
  const StepAccount a = account_step({interval(0, 10, Class::kGemm), interval(6, 16, Class::kAllToAll),
                                      interval(20, 24, Class::kNorm), interval(20, 24, Class::kRope)},
                                     30);
  EXPECT_NEAR(a.step.s(), 30e-12, 1e-18);
  EXPECT_NEAR(a.at(Class::kGemm).own.s(), 10e-12, 1e-18);
  EXPECT_NEAR(a.at(Class::kAllToAll).own.s(), 6e-12, 1e-18);
  EXPECT_NEAR(a.at(Class::kAllToAll).busy.s(), 10e-12, 1e-18);
  EXPECT_NEAR(a.at(Class::kNorm).own.s(), 2e-12, 1e-18);
  EXPECT_NEAR(a.at(Class::kNorm).busy.s(), 4e-12, 1e-18);
  EXPECT_NEAR(a.at(Class::kIdle).own.s(), 10e-12, 1e-18);
  EXPECT_NEAR(a.exposed.s(), 6e-12, 1e-18);
  EXPECT_NEAR(a.hidden.s(), 4e-12, 1e-18);
}

// What reaches beyond the step counts inside it alone; calls belong to the step that they start in.
TEST(StepAccount, CutsAtTheEndsOfTheStep) {
  const StepAccount a = account_step({interval(-5, 5, Class::kGemm), interval(8, 15, Class::kNorm)}, 10);
  EXPECT_NEAR(a.at(Class::kGemm).own.s(), 5e-12, 1e-18);
  EXPECT_EQ(a.at(Class::kGemm).calls, 0);
  EXPECT_NEAR(a.at(Class::kNorm).own.s(), 2e-12, 1e-18);
  EXPECT_NEAR(a.at(Class::kNorm).busy.s(), 7e-12, 1e-18);
  EXPECT_EQ(a.at(Class::kNorm).calls, 1);
}

TEST(StepAccount, TheFastestTenthOfTheCalls) {
  std::vector<OperationInterval> all;
  for (std::int64_t i = 0; i < 20; ++i) all.push_back(interval(100 * i, 100 * i + 20 - i, Class::kDispatch));
  OperationInterval helper = interval(50, 51, Class::kDispatch);
  helper.auxiliary = true;
  all.push_back(helper);
  const StepAccount a = account_step(all, 2000);
  EXPECT_EQ(a.at(Class::kDispatch).calls, 20);
  EXPECT_NEAR(a.at(Class::kDispatch).fastest.s(), 3e-12, 1e-18);  // the third of 1, 2, 3 ...
}

TEST(StepAccount, MergedClassesKeepTheirSums) {
  StepAccount a = account_step({interval(0, 10, Class::kDispatch), interval(10, 30, Class::kCombine)}, 30);
  a.merge(Class::kDispatch, Class::kCombine, Class::kAllToAll);
  EXPECT_NEAR(a.at(Class::kAllToAll).own.s(), 30e-12, 1e-18);
  EXPECT_EQ(a.at(Class::kAllToAll).calls, 2);
  EXPECT_EQ(a.at(Class::kDispatch).busy, base::Seconds());
}

// Random intervals: own times sum to the step, and none is longer than its class was busy.
TEST(StepAccount, OwnTimesSumToTheStep) {
  base::RandomStream random(test::test_seed(), "step account");
  for (int round = 0; round < 50; ++round) {
    std::vector<OperationInterval> all;
    const std::int64_t length = 1'000'000;
    for (int i = 0; i < 40; ++i) {
      const auto start = static_cast<std::int64_t>(random.uniform() * 1.2e6) - 100'000;
      const auto end = start + static_cast<std::int64_t>(random.uniform() * 1e5);
      all.push_back(interval(start, end, static_cast<Class>(static_cast<int>(random.uniform() * 23))));
    }
    const StepAccount a = account_step(all, length);
    double sum = 0, communication = 0;
    for (int c = 0; c < kOperationClasses; ++c) {
      const ClassTime& time = a.classes[static_cast<std::size_t>(c)];
      sum += time.own.s();
      if (is_communication(static_cast<Class>(c))) communication += time.own.s();
    }
    EXPECT_NEAR(sum, a.step.s(), 1e-9 * a.step.s());
    EXPECT_NEAR(communication, a.exposed.s(), 1e-9 * a.step.s());
  }
}

}  // namespace
}  // namespace moeplan::report
