#include "sim/workload/run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/diagnostics.h"
#include "tests/support/corpus.h"

namespace moeplan::sim {
namespace {

using ::testing::HasSubstr;

std::string errors_of(const std::string& yaml) {
  try {
    parse_run(yaml, "run.yaml");
  } catch (const base::InputError& error) {
    return error.what();
  }
  return "";
}

TEST(RunFile, ThePublishedRunsRead) {
  const RunSpec bf16 = load_run((test::source_root() / "configs/runs/pretrain-4k.yaml").string());
  EXPECT_EQ(bf16.seq_len, 4096);
  EXPECT_EQ(bf16.global_batch, 2048);
  EXPECT_EQ(bf16.precision, PrecisionRecipe{});
  const RunSpec fp8 = load_run((test::source_root() / "configs/runs/pretrain-4k-fp8.yaml").string());
  EXPECT_EQ(fp8.precision.gemm, NumberFormat::kFp8Block);
  EXPECT_EQ(fp8.precision.combine, NumberFormat::kBf16);
  EXPECT_EQ(fp8.precision.optimizer_bytes_per_parameter, 8);
  EXPECT_THAT(describe(fp8), HasSubstr("GEMM fp8_block"));
}

TEST(RunFile, DefaultsAreTheStatedOnes) {
  const RunSpec run = parse_run("name: r\nglobal_batch: 8\nseq_len: 128\noptimizer: muon\n", "run.yaml");
  EXPECT_EQ(run.precision.optimizer_bytes_per_parameter, 8);  // fp32 master weight and one momentum
  EXPECT_EQ(run.gate, GatePolicy::kDropless);
  EXPECT_TRUE(run.fused_cross_entropy);
}

TEST(RunFile, WhatTheFrameworkFusesAndWhatAGraphLaunchesAreRead) {
  const RunSpec run = parse_run(
      "name: r\nglobal_batch: 8\nseq_len: 128\nfusion: {attention: false, experts: true}\n"
      "cuda_graph: {router: true}\n",
      "run.yaml");
  EXPECT_FALSE(run.fusion.attention);
  EXPECT_TRUE(run.fusion.experts);
  EXPECT_TRUE(run.fusion.activation);
  EXPECT_EQ(run.graph, (GraphScope{false, true}));
}

TEST(RunFile, FaultsAreReportedTogetherWithTheirPlaces) {
  const std::string text =
      errors_of("name: r\nglobal_batch: 0\nseq_len: 4096\nprecision:\n  gemm: fp9\ngates: capacity\n");
  EXPECT_THAT(text, HasSubstr("run.yaml:2:15: error: found 0, expected 1 to"));
  EXPECT_THAT(text, HasSubstr("run.yaml:5:9: error: found \"fp9\", expected one of"));
  EXPECT_THAT(text, HasSubstr("unknown key \"gates\""));
  EXPECT_THAT(text, HasSubstr("did you mean \"gate\"?"));
}

TEST(RunFile, TheRoutersLossHasMegatronsWords) {
  const std::string head = "name: r\nglobal_batch: 8\nseq_len: 8\n";
  EXPECT_EQ(parse_run(head, "r").router_loss, RouterLoss::kNone);
  for (const RouterLoss loss : {RouterLoss::kMicroBatch, RouterLoss::kSequence, RouterLoss::kGlobal}) {
    const RunSpec run = parse_run(head + "router_loss: " + std::string(name(loss)) + "\n", "r");
    EXPECT_EQ(run.router_loss, loss);
    EXPECT_THAT(describe(run), HasSubstr("loss " + std::string(name(loss)) + ", biases fixed"));
  }
  EXPECT_TRUE(parse_run(head + "router_bias_update: true\n", "r").router_bias_update);
  EXPECT_THAT(errors_of(head + "router_loss: auxloss\n"),
              HasSubstr("found \"auxloss\", expected one of none, aux_loss, seq_aux_loss, global_aux_loss"));
}

TEST(RunFile, ACapacityFactorNeedsTheCapacityGate) {
  EXPECT_THAT(errors_of("name: r\nglobal_batch: 8\nseq_len: 8\ncapacity_factor: 1.2\n"),
              HasSubstr("has no effect with gate dropless"));
  EXPECT_THAT(errors_of("name: r\nglobal_batch: 8\nseq_len: 8\ngate: capacity\n"),
              HasSubstr("key \"capacity_factor\" is missing"));
  EXPECT_EQ(parse_run("name: r\nglobal_batch: 8\nseq_len: 8\ngate: capacity\ncapacity_factor: 1.25\n", "r")
                .capacity_factor,
            1.25);
}

TEST(RunFile, WrittenRunsReadBackTheSame) {
  const std::vector<std::string> texts = {
      "{name: a, global_batch: 8, seq_len: 128}",
      "{name: 'a: \"b\"', global_batch: 8, seq_len: 128, optimizer: sgd, gate: capacity, capacity_factor: 1.1, stack: 'x # y'}",
      "{name: a, global_batch: 8, seq_len: 128, precision: {gemm: mxfp8, dispatch: fp8_block, gradient_reduce: bf16}, "
      "router_loss: aux_loss, router_bias_update: true, fused_cross_entropy: false}",
      "{name: a, global_batch: 8, seq_len: 128, fusion: {experts: true, epilogue: true, activation: false, accumulation: false, "
      "padding: false, cached_weights: false}, cuda_graph: {attention: true, router: true}, gradients: {check: false}}",
      "{name: a, global_batch: 8, seq_len: 128, fusion: {attention: false}, cuda_graph: {whole_step: true}, gradients: "
      "{average_in_collective: true}}",
      "{name: a, global_batch: 8, seq_len: 128, documents: {lengths: lognormal, mean: 100.5, sigma: 1.3}}",
      "{name: a, global_batch: 8, seq_len: 128, documents: {lengths: fixed, mean: 100}}"};
  for (const std::string& text : texts) {
    const RunSpec run = parse_run(text, "a.yaml");
    const std::string written = write_run(run);
    SCOPED_TRACE(written);
    EXPECT_EQ(parse_run(written, "b.yaml"), run);
  }
}

}  // namespace
}  // namespace moeplan::sim
