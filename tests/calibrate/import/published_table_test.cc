#include <gtest/gtest.h>

#include "base/diagnostics.h"
#include "calibrate/import/import.h"

namespace moeplan::calibrate {
namespace {

constexpr const char* kTable =
    "source,gpu,op,dtype,groups,m_per_group,n,k,layout,tflops\n"
    "someone/suite@abc:x.json,B200,matmul,bf16,1,1000,2000,3000,NT,1.2\n"
    "someone/suite@abc:x.json,B200,group_matmul,bf16,4,100,200,300,bwd_grad_act,0.5\n"
    "someone/suite@abc:x.json,A100-PCIe,attention_fwd,bf16,,,,,b1 s1000 h8 kv2 qk192 v128,1\n"
    "someone/suite@abc:x.json,A100-PCIe,attention_bwd,bf16,,,,,b1 s1000 h8 kv2 qk192 v128,1\n"
    "someone/suite@abc:x.json,B200,gemm (best shape found),bf16,1,1,1,1,,1\n"
    "someone/suite@abc:x.json,B200,matmul,bf16,1,1000,2000,3000,XX,1\n"
    "someone/suite@abc:x.json,B200,matmul,bf16,1,1000,2000,3000,NN,nan\n"
    "someone/suite@abc:x.json,B200,attention_fwd,bf16,,,,,b1 s1000 kv2 qk192 v128,1\n"
    "someone/suite@abc:x.json,B200,matmul,bf16,1,1000,2000,3000,NT,1.3\n"
    "someone/suite@abc:x.json,B200,matmul,bf16,1,1000,2000,3000,NN,-4\n";

TEST(PublishedTable, RatesBecomeTimesOfAPass) {
  ImportResult result;
  import_text(kTable, "p.csv", {}, result);
  EXPECT_EQ(result.kinds.at("p.csv"), "published rates");
  ASSERT_EQ(result.samples.size(), 4u);
  const Sample& product = result.samples[0];
  EXPECT_EQ(product.gpu, "b200-sxm");
  EXPECT_EQ(product.software, "someone/suite");
  EXPECT_EQ(product.method, sim::TimingMethod::kSustained);
  EXPECT_EQ(std::get<GemmSample>(product.shape).shape.pass, sim::GemmPass::kWeightGradient);
  EXPECT_DOUBLE_EQ(product.time.s(), 2.0 * 1000 * 2000 * 3000 / 1.2e12);
  const auto& grouped = std::get<GroupedProductSample>(result.samples[1].shape);
  EXPECT_EQ(grouped.pass, sim::GemmPass::kDataGradient);
  EXPECT_EQ(grouped.groups, 4);
  EXPECT_DOUBLE_EQ(result.samples[1].time.s(), 2.0 * 4 * 100 * 200 * 300 / 0.5e12);
  // Two products of 1000 x 1000 x 8 scores over 192 and 128: 2 * 8 * 10^6 * 320 FLOP; backward 2.5 times.
  const auto& attention = std::get<AttentionSample>(result.samples[2].shape);
  EXPECT_EQ(result.samples[2].gpu, "a100-pcie");
  EXPECT_EQ(attention.head_dim, 192);
  EXPECT_EQ(attention.v_dim, 128);
  EXPECT_FALSE(attention.preparation);
  EXPECT_DOUBLE_EQ(result.samples[2].time.s(), 5.12e9 / 1e12);
  EXPECT_DOUBLE_EQ(result.samples[3].time.s(), 2.5 * 5.12e9 / 1e12);
}

TEST(PublishedTable, NotesSayWhatAWeightGradientDoesWithItsResult) {
  const auto result_of = [](const std::string& op, const std::string& layout, const std::string& notes) {
    ImportResult result;
    import_text(
        "source,gpu,op,dtype,groups,m_per_group,n,k,layout,tflops,notes\n"
        "someone/suite@abc:x.json,B200," +
            op + ",bf16,4,100,200,300," + layout + ",0.5,\"" + notes + "\"\n",
        "p.csv", {}, result);
    const auto* dense = std::get_if<GemmSample>(&result.samples.at(0).shape);
    return dense != nullptr ? dense->shape.result
                            : std::get<GroupedProductSample>(result.samples[0].shape).result;
  };
  EXPECT_EQ(result_of("matmul", "NT", "accumulate=True, out_dtype=fp32"), sim::WeightResult::kAddFp32);
  EXPECT_EQ(result_of("matmul", "NT", "accumulate=True, out_dtype=bf16"), sim::WeightResult::kAddBf16);
  EXPECT_EQ(result_of("matmul", "NT", "accumulate=False, out_dtype=bf16"), sim::WeightResult::kWriteBf16);
  EXPECT_EQ(result_of("group_matmul", "bwd_grad_w", "accumulate=True, main_grad_dtype=fp32"),
            sim::WeightResult::kAddFp32);
}

TEST(PublishedTable, RowsThatGiveNoSampleAreListedWithTheirLineAndWhy) {
  ImportResult result;
  import_text(kTable, "p.csv", {}, result);
  std::vector<std::string> why;
  for (const SkippedRow& row : result.skipped) why.push_back(std::to_string(row.line) + ": " + row.why);
  EXPECT_EQ(why,
            (std::vector<std::string>{
                "6: op is \"gemm (best shape found)\", which gives no sample",
                "7: layout is \"XX\", which names no pass", "8: tflops is \"nan\", expected a number above 0",
                "9: layout is \"b1 s1000 kv2 qk192 v128\", expected hNUMBER in it",
                "10: the same shape stands above", "11: tflops is \"-4\", expected a number above 0"}));
}

TEST(PublishedTable, WhatIsWrittenReadsBack) {
  ImportResult result;
  import_text(kTable, "p.csv", {}, result);
  const std::string text = write_samples(result.samples);
  EXPECT_EQ(write_samples(parse_samples(text, "s.jsonl")), text);
}

TEST(KernelTables, GroupedRowsThatCannotBeAreSkipped) {
  ImportResult result;
  import_text(
      "system,framework,version,dtype,num_tokens,hidden,inter,topk,num_experts,moe_tp,moe_ep,distribution,"
      "latency_us\n"
      "h100_sxm,E,1,bfloat16,1024,4096,1536,8,128,1,1,balanced,100\n"
      "h100_sxm,E,1,bfloat16,1024,4096,1536,8,128,1,3,balanced,100\n"
      "h100_sxm,E,1,bfloat16,1024,4096,1536,8,128,1,1,zipf,100\n"
      "h100_sxm,E,1,bfloat16,1024,4096,1536,8,4,1,1,balanced,100\n"
      "h100_sxm,E,1,bfloat16,1024,4096,1536,8,128,1,1,power_law_1.2,0\n",
      "g.csv", {}, result);
  ASSERT_EQ(result.samples.size(), 1u);
  EXPECT_EQ(std::get<GroupedGemmSample>(result.samples[0].shape).experts, 128);
  ASSERT_EQ(result.skipped.size(), 4u);
  EXPECT_EQ(result.skipped[0].why, "128 experts do not divide over 3 ranks");
  EXPECT_EQ(result.skipped[1].why, "distribution is \"zipf\", expected balanced, uniform or power_law_ALPHA");
  EXPECT_EQ(result.skipped[2].why, "topk is 8, more than the 4 experts");
  EXPECT_EQ(result.skipped[3].why, "latency_us is \"0\", expected a number above 0");
}

TEST(KernelTables, AttentionWithASlidingWindowIsSkippedAndSaysSo) {
  ImportResult result;
  import_text(
      "system,dtype,batch,seq,num_heads,num_kv_heads,head_dim,window,latency_us\n"
      "h100_sxm,bfloat16,1,1024,8,2,128,0,10\n"
      "h100_sxm,bfloat16,1,1024,8,2,128,128,10\n"
      "h100_sxm,bfloat16,1,1024,8,3,128,0,10\n"
      "h100_sxm,fp8,1,1024,8,2,128,0,10\n",
      "a.csv", {}, result);
  ASSERT_EQ(result.samples.size(), 1u);
  const auto& s = std::get<AttentionSample>(result.samples[0].shape);
  EXPECT_EQ(s.v_dim, 128);
  EXPECT_TRUE(s.preparation);
  ASSERT_EQ(result.skipped.size(), 3u);
  EXPECT_EQ(result.skipped[0].why, "window is \"128\"; sliding windows are not modelled");
  EXPECT_EQ(result.skipped[1].why, "8 heads do not divide over 3 KV heads");
}

TEST(KernelTables, AGroupedTableWithoutALoadIsRefusedByName) {
  ImportResult result;
  try {
    import_text(
        "system,num_tokens,hidden,inter,topk,num_experts,moe_tp,moe_ep,dtype,latency_us\n"
        "h,1,1,1,1,1,1,1,bfloat16,1\n",
        "g.csv", {}, result);
    FAIL();
  } catch (const base::InputError& error) {
    EXPECT_NE(std::string(error.what()).find("distribution"), std::string::npos);
  }
}

}  // namespace
}  // namespace moeplan::calibrate
