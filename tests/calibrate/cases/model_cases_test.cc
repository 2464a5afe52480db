#include "calibrate/cases/model_cases.h"

#include <algorithm>
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/config_files.h"
#include "base/diagnostics.h"

namespace moeplan::calibrate {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

sim::ModelSpec shipped(const std::string& name) {
  return sim::load_model(base::resolve_config("models", name));
}

std::vector<std::string> keys(const std::vector<Case>& cases) {
  std::vector<std::string> result;
  result.reserve(cases.size());
  for (const Case& what : cases) result.push_back(what.key());
  return result;
}

std::vector<std::string> keys_of(const std::string& model) { return keys(model_cases(shipped(model))); }

std::string gemm(const std::string& pass, int m, int n, int k, const std::string& format = "bf16") {
  return "gemm format=" + format + " pass=" + pass + " m=" + std::to_string(m) + " n=" + std::to_string(n) +
         " k=" + std::to_string(k) + " l2=cold";
}

std::string grouped(const std::string& pass, int groups, int rows, int n, int k) {
  return "grouped_product kernel=per_expert format=bf16 pass=" + pass + " groups=" + std::to_string(groups) +
         " rows=" + std::to_string(rows) + " n=" + std::to_string(n) + " k=" + std::to_string(k) +
         " loads=balanced";
}

// Qwen3-235B-A22B: hidden 4096, 64 heads and 4 key-value heads of 128, 128 experts of 1536, top-8.
TEST(ModelCases, HoldTheProductsOfGroupedQueryAttentionInThreePassesAtEveryTp) {
  const auto all = keys_of("qwen3-235b-a22b");
  // tp 1: (64 + 2*4) 128 = 9216 outputs. tp 8: 8 heads, and one key-value head of which two ranks hold a
  // copy: (8 + 2) 128 = 1280.
  EXPECT_THAT(all, Contains(gemm("forward", 4096, 9216, 4096)));
  EXPECT_THAT(all, Contains(gemm("data_gradient", 32768, 4096, 9216)));
  EXPECT_THAT(all, Contains(gemm("weight_gradient", 1280, 4096, 1024)));
  // The out projection at tp 2: 32 heads of 128 in.
  EXPECT_THAT(all, Contains(gemm("forward", 8192, 4096, 4096)));
  // No dense layer: its width 12288 is read by no product.
  EXPECT_THAT(all, Not(Contains(HasSubstr("=12288 "))));
}

TEST(ModelCases, RouterAndLogitsAreBf16AndTheRouterSeesTheTokensOverTp) {
  const auto all = keys_of("qwen3-235b-a22b");
  // 1,024 tokens over tp 8; 151,936 / 8 = 18,992 words.
  EXPECT_THAT(all, Contains(gemm("forward", 128, 128, 4096)));
  EXPECT_THAT(all, Contains(gemm("forward", 4096, 18992, 4096)));
  EXPECT_THAT(all, Not(Contains(gemm("forward", 4096, 18992, 4096, "fp8_tensor"))));
  EXPECT_THAT(all, Not(Contains(gemm("forward", 128, 128, 4096, "fp8_tensor"))));
  EXPECT_THAT(all, Contains(gemm("forward", 4096, 9216, 4096, "fp8_tensor")));
  EXPECT_THAT(all, Contains(gemm("forward", 4096, 9216, 4096, "fp8_block")));
}

TEST(ModelCases, ExpertsOfARankHaveTheRowsOfEvenRouting) {
  const auto all = keys_of("qwen3-235b-a22b");
  // ep 8: 16 experts; 4,096 tokens * top-8 * 8 / 128 = 2,048 rows each. ep 1, tp 8, 1,024 tokens:
  // 128 * 8 / 128 = 8 rows each.
  EXPECT_THAT(all, Contains(grouped("forward", 16, 2048, 3072, 4096)));
  EXPECT_THAT(all, Contains(grouped("weight_gradient", 16, 2048, 4096, 1536)));
  EXPECT_THAT(all, Contains(grouped("data_gradient", 128, 8, 3072, 4096)));
  EXPECT_THAT(all, Contains("memory op=permute rows=512 cols=4096 top_k=8 l2=cold"));
  EXPECT_THAT(all, Contains("memory op=swiglu rows=32768 cols=1536 top_k=1 l2=cold"));
}

// DeepSeek-V3: hidden 7168, 128 heads, latents of 1536 and 512, keys of 128 + 64, values of 128; dense layers
// of 18432 and a shared expert of 2048.
TEST(ModelCases, HoldTheProductsOfLatentAttentionDenseLayersAndSharedExperts) {
  const auto all = keys_of("deepseek-v3");
  EXPECT_THAT(all, Contains(gemm("forward", 4096, 1536, 7168)));          // q down
  EXPECT_THAT(all, Contains(gemm("forward", 512, 576, 7168)));            // kv down, 4,096 tokens over tp 8
  EXPECT_THAT(all, Contains(gemm("forward", 4096, 24576, 1536)));         // q up: 128 (128 + 64)
  EXPECT_THAT(all, Contains(gemm("forward", 4096, 8192, 512)));           // kv up at tp 4: 32 (128 + 128)
  EXPECT_THAT(all, Contains(gemm("weight_gradient", 7168, 2048, 4096)));  // out projection at tp 8: 16 * 128
  EXPECT_THAT(all, Contains(gemm("forward", 4096, 36864, 7168)));         // dense fc1, gated
  EXPECT_THAT(all, Contains(gemm("forward", 4096, 512, 7168)));           // shared fc1 at tp 8: 2 * 256
  EXPECT_THAT(all, Contains(gemm("data_gradient", 4096, 14336, 7168)));   // MTP projection
  // 256 experts hold 256 * 4096 * 7168 = 7.5e9 weights in fc1: too many for one GPU.
  EXPECT_THAT(all, Not(Contains(HasSubstr("groups=256 rows=128 n=4096"))));
  EXPECT_THAT(all, Contains(grouped("forward", 32, 1024, 4096, 7168)));
}

TEST(ModelCases, DegreesThatDivideNothingAreLeftOut) {
  sim::ModelSpec model = shipped("qwen3-235b-a22b");
  model.heads = 6;  // tp 1 and 2
  model.kv_heads = 2;
  model.experts = 12;  // ep 1, 2 and 4
  const auto all = keys(model_cases(model));
  EXPECT_THAT(all, Contains(gemm("forward", 4096, 1280, 4096)));             // (6 + 4) 128
  EXPECT_THAT(all, Contains(gemm("forward", 4096, 640, 4096)));              // (3 + 2) 128
  EXPECT_THAT(all, Not(Contains(gemm("forward", 4096, 151936 / 4, 4096))));  // no tp 4
  EXPECT_THAT(all, Contains(HasSubstr("groups=3 ")));
  EXPECT_THAT(all, Not(Contains(HasSubstr("groups=1 "))));
}

TEST(ModelCases, AModelThatCannotBePlannedIsRefused) {
  sim::ModelSpec model = shipped("qwen3-235b-a22b");
  model.layers[3].mixer = sim::MixerKind::kMamba;
  try {
    model_cases(model);
    FAIL();
  } catch (const base::InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("layers of kind mamba have no cost model"));
  }
}

TEST(ModelCases, OfEveryShippedModelAreDistinctReadBackAndKeepTheirMemoryKernelsDoable) {
  for (const std::string& name : base::shipped_configs("models")) {
    const std::vector<Case> all = model_cases(shipped(name));
    std::set<std::string> seen, kinds;
    for (const Case& what : all) {
      EXPECT_TRUE(seen.insert(what.key()).second) << what.key();
      EXPECT_EQ(Case::parse(what.key()).key(), what.key());
      kinds.insert(what.kind());
      if (what.kind() == "memory") {
        EXPECT_EQ(what.number("cols") % 128, 0) << what.key();
      }
    }
    EXPECT_THAT(kinds, Contains("gemm")) << name;
    EXPECT_THAT(kinds, Contains("grouped_product")) << name;
    EXPECT_EQ(all.front().word("format"), "bf16");
    EXPECT_EQ(all.back().word("format"), "fp8_block");
  }
}

}  // namespace
}  // namespace moeplan::calibrate
