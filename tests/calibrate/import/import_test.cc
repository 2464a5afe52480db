#include "calibrate/import/import.h"

#include <gtest/gtest.h>

#include "base/diagnostics.h"

namespace moeplan::calibrate {
namespace {

constexpr const char* kGemm =
    "system,framework,version,kernel_source,dtype,m,n,k,latency_us\n"
    "h100_sxm,TRTLLM,1.0,torch_flow,bfloat16,512,1024,2048,10.5\n"
    "h100_sxm,TRTLLM,1.0,torch_flow,bfloat16,512,1024,4096,nan\n"
    "h100_sxm,TRTLLM,1.0,torch_flow,bfloat16,512,1024,2048,11.5\n"
    "h100_sxm,TRTLLM,1.0,torch_flow,int7,512,1024,2048,11.5\n"
    "h100_sxm,TRTLLM,1.0,torch_flow,fp8,512,1024,-1,11.5\n";

std::string fault_of(const std::string& text) {
  ImportResult result;
  try {
    import_text(text, "t.csv", {}, result);
  } catch (const base::InputError& error) {
    return error.what();
  }
  return "";
}

TEST(Import, AGemmTableGivesSamplesAndCountsTheRowsThatGiveNone) {
  ImportResult result;
  import_text(kGemm, "t.csv", {}, result);
  ASSERT_EQ(result.samples.size(), 1u);
  EXPECT_EQ(result.kinds.at("t.csv"), "gemm");
  const Sample& sample = result.samples.front();
  EXPECT_EQ(sample.gpu, "h100-sxm");
  EXPECT_EQ(sample.software, "TRTLLM 1.0, torch_flow");
  EXPECT_DOUBLE_EQ(sample.time.us(), 10.5);
  EXPECT_EQ(sample.line, 2);
  ASSERT_EQ(result.skipped.size(), 4u);
  EXPECT_EQ(result.skipped[0].why, "latency_us is \"nan\", expected a number above 0");
  EXPECT_EQ(result.skipped[1].why, "the same shape stands above");
  EXPECT_EQ(result.skipped[2].why, "dtype is \"int7\", which is no number format");
  EXPECT_EQ(result.skipped[3].why, "k is \"-1\", expected a whole number above 0");
  EXPECT_EQ(result.skipped[3].line, 6);
}

TEST(Import, RefusesTwoUnitsMissingColumnsCutRowsAndUnknownKinds) {
  EXPECT_EQ(fault_of("system,dtype,m,n,k,latency_us,latency_ms\nh,bfloat16,1,1,1,1,1\n"),
            "t.csv:1:1: error: found the columns latency_us and latency_ms, expected times in one unit\n"
            "    hint: leave one of them out");
  EXPECT_NE(fault_of("system,dtype,m,n,latency_us\nh,bfloat16,1,1,1\n").find("\"k\""), std::string::npos);
  EXPECT_NE(fault_of("system,dtype,m,n,k,latency_us\nh,bfloat16,1,1\n").find("t.csv:2"), std::string::npos);
  EXPECT_NE(fault_of("a,b\n1,2\n").find("found a table of no known kind, its columns: \"a\", \"b\""),
            std::string::npos);
  EXPECT_NE(fault_of("hello\n").find("found text of no known kind: \"hello\""), std::string::npos);
  EXPECT_NE(fault_of("dtype,m,n,k,latency_us\nbfloat16,1,1,1,1\n").find("name it with --gpu"),
            std::string::npos);
}

TEST(Samples, WhatIsWrittenReadsBack) {
  ImportResult result;
  import_text(kGemm, "t.csv", {}, result);
  const std::string text = write_samples(result.samples);
  EXPECT_EQ(write_samples(parse_samples(text, "s.jsonl")), text);
}

TEST(Samples, FaultsHaveLineAndColumn) {
  try {
    parse_samples("\n{\"schema\": \"moeplan.sample/1\", \"kind\": \"gem\"}\n", "s.jsonl");
    FAIL();
  } catch (const base::InputError& error) {
    EXPECT_NE(std::string(error.what()).find("s.jsonl:2:"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("did you mean \"gemm\"?"), std::string::npos);
  }
}

}  // namespace
}  // namespace moeplan::calibrate
