#include "report/explain/measured_steps.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/input_error.h"

namespace moeplan::report {
namespace {

using Class = OperationClass;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string step(int number, int at, int duration) {
  return fmt::format(
      R"({{"ph":"X","cat":"user_annotation","name":"ProfilerStep#{}","pid":9,"tid":1,"ts":{},"dur":{}}},)",
      number, at, duration);
}
std::string range(const std::string& name, int thread, int at, int duration,
                  const char* category = "cpu_op") {
  return fmt::format(R"({{"ph":"X","cat":"{}","name":"{}","pid":9,"tid":{},"ts":{},"dur":{}}},)", category,
                     name, thread, at, duration);
}
/// Launched at `launch` by a thread; runs from `at`.
std::string kernel(const std::string& name, int thread, int launch, int at, int duration) {
  static int correlation = 0;
  ++correlation;
  return fmt::format(
      R"({{"ph":"X","cat":"cuda_runtime","name":"cudaLaunchKernel","pid":9,"tid":{},"ts":{},"dur":1,"args":{{"correlation":{}}}}},
{{"ph":"X","cat":"kernel","name":"{}","pid":0,"tid":7,"ts":{},"dur":{},"args":{{"device":0,"stream":7,"correlation":{}}}}},)",
      thread, launch, correlation, name, at, duration, correlation);
}

MeasuredSteps measure(std::string events, const MeasureOptions& options = {}) {
  events.pop_back();
  base::TextStream stream("t.json", "{\"traceEvents\":[" + events + "]}");
  sim::ParallelLayout layout;
  layout.ep = layout.dp = 8;
  return measure_steps(read_kineto_trace(stream), layout, 0, options);
}

// The GPU runs 50 us behind the host. Step 1 goes from its annotation (0) to the first kernel that step 2
// launched (160), step 2 from there to its last kernel's end (270). Step 1: gemm 40, of 160; step 2: gemm
// 100, of 110.
TEST(MeasuredSteps, CutsWhereTheNextStepsKernelsBegin) {
  const std::string events = step(1, 0, 100) + kernel("nvjet_a", 1, 10, 60, 40) + step(2, 100, 100) +
                             kernel("nvjet_a", 1, 110, 160, 60) + kernel("nvjet_a", 1, 130, 230, 40);
  const MeasuredSteps both = measure(events);
  ASSERT_THAT(both.numbers, ElementsAre(1, 2));
  EXPECT_NEAR(both.times[0].us(), 160, 1e-6);
  EXPECT_NEAR(both.times[1].us(), 110, 1e-6);
  EXPECT_NEAR(both.mean.step.us(), 135, 1e-6);
  EXPECT_NEAR(both.mean.at(Class::kGemm).own.us(), 70, 1e-6);
  EXPECT_NEAR(both.mean.at(Class::kIdle).own.us(), 65, 1e-6);
  MeasureOptions second;
  second.steps = {2};
  EXPECT_NEAR(measure(events, second).mean.step.us(), 110, 1e-6);
  second.steps = {7};
  EXPECT_THAT(test::input_error_of([&] { measure(events, second); }),
              HasSubstr("found no step 7 with GPU work, expected one of 1 to 2"));
}

TEST(MeasuredSteps, WithoutAnnotationsTheUserSaysHowMany) {
  const std::string events = kernel("nvjet_a", 1, 10, 60, 40) + kernel("nvjet_a", 1, 20, 120, 60);
  EXPECT_THAT(test::input_error_of([&] { measure(events); }),
              HasSubstr("found a trace without steps (events ProfilerStep#N)"));
  MeasureOptions two;
  two.count = 2;
  const MeasuredSteps measured = measure(events, two);
  EXPECT_NEAR(measured.mean.step.us(), 60, 1e-6);
  EXPECT_NEAR(measured.mean.at(Class::kGemm).busy.us(), 50, 1e-6);
  EXPECT_EQ(measured.mean.at(Class::kGemm).calls, 1);
  EXPECT_THAT(test::input_error_of([&] { measure(step(1, 0, 100) + events, two); }),
              HasSubstr("expected none with --steps"));
}

// The backward runs on autograd's thread; an optimizer's kernels are told by its annotation; a module's name
// gives the layer.
TEST(MeasuredSteps, TellsPartsAndLayers) {
  const MeasuredSteps measured = measure(
      step(1, 0, 1000) + range("nn.Module: TransformerLayer_4", 1, 5, 50, "python_function") +
      range("aten::mm", 1, 9, 5) + kernel("nvjet_a", 1, 10, 60, 40) +
      range("autograd::engine::evaluate_function: MmBackward0", 2, 200, 50) +
      kernel("nvjet_a", 2, 210, 260, 70) + range("Optimizer.step#Adam.step", 1, 500, 50, "user_annotation") +
      kernel("void at::native::vectorized_elementwise_kernel", 1, 510, 600, 30));
  const auto at = [&](sim::StepPart part, Class c) {
    return measured.mean.busy_of_part[static_cast<std::size_t>(part)][static_cast<std::size_t>(c)] * 1e6;
  };
  EXPECT_NEAR(at(sim::StepPart::kForward, Class::kGemm), 40, 1e-6);
  EXPECT_NEAR(at(sim::StepPart::kBackward, Class::kGemm), 70, 1e-6);
  EXPECT_NEAR(at(sim::StepPart::kUpdate, Class::kOptimizer), 30, 1e-6);
  ASSERT_EQ(measured.mean.busy_of_layer.size(), 5U);
  EXPECT_NEAR(measured.mean.busy_of_layer[4] * 1e6, 40, 1e-6);
  const MeasuredSteps bare = measure(step(1, 0, 1000) + kernel("nvjet_a", 1, 10, 60, 40));
  EXPECT_FALSE(bare.mean.has_parts);
  EXPECT_THAT(bare.notes, ElementsAre(HasSubstr("forward and backward are not told apart"),
                                      HasSubstr("layers are not told apart")));
}

TEST(MeasuredSteps, NoKernelIsDropped) {
  const MeasuredSteps measured = measure(step(1, 0, 1000) + kernel("mine", 1, 10, 60, 40) +
                                         kernel("yours", 1, 20, 120, 60) + kernel("mine", 1, 30, 200, 40));
  ASSERT_EQ(measured.unmatched.size(), 2U);
  EXPECT_EQ(measured.unmatched[0].name, "mine");
  EXPECT_NEAR(measured.unmatched[0].busy.us(), 80, 1e-6);
  EXPECT_NEAR(measured.unmatched[0].calls, 2, 1e-9);
  EXPECT_NEAR(measured.mean.at(Class::kUnmatched).own.us(), 140, 1e-6);
}

// cuBLAS's products of a grouped layer.
TEST(MeasuredSteps, LaunchersRefineClasses) {
  const MeasuredSteps measured =
      measure(step(1, 0, 1000) + range("_GroupedLinear", 1, 5, 20) + range("aten::mm", 1, 40, 20) +
              kernel("nvjet_a", 1, 10, 60, 40) + kernel("nvjet_a", 1, 45, 120, 60));
  EXPECT_NEAR(measured.mean.at(Class::kGroupedGemm).busy.us(), 40, 1e-6);
  EXPECT_NEAR(measured.mean.at(Class::kGemm).busy.us(), 60, 1e-6);
}

// Kernels 5 us behind their launch were awaited; one that was launched 90 us before waited itself. The GPU is
// idle for 15 us, for 40 and for 40 more.
TEST(MeasuredSteps, TellsLateLaunchesFromWaits) {
  const MeasuredSteps measured =
      measure(step(1, 0, 250) + kernel("nvjet_a", 1, 10, 15, 45) + kernel("nvjet_a", 1, 95, 100, 60) +
              kernel("nvjet_b", 1, 110, 200, 10));
  EXPECT_NEAR(measured.idle.host_late.us(), 15 + 40, 1e-6);
  EXPECT_NEAR(measured.idle.waiting.us(), 40, 1e-6);
}

TEST(MeasuredSteps, AnAbsurdStepIsRefused) {
  EXPECT_THAT(test::input_error_of([&] {
                measure(step(1, 0, 100) + kernel("a", 1, 10, 2'000'000'000, 40) + kernel("a", 1, 20, 30, 40));
              }),
              ::testing::Eq("no error"));  // 2000 s is slow, no fault
  const std::string far =
      R"({"ph":"X","cat":"kernel","name":"k","pid":0,"tid":7,"ts":400000000000,"dur":1,"args":{"device":0}},)";
  MeasureOptions whole;
  whole.count = 1;
  EXPECT_THAT(test::input_error_of([&] { measure(kernel("a", 1, 10, 20, 40) + far, whole); }),
              HasSubstr("below a day"));
}

}  // namespace
}  // namespace moeplan::report
