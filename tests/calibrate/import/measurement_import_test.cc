#include "calibrate/import/measurement_import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/diagnostics.h"

namespace moeplan::calibrate {
namespace {

using ::testing::HasSubstr;

constexpr const char* kProvenance =
    R"({"schema": "moeplan.measurement/1", "kind": "provenance", "gpu_name": "NVIDIA H200", "power_limit_w": "700", "cublas": "cuBLASLt 13"})"
    "\n";

std::string measured(const std::string& kind, const std::string& shape, const std::string& more = "") {
  return R"({"schema": "moeplan.measurement/1", "status": "measured", "kind": ")" + kind + R"(", "shape": {)" + shape +
         R"(}, "seconds": 0.0002)" + more + "}\n";
}

constexpr const char* kGemm = R"("format": "bf16", "pass": "forward", "m": 4096, "n": 2048, "k": 1024, "l2": "cold")";
constexpr const char* kCoreAttention =
    R"("pass": "backward", "batch": 1, "seq": 4096, "heads": 128, "kv_heads": 128, "head_dim": 192, "v_dim": 128, "causal": true, "window": 0, "backend": )";

ImportResult import(const std::string& text) {
  ImportFacts facts;
  facts.gpus.add("h200-sxm", "NVIDIA H200");
  ImportResult result;
  import_text(text, "m.jsonl", facts, result);
  return result;
}

TEST(MeasurementImport, KindsBecomeSamplesOfTheGpuOfTheLineAbove) {
  const ImportResult result =
      import(kProvenance + measured("gemm", kGemm) +
             measured("memory", R"("op": "swiglu_backward", "rows": 8, "cols": 8, "top_k": 1, "l2": "cold")",
                      R"(, "bytes": 1024.0, "software": "own")") +
             measured("attention", std::string(kCoreAttention) + R"("cudnn")", R"(, "software": "PyTorch")") +
             measured("grouped_product", R"("kernel": "per_expert", "format": "bf16", "pass": "weight_gradient", "groups": 8, "rows": 512, "n": 4096, "k": 2048, "loads": "balanced")"));
  ASSERT_EQ(result.samples.size(), 4U);
  EXPECT_EQ(result.samples[0].gpu, "h200-sxm");
  EXPECT_EQ(result.samples[0].power_limit_w, 700.0);
  EXPECT_EQ(result.samples[0].software, "cuBLASLt 13");
  EXPECT_DOUBLE_EQ(result.samples[0].time.us(), 200.0);
  EXPECT_EQ(result.samples[0].line, 2);
  const auto& memory = std::get<MemorySample>(result.samples[1].shape);
  EXPECT_EQ(memory.op, sim::MemoryOp::kSwiglu);
  EXPECT_EQ(memory.bytes, base::Bytes::of(1024));
  EXPECT_EQ(result.samples[2].software, "PyTorch, cudnn");
  EXPECT_FALSE(std::get<AttentionSample>(result.samples[2].shape).preparation);
  EXPECT_EQ(std::get<GroupedProductSample>(result.samples[3].shape).pass, sim::GemmPass::kWeightGradient);
  // What is written reads back.
  EXPECT_EQ(write_samples(parse_samples(write_samples(result.samples), "s.jsonl")), write_samples(result.samples));
}

TEST(MeasurementImport, SkipsWhatGivesNoSampleAndSaysWhy) {
  const std::string hot = R"("format": "bf16", "pass": "forward", "m": 4096, "n": 2048, "k": 512, "l2": "hot")";
  const std::string fp8 = R"("format": "fp8_tensor", "pass": "forward", "m": 4096, "n": 2048, "k": 512, "l2": "cold")";
  const ImportResult result = import(
      kProvenance + measured("gemm", kGemm) + measured("gemm", kGemm) + measured("gemm", hot) + measured("gemm", fp8) +
      measured("launch", R"("op": "sync")") + measured("attention", std::string(kCoreAttention) + R"("efficient")") +
      measured("gemm", R"("format": "bf16", "pass": "forward", "m": 4096, "n": 2048, "l2": "cold")") +
      R"({"kind": "gemm", "status": "unsupported", "reason": "no algorithm", "shape": {}})" + "\n" +
      R"({"kind": "gemm", "status": "meas)");
  EXPECT_EQ(result.samples.size(), 1U);
  std::vector<std::string> why;
  for (const SkippedRow& row : result.skipped) why.push_back(row.why);
  ASSERT_EQ(why.size(), 8U);
  EXPECT_EQ(why[0], "the same case stands above");
  EXPECT_EQ(why[1], "operands come from the L2 cache");
  EXPECT_THAT(why[2], HasSubstr("a bare fp8_tensor product"));
  EXPECT_EQ(why[3], "\"launch\" gives no sample");
  EXPECT_THAT(why[4], HasSubstr("memory-efficient"));
  EXPECT_THAT(why[5], HasSubstr("k"));
  EXPECT_EQ(why[6], "unsupported: no algorithm");
  EXPECT_EQ(why[7], "the line is cut off");
  EXPECT_EQ(result.skipped.back().line, 10);
}

TEST(MeasurementImport, RefusesABrokenLineInTheMiddleAndFilesWithoutASample) {
  const auto fault = [](const std::string& text) -> std::string {
    try {
      import(text);
    } catch (const base::InputError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(fault(std::string(kProvenance) + "{\"kind\": \n" + measured("gemm", kGemm)), HasSubstr("m.jsonl:2"));
  EXPECT_THAT(fault(kProvenance), HasSubstr("found no measured case that gives a sample"));
  // Without provenance nobody says which GPU it was.
  EXPECT_THAT(fault(measured("gemm", kGemm)), HasSubstr("found no measured case"));
}

}  // namespace
}  // namespace moeplan::calibrate
