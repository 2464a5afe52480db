#include "report/explain/explanation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "report/explain/explanation_writer.h"
#include "report/explain/predicted_step.h"
#include "sim/schedule/layer_kernels.h"
#include "tests/report/explain/kineto_text.h"
#include "tests/sim/schedule/step_case.h"

namespace moeplan::report {
namespace {

using Class = OperationClass;
using sim::test_data::StepCase;
using test_data::Perturbation;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr int kRank = 3;

/// A simulated step of qwen3-30b-a3b's first layers on 8 GPUs, and traces of it.
struct Made {
  explicit Made(const std::string& load = "uniform", int tp = 1, int pp = 1) : job(load, 4, "hgx-h100-1n") {
    job.lay_out(tp, pp, 1, 8 / pp);
    job.plan.layout.dp = 8 / (tp * pp);
    job.plan.layout.edp = 1;
    sim::SimulateOptions options;
    options.what_if = false;
    options.view = true;
    options.timeline_rank = kRank;
    simulation = sim::simulate_step(job.job(), job.plan, options);
    context.profile = "h100-sxm";
    context.load = load;
    context.model = "qwen3-30b-a3b";
    context.expert_link = context.tensor_link = context.data_link = context.stage_link = "NVLink";
    context.predicted_share = simulation.view->loads.per_rank[kRank % 8];
    options_.own_elements =
        static_cast<double>(sim::rank_tokens(job.plan, job.run).routed * job.model.top_k) *
        static_cast<double>(job.model.dispatch_width);
  }

  Explanation explain_trace(const Perturbation& perturbation) {
    base::TextStream stream("t.json", test_data::kineto_text(*simulation.timeline, perturbation));
    measured = measure_steps(read_kineto_trace(stream), job.plan.layout, kRank, options_);
    return explain(account_prediction(*simulation.timeline, job.plan.layout.pp), measured, context);
  }

  StepCase job;
  sim::Simulation simulation;
  ExplainContext context;
  MeasureOptions options_;
  MeasuredSteps measured;
};

double lost(const Explanation& e) {
  double sum = 0;
  for (const Difference& d : e.differences) sum += d.lost.s();
  return sum;
}

const Difference& of(const Explanation& e, Class operation) {
  for (const Difference& d : e.differences)
    if (d.operation == operation) return d;
  throw std::runtime_error("no such class");
}

// The prediction as a trace is the prediction: nothing is lost, nothing breaks, each class has its calls.
TEST(Explanation, ATraceAsPredictedLosesNothing) {
  for (const auto& [tp, pp] : {std::pair{1, 1}, {2, 1}, {1, 2}}) {
    Made made("lognormal:1.0", tp, pp);
    const Explanation e = made.explain_trace({});
    EXPECT_NEAR(e.measured.s(), e.predicted.s(), 2e-6 * e.predicted.s());
    for (const Difference& d : e.differences) {
      // p2p: the wait of a pipeline is idle time in this trace, which has no kernel that spins.
      if (pp > 1 && (d.operation == Class::kP2p || d.operation == Class::kIdle)) continue;
      EXPECT_TRUE(d.in_band) << name(d.operation);
      // Waits in front of exchanges of the update are idle in the trace and theirs in the prediction.
      EXPECT_NEAR(d.lost.s(), 0, 1e-3 * e.predicted.s()) << name(d.operation);
      if (d.operation != Class::kIdle) {
        EXPECT_EQ(d.predicted.calls, d.measured.calls) << name(d.operation);
      }
    }
    EXPECT_THAT(e.warnings, IsEmpty());
    EXPECT_THAT(e.findings, IsEmpty());
  }
}

// One class at a time, each beyond its band.
TEST(Explanation, TheSlowClassComesFirstWithItsFactor) {
  Made made;
  for (const Class slow : {Class::kGemm, Class::kGroupedGemm, Class::kAttention, Class::kNorm,
                           Class::kPermute, Class::kOptimizer}) {
    const Explanation e = made.explain_trace(Perturbation().slow(slow, 1.5));
    const Difference& first = e.differences.front();
    EXPECT_EQ(name(first.operation), name(slow));
    EXPECT_NEAR(first.factor, 1.5, 0.01);
    EXPECT_NEAR(lost(e), (e.measured - e.predicted).s(), 1e-9 * e.measured.s());
    EXPECT_NEAR(first.lost.s(), (e.measured - e.predicted).s(), 0.01 * first.lost.s());
  }
}

TEST(Explanation, ThirtyPerCentMoreInAttentionBreaksItsEfficiency) {
  Made made;
  const Explanation e = made.explain_trace(Perturbation().slow(Class::kAttention, 1.3));
  const Difference& first = e.differences.front();
  EXPECT_EQ(first.operation, Class::kAttention);
  EXPECT_NEAR(first.factor, 1.3, 0.005);
  EXPECT_FALSE(first.in_band);
  EXPECT_EQ(first.assumption, "attention efficiency of profile h100-sxm");
  EXPECT_THAT(first.next, HasSubstr("moeplan calibrate gpu --for qwen3-30b-a3b"));
  for (const Difference& d : e.differences)
    EXPECT_TRUE(d.in_band || d.operation == Class::kAttention) << name(d.operation);
}

// More tokens on this rank's experts than the load says: its products and what it receives grow alike.
TEST(Explanation, AStragglingExpertBreaksTheLoad) {
  Made made;
  Perturbation hot;
  hot.own_elements = made.options_.own_elements;
  hot.received = 1.6;
  const Explanation e = made.explain_trace(hot.slow(Class::kGroupedGemm, 1.6));
  EXPECT_NEAR(e.measured_share, 1.6, 1e-3);
  EXPECT_EQ(e.differences.front().operation, Class::kGroupedGemm);
  EXPECT_EQ(
      e.differences.front().assumption,
      "router balance of load uniform: this rank's experts received 1.60 times the mean, 1.00 predicted");
  EXPECT_THAT(e.differences.front().next, HasSubstr("moeplan import load"));
  // As many tokens as predicted: then it is the product.
  hot.received = 1.0;
  EXPECT_EQ(made.explain_trace(hot).differences.front().assumption,
            "grouped-GEMM efficiency of profile h100-sxm");
}

// A hundred microseconds before each kernel: time without work, none of it in a class.
TEST(Explanation, GapsAreTheHosts) {
  Made made;
  Perturbation slow_host;
  slow_host.gap_us = 100;
  const Explanation e = made.explain_trace(slow_host);
  const Difference& first = e.differences.front();
  EXPECT_EQ(first.operation, Class::kIdle);
  EXPECT_THAT(first.assumption, HasSubstr("host launch cost of profile h100-sxm"));
  EXPECT_GT(e.idle.host_late, e.idle.waiting);
  // Some gaps lie beside a gradient reduction.
  EXPECT_NEAR(first.lost.s(), (e.measured - e.predicted).s(), 0.03 * first.lost.s());
  EXPECT_NEAR(lost(e), (e.measured - e.predicted).s(), 1e-9 * e.measured.s());
}

TEST(Explanation, AllKernelsSlowerAreAClock) {
  Made made;
  Perturbation slow;
  for (int c = 0; c < kOperationClasses; ++c)
    if (!is_communication(static_cast<Class>(c))) slow.slow(static_cast<Class>(c), 1.2);
  const Explanation e = made.explain_trace(slow);
  ASSERT_EQ(e.findings.size(), 1U);
  EXPECT_THAT(e.findings.front(), HasSubstr("all kernels take 1.20 times as long as predicted"));
}

// Grouped products with the names of dense ones are compared together with these.
TEST(Explanation, ClassesThatATraceDoesNotTellApart) {
  Made made;
  Perturbation plain;
  plain.grouped_by_name = false;
  plain.operators = false;
  const Explanation e = made.explain_trace(plain);
  EXPECT_TRUE(of(e, Class::kAllGemm).in_band);
  EXPECT_NEAR(of(e, Class::kAllGemm).factor, 1.0, 1e-3);
  EXPECT_TRUE(of(e, Class::kAllToAll).in_band);
  EXPECT_THAT(e.parts, IsEmpty());
}

// A framework whose receives do not spin: the wait for the other stage is idle time on both sides.
TEST(Explanation, PipelineWaitsWithoutKernelsAreIdle) {
  Made made("uniform", 1, 2);
  const StepAccount prediction = account_prediction(*made.simulation.timeline, 2);
  ASSERT_GT(prediction.at(Class::kP2p).own, base::Seconds());
  std::erase_if(made.simulation.timeline->operations,
                [](const sim::RankOperation& o) { return o.name == "p2p"; });
  base::TextStream stream("t.json", test_data::kineto_text(*made.simulation.timeline, {}));
  made.measured = measure_steps(read_kineto_trace(stream), made.job.plan.layout, kRank, made.options_);
  const Explanation e = explain(prediction, made.measured, made.context);
  for (const Difference& d : e.differences) EXPECT_NE(d.operation, Class::kP2p);
  EXPECT_NEAR(of(e, Class::kIdle).factor, 1.0, 0.01);
  EXPECT_NEAR(lost(e), (e.measured - e.predicted).s(), 1e-9 * e.measured.s());
}

TEST(Explanation, PartsAndLayersWhereTheTraceTellsThem) {
  Made made;
  Perturbation told;
  told.layers = true;
  told.steps = 3;
  const Explanation e = made.explain_trace(told);
  EXPECT_EQ(made.measured.numbers.size(), 3U);
  for (const Difference& d : e.differences) {
    ASSERT_EQ(d.own_of_step.size(), 3U);
    const base::Seconds sum = d.own_of_step[0] + d.own_of_step[1] + d.own_of_step[2];
    EXPECT_NEAR(sum.s() / 3, d.measured.own.s(), 1e-9) << name(d.operation);
  }
  ASSERT_EQ(e.parts.size(), 3U);
  for (const PartTime& part : e.parts)
    EXPECT_NEAR(part.measured / part.predicted, 1.0, 2e-3) << sim::name(part.part);
  ASSERT_EQ(e.layers.size(), 4U);
  for (const LayerTime& layer : e.layers)
    EXPECT_NEAR(layer.measured / layer.predicted, 1.0, 1e-3) << layer.layer;
}

TEST(Explanation, ATraceOfAModelWithMoreLayersIsCalledSo) {
  Made made;
  Made deeper;
  deeper.job.model.layers.insert(deeper.job.model.layers.end(), 4, deeper.job.model.layers.front());
  deeper.job.use_load("uniform");
  sim::SimulateOptions options;
  options.what_if = false;
  options.timeline_rank = kRank;
  made.simulation.timeline = sim::simulate_step(deeper.job.job(), deeper.job.plan, options).timeline;
  base::TextStream stream("t.json", test_data::kineto_text(*made.simulation.timeline, {}));
  made.measured = measure_steps(read_kineto_trace(stream), made.job.plan.layout, kRank, made.options_);
  Made small;
  const Explanation e =
      explain(account_prediction(*small.simulation.timeline, 1), made.measured, made.context);
  ASSERT_EQ(e.warnings.size(), 1U);
  EXPECT_THAT(e.warnings.front(), HasSubstr("another model or plan? the trace has "));
  EXPECT_THAT(e.warnings.front(), HasSubstr("calls of attention a step"));
}

TEST(Explanation, TextNamesWhatIsLostAndWhy) {
  Made made;
  const Explanation e = made.explain_trace(Perturbation().slow(Class::kAttention, 1.3));
  const ExplainSubject subject{"EP8", "t.json",          "NVIDIA H100",     kRank,
                               0,     e.predicted * 0.9, e.predicted * 1.2, "0"};
  const std::string text = write_explanation(e, made.measured, subject);
  EXPECT_THAT(text, HasSubstr("rank 3 (stage 0) of EP8, t.json on NVIDIA H100"));
  EXPECT_THAT(text, HasSubstr("attention: 1.30 times the prediction (+"));
  EXPECT_THAT(text, HasSubstr("breaks: attention efficiency of profile h100-sxm"));
  EXPECT_THAT(text, Not(HasSubstr("kernels that no class knows")));
  EXPECT_EQ(text, write_explanation(made.explain_trace(Perturbation().slow(Class::kAttention, 1.3)),
                                    made.measured, subject));
}

}  // namespace
}  // namespace moeplan::report
