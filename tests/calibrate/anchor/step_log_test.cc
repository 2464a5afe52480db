#include "calibrate/anchor/step_log.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/input_error.h"

namespace moeplan::calibrate {
namespace {

using ::testing::DoubleEq;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string fault(const std::string& text) {
  return test::input_error_of([&] { summarise_steps(read_step_log(text, "run.log"), "run.log"); });
}

TEST(StepLog, Megatron) {
  const StepLog log = read_step_log(
      "loading checkpoint\n"
      " [2026-01-01 00:00:00] iteration        1/      25 | consumed samples: 32 | elapsed time per "
      "iteration (ms): 3500.5 | lm loss: 1E+1 |\r\n"
      " iteration        2/      25 | elapsed time per iteration (ms): 1250 |\n"
      "validation loss at iteration 2\n",
      "run.log");
  EXPECT_EQ(log.kind, "Megatron log");
  EXPECT_THAT(log.seconds, ElementsAre(DoubleEq(3.5005), DoubleEq(1.25)));
}

TEST(StepLog, Nemo) {
  EXPECT_THAT(read_step_log("iteration 1/9 | train_step_timing in s: 5.25 | consumed\niteration 2/9 | "
                            "train_step_timing in s: 4.5\n",
                            "a")
                  .seconds,
              ElementsAre(5.25, 4.5));
  EXPECT_THAT(read_step_log("train_step_timing in s: [11.5, 7, 5.25]\n", "a").seconds,
              ElementsAre(11.5, 7, 5.25));
}

// The GPU's mirror of a step covers its kernels alone; steps come in any order, and all else is passed over.
TEST(StepLog, ProfilerTrace) {
  const StepLog log = read_step_log(
      R"({"schemaVersion": 1, "deviceProperties": [{"id": 0, "name": "H100"}], "traceEvents": [
        {"ph": "X", "cat": "user_annotation", "name": "ProfilerStep#7", "ts": 10, "dur": 2000000, "args": {"External id": 1}},
        {"ph": "X", "cat": "gpu_user_annotation", "name": "ProfilerStep#7", "ts": 10, "dur": 1},
        {"ph": "X", "cat": "kernel", "name": "gemm", "dur": 5},
        {"ph": "X", "cat": "user_annotation", "name": "ProfilerStep#6", "ts": 0, "dur": 1500000.5}], "traceName": "t"})",
      "trace.json");
  EXPECT_EQ(log.kind, "profiler trace");
  EXPECT_THAT(log.seconds, ElementsAre(DoubleEq(1.5000005), DoubleEq(2.0)));
  EXPECT_THAT(fault(R"({"traceEvents": [{"name": "gemm"}]})"), HasSubstr("without steps"));
  EXPECT_THAT(fault(R"({"traceEvents": [{"name": "gemm")"), HasSubstr("not valid JSON"));
}

TEST(StepLog, Table) {
  EXPECT_THAT(read_step_log("step,step_ms\n1,1500\n2,1250\n", "a.csv").seconds, ElementsAre(1.5, 1.25));
  EXPECT_THAT(read_step_log("step_s\n1.5\n", "a.csv").seconds, ElementsAre(1.5));
}

TEST(StepLog, Refusals) {
  EXPECT_THAT(fault(""), HasSubstr("empty"));
  EXPECT_THAT(fault("a,b\n1,2\n"), HasSubstr("expected a Megatron or NeMo log"));
  EXPECT_THAT(fault("elapsed time per iteration (ms): soon\n"),
              HasSubstr("run.log:1:1: error: expected a number"));
  EXPECT_THAT(fault("x\nelapsed time per iteration (ms): -5 |\n"),
              HasSubstr("run.log:2:1: error: found a step of"));
  EXPECT_THAT(fault("step_s\n1\n1\n"), HasSubstr("found 2 steps after warm-up, expected at least 3"));
  EXPECT_THAT(fault("step_s\nfast\n"), HasSubstr("fast"));
}

TEST(StepLog, WarmUpIsLeftOutAndTheMedianStands) {
  StepLog log{"table", {9.0, 3.0, 1.2, 1.0, 1.01, 0.99, 1.0, 5.0, 1.0, 1.0}};
  const StepSummary summary = summarise_steps(log, "a");
  EXPECT_EQ(summary.warm_up, 3);
  EXPECT_EQ(summary.steps, 7);
  EXPECT_DOUBLE_EQ(summary.median.s(), 1.0);
  EXPECT_GT(summary.spread, 1.0);  // the outlier is in the spread
  EXPECT_NEAR(summary.deviation, std::sqrt(1.5707963 / 7) * summary.spread / 1.6448536, 1e-6);
}

}  // namespace
}  // namespace moeplan::calibrate
