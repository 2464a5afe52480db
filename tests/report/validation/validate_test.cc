#include "report/validation/validate.h"

#include <cmath>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/diagnostics.h"
#include "base/files.h"
#include "report/validation/kernel_table.h"
#include "report/validation/statistics.h"
#include "sim/cost/kernel_rows.h"
#include "tests/support/corpus.h"

namespace moeplan::report {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

void write(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

TEST(Validate, FindsEveryMaxMinCaseOfOursExact) {
  const ValidationReport report = validate({{}, {"max_min"}, 1});
  ASSERT_EQ(report.size(), 1U);
  EXPECT_GE(report[0].cases.size(), 5U);
  for (const Case& one : report[0].cases) EXPECT_LT(std::abs(one.error()), 1e-6) << one.name;
}

// Star of three ranks at 10 B/s, no latency: 0 -> 2 and 1 -> 2 with 10 B each share dn2, so both end at 2 s.
// The table says 1.6 s for the second: error (2 - 1.6)/1.6 = 25 %, and that flow is the case.
TEST(Validate, JudgesAMaxMinCaseByItsWorstFlow) {
  const test::TemporaryFolder folder;
  write(folder.path() / "max_min" / "a.links.csv",
        "link,bytes_per_s,latency_s\nup0,10,0\nup1,10,0\ndn2,10,0\n");
  write(folder.path() / "max_min" / "a.flows.csv",
        "src,dst,bytes,start_s,route,finish_s\n0,2,10,0,up0|dn2,2\n1,2,10,0,up1|dn2,1.6\n");
  const ValidationReport report = validate({{folder.path().string()}, {"max_min"}, 1});
  ASSERT_EQ(report[0].cases.size(), 1U);
  EXPECT_EQ(report[0].cases[0].name, "max_min/a.flows.csv#worst-flow");
  EXPECT_DOUBLE_EQ(report[0].cases[0].measured, 1.6);
  EXPECT_NEAR(report[0].cases[0].error(), 0.25, 1e-9);
}

TEST(Validate, NamesAFlowsFileWithoutItsLinks) {
  const test::TemporaryFolder folder;
  write(folder.path() / "max_min" / "a.flows.csv", "src,dst,bytes,start_s,route,finish_s\n");
  const ValidationReport report = validate({{folder.path().string()}, {"max_min"}, 1});
  ASSERT_EQ(report[0].skipped.size(), 1U);
  EXPECT_THAT(report[0].skipped[0].why, HasSubstr("links.csv is missing"));
  EXPECT_DOUBLE_EQ(*compute_statistics(report[0].cases, report[0].skipped).judged, 0.0);
}

TEST(Validate, ReportsEveryGroupAndLeavesAbsentOnesEmpty) {
  const test::TemporaryFolder folder;
  const ValidationReport report = validate({{folder.path().string()}, {}, 1});
  ASSERT_EQ(report.size(), group_names().size());
  for (const GroupReport& group : report) {
    EXPECT_TRUE(group.cases.empty()) << group.group;
    EXPECT_TRUE(group.skipped.empty()) << group.group;
  }
}

TEST(Validate, RefusesAFolderThatDoesNotExist) {
  EXPECT_THROW(validate({{"no/such/folder"}, {}, 1}), base::InputError);
}

// Two pairs of a model whose real routing takes 1.2 times as long as balanced routing. The first says how uneven its
// loads are; the second differs in the number of micro-batches only, so that its price comes out nearly the same. A
// pair whose rows differ in more than routing is none.
TEST(Validate, PredictsThePriceOfRoutingFromTheFirstPairOfAModel) {
  const test::TemporaryFolder folder;
  std::filesystem::create_directories(folder.path() / "models");
  std::filesystem::copy_file(test::source_root() / "configs/models/tiny-moe.json", folder.path() / "models/m.json");
  write(folder.path() / "e2e" / "clusters.csv",
        "cluster_id,gpu,gpus_per_node,nvlink_domain_gpus,nvlink_GBps_per_direction_per_gpu,nics_per_node,nic_Gbps,"
        "fabric,cpu_gpu_link,gpu_memory_GiB,power_W,known_from,assumed\n"
        "dgx-h100,H100,8,8,450,8,400,rail-optimized,PCIe5x16,80,700,standard,\n");
  const auto row = [](int id, int gbs, const std::string& routing, double seconds, int ep = 8) {
    return fmt::format("{},src,r1,m,1,H100,8,dgx-h100,4096,{},1,1,1,1,1,{},1,8,0,bf16,none,hybridep,0,full,0,,0,{},{},,,,,"
                       "partial,cluster,no log\n",
                       id, gbs, ep, routing, seconds);
  };
  write(folder.path() / "e2e" / "steps.csv",
        "id,source,release,model_id,is_moe,gpu,num_gpus,cluster_id,seq_len,gbs,mbs,tp,pp,vp,cp,ep,etp,dp,sp,precision,"
        "recompute,dispatcher,a2a_overlap,cuda_graph,fsdp,pp_layout,cpu_offload_layers,routing,step_time_s,"
        "tokens_per_s_per_gpu,peak_alloc_bytes,tflops_per_gpu,flops_formula,usable,assumed,why_not\n" +
            row(1, 64, "forced_balance", 1.0) + row(2, 64, "real", 1.2) + row(3, 128, "real", 2.4) +
            row(4, 128, "forced_balance", 2.0) + row(5, 64, "real", 1.5, 4));
  const GroupReport report = validate({{folder.path().string()}, {"imbalance"}, 1})[0];
  ASSERT_EQ(report.skipped.size(), 1U);
  EXPECT_EQ(report.skipped[0].name, "e2e/steps.csv#2");
  EXPECT_THAT(report.skipped[0].why, HasSubstr("1.200 times the balanced step) are fitted, lognormal:"));
  EXPECT_FALSE(report.skipped[0].usable);
  ASSERT_EQ(report.cases.size(), 1U);
  EXPECT_EQ(report.cases[0].name, "e2e/steps.csv#3");
  EXPECT_DOUBLE_EQ(report.cases[0].measured, 1.2);
  EXPECT_NEAR(report.cases[0].predicted, 1.2, 0.03);
  EXPECT_DOUBLE_EQ(*report.cases[0].naive, 1.2);
}

// 1,024 tokens of 7,168 bf16 values to 2 of 8 experts on 8 GPUs; a broken row and one of another GPU beside
// it.
TEST(Validate, JudgesTheRowsOfExpertParallelTablesAndNamesTheOthers) {
  const test::TemporaryFolder folder;
  write(folder.path() / "ep" / "deepep_normal.csv",
        "system,sglang_version,node_num,hidden_size,num_token,num_topk,num_experts,dispatch_sms,"
        "dispatch_transmit_us,combine_sms,combine_transmit_us\n"
        "h100_sxm,1,1,4096,1024,2,8,20,60,20,100\n"
        "h100_sxm,1,8,4096,1024,2,8,20,600,20,nan\n"
        "h9000,1,1,4096,1024,2,8,20,60,20,100\n");
  const ValidationReport report = validate({{folder.path().string()}, {"ep"}, 1});
  ASSERT_EQ(report[0].cases.size(), 2U);
  EXPECT_EQ(report[0].cases[0].name, "ep/deepep_normal.csv#h100_sxm/1/n1-t1024-h4096-k2-e8-sm20/dispatch");
  EXPECT_GT(report[0].cases[0].predicted, 30e-6);
  EXPECT_LT(report[0].cases[0].predicted, 120e-6);
  ASSERT_EQ(report[0].skipped.size(), 4U);
  EXPECT_THAT(report[0].skipped[0].why, HasSubstr("anomalous: reported, not judged; measured 600.0 us"));
  EXPECT_THAT(report[0].skipped[1].why, HasSubstr("no profile of h9000"));
  EXPECT_THAT(report[0].skipped[3].why, HasSubstr("combine_transmit_us is \"nan\""));
}

const std::string kGemmHeader =
    "system,device,framework,version,kernel_source,dtype,m,n,k,latency_us,tflops,file\n";

// Baseline: the median FLOP/s of the other two rows. 4096^3 at 200 us and 2048^3 at 50 us are 687.2 and 343.6
// TFLOP/s, so 1024^3 is given 2 * 1024^3 / ((687.2 + 343.6)/2 * 1e12) = 4.167 us.
TEST(Validate, JudgesEveryGemmOfATableThatWasNotFitted) {
  const test::TemporaryFolder folder;
  write(folder.path() / "kernels" / "gemm.csv",
        kGemmHeader +
            "h100_sxm,H100,x,1,torch_flow,bfloat16,4096,4096,4096,200,,f\n"
            "h100_sxm,H100,x,1,torch_flow,bfloat16,2048,2048,2048,50,,f\n"
            "h100_sxm,H100,x,1,torch_flow,bfloat16,1024,1024,1024,10,,f\n"
            "mi355x,MI355X,x,1,torch_flow,bfloat16,1024,1024,1024,10,,f\n"
            "a100_sxm,A100,x,1,torch_flow,nvfp4,1024,1024,1024,10,,f\n");
  const ValidationReport report = validate({{folder.path().string()}, {"gemm"}, 1});
  ASSERT_EQ(report[0].cases.size(), 3U);
  const Case& small = report[0].cases[2];
  EXPECT_EQ(small.name, "kernels/gemm.csv#h100_sxm/bfloat16/1024x1024x1024");
  const double rate = (2.0 * std::pow(4096, 3) / 200e-6 + 2.0 * std::pow(2048, 3) / 50e-6) / 2.0;
  EXPECT_NEAR(*small.naive, 2.0 * std::pow(1024, 3) / rate, 1e-12);
  ASSERT_EQ(report[0].skipped.size(), 2U);
  EXPECT_EQ(report[0].skipped[0].why, "no profile of mi355x is shipped");
  EXPECT_EQ(report[0].skipped[1].why, "the operation of this row cannot be expressed");  // A100 has no fp4
}

TEST(Validate, DoesNotJudgeGroupedRowsOfSeveralExpertParallelRanks) {
  const test::TemporaryFolder folder;
  const std::string header =
      "system,device,framework,version,kernel_source,dtype,num_tokens,hidden,inter,topk,num_experts,moe_tp,"
      "moe_ep,distribution,"
      "latency_us,file\n";
  write(folder.path() / "kernels" / "grouped_gemm.csv",
        header + "h100_sxm,H100,x,1,s,bfloat16,4096,4096,1536,8,128,1,1,balanced,2000,f\n" +
            "h100_sxm,H100,x,1,s,bfloat16,4096,4096,1536,8,128,1,8,balanced,300,f\n");
  const ValidationReport report = validate({{folder.path().string()}, {"grouped_gemm"}, 1});
  EXPECT_EQ(report[0].cases.size() + report[0].skipped.size(), 1U);
}

const std::string kDeepEpHeader =
    "system,framework,version,moe_dtype,num_tokens,hidden_size,inter_size,topk,num_experts,moe_tp_size,"
    "moe_ep_size,distribution,latency_ms\n";

TEST(Validate, JudgesOneRowOfAConfigurationAndThatOfTheNewestRelease) {
  const test::TemporaryFolder folder;
  write(folder.path() / "kernels" / "grouped_gemm_deepep.csv",
        kDeepEpHeader + "h100_sxm,SGLang,0.5.10,fp8_block,4096,7168,2048,8,256,1,16,uniform,0.6\n" +
            "h100_sxm,SGLang,0.5.6.post2,fp8_block,4096,7168,2048,8,256,1,16,uniform,0.9\n" +
            "h100_sxm,SGLang,0.5.6.post2,fp8_block,8192,7168,2048,8,256,1,16,uniform,0.95\n");
  const ValidationReport report = validate({{folder.path().string()}, {"grouped_gemm"}, 1});
  ASSERT_EQ(report[0].cases.size(), 2U);
  EXPECT_DOUBLE_EQ(report[0].cases[0].measured, 0.6e-3);
  ASSERT_EQ(report[0].skipped.size(), 1U);
  EXPECT_EQ(report[0].skipped[0].why, "SGLang 0.5.6.post2 timed it; a row of SGLang 0.5.10 stands for it");
  EXPECT_DOUBLE_EQ(*compute_statistics(report[0].cases, report[0].skipped).judged, 1.0);
}

TEST(Validate, SkipsARowOfAKernelTableThatHoldsNoNumberAndNamesItsLine) {
  const test::TemporaryFolder folder;
  write(folder.path() / "kernels" / "grouped_gemm_deepep.csv",
        kDeepEpHeader + "h100_sxm,SGLang,0.5.10,fp8_block,4096,7168,2048,8,256,1,16,uniform,nan\n" +
            "h100_sxm,SGLang,0.5.10,fp8_block,-1,7168,2048,8,256,1,16,uniform,0.9\n" +
            "h100_sxm,SGLang,0.5.10,fp8_block,8192,7168,2048,8,256,1,16,uniform,0.95\n");
  const ValidationReport report = validate({{folder.path().string()}, {"grouped_gemm"}, 1});
  EXPECT_EQ(report[0].cases.size(), 1U);
  ASSERT_EQ(report[0].skipped.size(), 2U);
  EXPECT_EQ(report[0].skipped[0].name, "kernels/grouped_gemm_deepep.csv#line-2");
  EXPECT_EQ(report[0].skipped[0].why, "line 2: latency_ms is \"nan\", expected a number above 0");
  EXPECT_EQ(report[0].skipped[1].why, "line 3: num_tokens is \"-1\", expected a whole number above 0");
}

TEST(Validate, DoesNotDependOnTheNumberOfThreads) {
  const ValidationReport one = validate({{}, {"gemm", "max_min"}, 1});
  const ValidationReport many = validate({{}, {"gemm", "max_min"}, 4});
  for (std::size_t g = 0; g < one.size(); ++g) {
    ASSERT_EQ(one[g].cases.size(), many[g].cases.size());
    for (std::size_t i = 0; i < one[g].cases.size(); ++i)
      EXPECT_EQ(one[g].cases[i].predicted, many[g].cases[i].predicted);
  }
}

// The digests in configs/validation/fitted.yaml are those of the tables that the profiles were fitted on:
// with another table in that place validate would judge shapes that the fit has seen.
TEST(FittedTables, AreKnownByDigest) {
  const auto corpus = test::corpus();
  if (!corpus) GTEST_SKIP() << "no corpus: set MOEPLAN_CORPUS";
  for (const char* file : {"kernels/gemm.csv", "kernels/attention_forward.csv", "kernels/grouped_gemm.csv",
                           "kernels/grouped_gemm_deepep.csv"}) {
    const std::string path = (*corpus / file).string();
    base::Digest digest;
    digest.add(base::read_text_file(path));
    EXPECT_TRUE(is_fitted_file(file, path)) << file << " has the digest " << digest.hex();
  }
}

}  // namespace
}  // namespace moeplan::report
