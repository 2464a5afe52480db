#include "sim/collective/expert_parallel_rows.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/collective/expert_parallel_band.h"
#include "sim/cost/profile_data.h"
#include "tests/sim/cost/tiny_profile.h"
#include "tests/support/input_error.h"

namespace moeplan::sim {
namespace {

using ::testing::HasSubstr;

const std::string kHeader =
    "system,sglang_version,node_num,hidden_size,num_token,num_topk,num_experts,dispatch_sms,dispatch_"
    "transmit_us,"
    "combine_sms,combine_transmit_us\n";

EpTable normal(const std::string& rows) {
  return read_deepep_normal(base::parse_csv(kHeader + rows, "n.csv"));
}

TEST(DeepEpTable, ARowGivesADispatchAndACombine) {
  const EpTable table = normal("h100_sxm,0.5,2,7168,4096,8,256,24,749,24,1777\n");
  ASSERT_EQ(table.rows.size(), 2U);
  EXPECT_EQ(table.rows[0].name, "h100_sxm/0.5/n2-t4096-h7168-k8-e256-sm24/dispatch");
  EXPECT_EQ(table.rows[0].stem, "h100-sxm");
  EXPECT_EQ(table.rows[0].ranks, 16);
  EXPECT_NEAR(table.rows[0].measured.us(), 749, 1e-9);
  // 7,168 bytes of fp8, 56 scales of 4 bytes, 8 bytes of source, 8 experts and weights of 4 bytes.
  EXPECT_DOUBLE_EQ(table.rows[0].token_bytes, 7168 + 224 + 8 + 64);
  EXPECT_DOUBLE_EQ(table.rows[1].token_bytes, 2 * 7168 + 8 + 32);
}

TEST(DeepEpTable, GraceBlackwellTraysHoldFourGpus) {
  EXPECT_EQ(normal("gb200,0.5,1,7168,64,8,256,24,749,24,1777\n").rows[0].ranks, 4);
}

TEST(DeepEpTable, EightNodesAreAnomalousAndLimitedToFour) {
  const EpTable table = normal("h100_sxm,0.5,8,7168,64,8,256,24,749,24,1777\n");
  EXPECT_TRUE(table.rows[0].anomalous);
  EXPECT_EQ(table.rows[0].limit.chosen, 4);
  EXPECT_FALSE(seen_by_fit(table.rows[0]));
}

TEST(DeepEpTable, RowsThatCannotBeReadAreNamedAndSkipped) {
  const EpTable table = normal(
      "h100_sxm,0.5,1,7168,64,8,256,24,nan,24,80\n"
      "h100_sxm,0.5,1,7168,128,8,256,24,-3,24,inf\n"
      "h100_sxm,0.5,1,7168.5,256,8,256,24,70,24,80\n"
      "h100_sxm,0.5,1,7168,512,9,8,24,70,24,80\n");
  ASSERT_EQ(table.rows.size(), 1U);  // the combine of the first row
  EXPECT_EQ(table.rows[0].operation, EpOperation::kCombine);
  ASSERT_EQ(table.skipped.size(), 7U);
  EXPECT_EQ(table.skipped[0].why, "dispatch_transmit_us is \"nan\", expected a number above zero");
  EXPECT_EQ(table.skipped[0].line, 2);
  EXPECT_THAT(table.skipped[3].why, HasSubstr("hidden_size is \"7168.5\", expected a whole number"));
  EXPECT_EQ(table.skipped[5].why, "top-9 of 8 experts");
  EXPECT_FALSE(table.skipped[0].usable);
}

TEST(DeepEpTable, AKeyThatStandsTwiceCountsOnce) {
  const std::string row = "h100_sxm,0.5,1,7168,64,8,256,24,70,24,80\n";
  const EpTable table = normal(row + row);
  EXPECT_EQ(table.rows.size(), 2U);
  ASSERT_EQ(table.skipped.size(), 2U);
  EXPECT_THAT(table.skipped[0].why, HasSubstr("stands twice"));
}

TEST(DeepEpTable, AMissingColumnIsAnError) {
  const auto read = [] { read_deepep_normal(base::parse_csv("system,node_num\nh100_sxm,1\n", "n.csv")); };
  EXPECT_THAT(test::input_error_of(read), HasSubstr("column \"num_token\" is missing"));
}

const std::string kLibraries =
    "library,gpu,nic,nodes,ep,mode,op,dtype,tokens_per_rank,hidden,topk,experts,num_sms,bw_GBps,bw_kind,"
    "latency_us,"
    "measurement,notes\n";

EpTable libraries(const std::string& rows) {
  return read_ep_libraries(base::parse_csv(kLibraries + rows, "l.csv"));
}

// 8 of 64 experts on 8 ranks of one NVLink domain: 4,096 tokens * 5.43 ranks * 14,336 B at 750 GB/s.
TEST(LibraryTable, AnAlgorithmBandwidthOfHybridEpIsATime) {
  const EpTable table = libraries(
      "HybridEP,GB200,MNNVL NVL72,2,8,normal,dispatch,bf16,4096,7168,8,64,16,750,algorithm bandwidth,,kernel "
      "only,\n");
  ASSERT_EQ(table.rows.size(), 1U);
  EXPECT_EQ(table.rows[0].nodes, 1);
  EXPECT_NEAR(table.rows[0].measured.us(), 4096 * expected_distinct(64, 8, 8) * 14336 / 750e3, 1e-6);
}

TEST(LibraryTable, OtherRowsAreSkippedWithTheirReason) {
  const EpTable table = libraries(
      "DeepEP V1,B200,CX7,2,16,normal,dispatch,fp8,4096,7168,8,256,24,90,bottleneck RDMA,,,\n"
      "pplx fabric-lib,H100,CX7,2,16,decode,dispatch,,128,,,,,,,110,,\n"
      "UCCL-EP,H200 (p5en),EFA,2,16,normal,dispatch,fp8,4096,7168,8,256,,,,1196,,\n");
  EXPECT_TRUE(table.rows.empty());
  ASSERT_EQ(table.skipped.size(), 3U);
  EXPECT_EQ(table.skipped[0].why, "states no latency");
  EXPECT_FALSE(table.skipped[1].usable);
  EXPECT_EQ(table.skipped[2].why, "library \"UCCL-EP\" (normal) has no model");
  EXPECT_TRUE(table.skipped[2].usable);
}

TEST(NvlinkTable, OnlyKnownOperationsFormatsAndBalancedRoutingAreRead) {
  const std::string header =
      "system,version,op_name,kernel_source,moe_dtype,num_tokens,hidden_size,topk,num_experts,moe_ep_size,"
      "distribution,latency_ms\n";
  const EpTable table = read_nvlink_all_to_all(base::parse_csv(
      header + "gb200,1,alltoall_combine,NVLinkTwoSided,nvfp4,64,7168,8,256,8,balanced,0.05\n"
               "gb200,1,alltoall_sort,NVLinkTwoSided,nvfp4,64,7168,8,256,8,balanced,0.05\n"
               "gb200,1,alltoall_dispatch,NVLinkTwoSided,int4,64,7168,8,256,8,balanced,0.05\n"
               "gb200,1,alltoall_dispatch,NVLinkTwoSided,fp8,64,7168,8,256,8,power_law,0.05\n",
      "v.csv"));
  ASSERT_EQ(table.rows.size(), 1U);
  EXPECT_DOUBLE_EQ(table.rows[0].token_bytes, 2 * 7168);  // combine is bf16
  EXPECT_EQ(table.skipped.size(), 3U);
}

// Copies without de-duplication over the NIC: 4,096 * 8 * 7,464 B * 1/2 at 50 GB/s.
TEST(NaiveTime, IsEveryCopyOverTheNic) {
  const EpRow row = normal("h100_sxm,0.5,2,7168,4096,8,256,24,749,24,1777\n").rows[0];
  const LineRates rates{base::BytesPerSecond::from_gb_per_s(450), base::BytesPerSecond::from_gb_per_s(50)};
  EXPECT_NEAR(naive_time(row, rates).us(), 4096.0 * 8 * 7464 / 2 / 50e3, 1e-6);
}

TEST(EpPrediction, IsEmptyWithoutConstantsOfTheLibrary) {
  const Profile profile = parse_profile(test_data::tiny_profile(), "tiny.yaml");
  EXPECT_FALSE(predict(profile, normal("h100_sxm,0.5,2,7168,4096,8,256,24,749,24,1777\n").rows[0]));
}

// Four nodes: one doubling beyond two, so sqrt(2) of the logarithm's width; eight: sqrt(3).
TEST(EpBand, IsThatOfTheFitUpToTwoNodesAndWiderBeyond) {
  EpConstants constants;
  constants.low = 0.9;
  constants.high = 1.1;
  EXPECT_DOUBLE_EQ(band_over_nodes(constants, 2).high, 1.1);
  EXPECT_NEAR(std::log(band_over_nodes(constants, 4).high), std::sqrt(2.0) * std::log(1.1), 1e-12);
  EXPECT_NEAR(std::log(band_over_nodes(constants, 8).low), std::sqrt(3.0) * std::log(0.9), 1e-12);
}

}  // namespace
}  // namespace moeplan::sim
