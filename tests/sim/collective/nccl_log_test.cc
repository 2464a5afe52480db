#include "sim/collective/nccl_log.h"

#include <gtest/gtest.h>

#include "base/diagnostics.h"

namespace moeplan::sim {
namespace {

constexpr std::string_view kHeader =
    "# nThread 1 nGpus 4 minBytes 1048576 maxBytes 4194304 step: 2(factor)\n"
    "#                                    out-of-place                 in-place\n"
    "#  size   count  type  redop  root   time  algbw  busbw #wrong   time  algbw  busbw #wrong\n"
    "#   (B) (elements)                   (us) (GB/s) (GB/s)          (us) (GB/s) (GB/s)\n";

std::string text_of(std::string_view rows) { return std::string(kHeader) + std::string(rows); }

std::string refusal(std::string_view text, const NcclLogFacts& facts) {
  try {
    parse_nccl_log(text, "log.txt", facts);
  } catch (const base::InputError& error) {
    return error.what();
  }
  return "";
}

// 4 ranks gather: busbw = 3/4 algbw; 1 MiB in 10 us = 104.86 GB/s.
TEST(NcclLog, ReadsSizesAndOutOfPlaceTimesOfATable) {
  const NcclLog log =
      parse_nccl_log(text_of("1048576 262144 float none -1 10.00 104.86 78.64 0 20.00 52.43 39.32 0\n"
                             "2097152 524288 float none -1 16.00 131.07 98.30 0 30.0 69.91 52.43 0\n"
                             "# Avg bus bandwidth : 80\n"),
                     "log.txt", {NcclTest::kAllGather, std::nullopt});
  ASSERT_EQ(log.rows.size(), 2u);
  EXPECT_EQ(log.rows[1].size.count(), 2097152);
  EXPECT_NEAR(log.rows[1].time.us(), 16.0, 1e-9);
  EXPECT_EQ(log.ranks, 4);
  EXPECT_TRUE(log.skipped.empty());
}

TEST(NcclLog, ReadsTablesWithoutReductionAndRootColumns) {
  const NcclLog log = parse_nccl_log(
      "# size count type time algbw busbw error time algbw busbw error\n# (B) (elements) (us) (GB/s) (GB/s) "
      "(us)\n"
      "1048576 262144 float 10.00 104.86 78.64 N/A 20.00 52.43 39.32 N/A\n",
      "log.txt", {NcclTest::kAllGather, 4});
  ASSERT_EQ(log.rows.size(), 1u);
  EXPECT_NEAR(log.rows[0].time.us(), 10.0, 1e-9);
}

// An excerpt of sizes and bus bandwidths: t = S * 2 (n-1)/n / busbw = 1e9 * 1.75 / 350e9 = 5 ms.
TEST(NcclLog, TakesTheTimeOfAnExcerptFromItsBusBandwidth) {
  const NcclLog log =
      parse_nccl_log("# size busbw_oop(GB/s)\n1000000000 350.0\n", "log.txt", {NcclTest::kAllReduce, 8});
  ASSERT_EQ(log.rows.size(), 1u);
  EXPECT_NEAR(log.rows[0].time.us(), 5000.0, 1e-6);
}

TEST(NcclLog, ReadsTheBannerAndKnowsTheTest) {
  const NcclLog log = parse_nccl_log("# Collective test starting: all_reduce_perf\n" +
                                         text_of("1048576 1 float sum -1 10.00 104.86 157.29 0 9 1 1 0\n"),
                                     "log.txt");
  EXPECT_EQ(log.test, NcclTest::kAllReduce);
  EXPECT_EQ(log.ranks, 4);
}

TEST(NcclLog, SkipsAndListsRowsThatCannotBeUsed) {
  const NcclLog log =
      parse_nccl_log(text_of("0 0 float none -1 1.00 0.00 0.00 0 1.00 0.00 0.00 0\n"
                             "1048576 262144 float none -1 10.00 104.86 78.64 0 20.00 52.43 39.32 0\n"
                             "1048576 262144 float none -1 12.00 87.38 65.54 0 20.00 52.43 39.32 0\n"
                             "2097152 524288 float none -1 nan nan nan 0 30.0 69.91 52.43 0\n"
                             "4194304 524288 float none -1 20.00 99.99 75.00 0 30.0 69.91 52.43 0\n"
                             "8388608 2097152 float none -1 40.00 209.72 157.29 0 41.0 204.6 153.45 0\n"
                             "32M 524288 float none -1 20.00 99.99 75.00 0 30.0 69.91 52.43 0\n"
                             "16777216 419430 float no\n"),
                     "log.txt", {NcclTest::kAllGather, 4});
  EXPECT_EQ(log.rows.size(), 2u);
  ASSERT_EQ(log.skipped.size(), 6u);
  EXPECT_EQ(log.skipped[0].why, "a size of zero bytes");
  EXPECT_EQ(log.skipped[1].why, "size 1048576 stands twice, the first is kept");
  EXPECT_EQ(log.skipped[2].why, "the time is not a number");
  EXPECT_EQ(log.skipped[3].why, "the time makes 209.72 GB/s, the row says 99.99");
  EXPECT_EQ(log.skipped[4].why, "found the size \"32M\", expected a whole number of bytes");
  EXPECT_EQ(log.skipped[5].why, "found 4 columns, expected 13: cut off");
}

TEST(NcclLog, RefusesALogOfAnotherCollectiveByItsBandwidthRatio) {
  const std::string reduce = text_of("1048576 1 float none -1 10.00 104.86 157.29 0 9 1 1 0\n");
  EXPECT_NE(refusal(reduce, {NcclTest::kAllGather, 4})
                .find("found busbw/algbw = 1.500, expected 0.750 of all_gather over 4 ranks"),
            std::string::npos);
  EXPECT_NE(refusal(reduce, {NcclTest::kAllGather, std::nullopt}).find("which all_gather never has"),
            std::string::npos);
}

TEST(NcclLog, RefusesALogOfAnotherCollectiveByItsBannerOrReductionColumn) {
  const std::string rows = text_of("1048576 1 float sum -1 10.00 104.86 78.64 0 9 1 1 0\n");
  EXPECT_NE(refusal("# Collective test starting: reduce_scatter_perf\n" + rows, {NcclTest::kAllGather, 4})
                .find("found a log of reduce_scatter, expected one of all_gather"),
            std::string::npos);
  EXPECT_NE(refusal(rows, {NcclTest::kAllGather, 4}).find("reduction in the redop column"),
            std::string::npos);
}

TEST(NcclLog, RefusesLogsWithoutColumnsUnitsOrRows) {
  const NcclLogFacts facts{NcclTest::kAllGather, 4};
  EXPECT_NE(refusal("hello\n", facts).find("found no header"), std::string::npos);
  EXPECT_NE(refusal("# size count type\n", facts).find("neither a column \"time\" nor \"busbw\""),
            std::string::npos);
  EXPECT_NE(refusal(kHeader, facts).find("found no usable row"), std::string::npos);
  EXPECT_NE(
      refusal("# size time algbw busbw\n# (B) (us) (GB/s) (GB/s) (ms)\n1 1 1 1\n", facts).find("two units"),
      std::string::npos);
  EXPECT_NE(refusal("# size time algbw busbw\n# (MB) (us) (GB/s) (GB/s)\n1 1 1 1\n", facts)
                .find("found the unit (MB)"),
            std::string::npos);
  // Milliseconds under a header that says microseconds.
  EXPECT_NE(refusal("# size time algbw busbw\n# (B) (us) (GB/s) (GB/s)\n104857600 1.0 104.86 "
                    "78.64\n209715200 2.0 104.86 78.64\n",
                    facts)
                .find("contradict the bandwidths"),
            std::string::npos);
}

TEST(NcclLog, ReadsTheJsonOfNcclTestsInEitherTimeUnit) {
  for (const std::string time : {"10.0", "0.00001"}) {
    const NcclLog log = parse_nccl_log(
        "{\"args\": [\"./build/all_gather_perf\", \"-b\", \"1M\"], \"results\": [{\"size\": 1048576, "
        "\"count\": 1, "
        "\"type\": \"float\", \"redop\": \"none\", \"out_of_place\": {\"time\": " +
            time + ", \"alg_bw\": 104.86, \"bus_bw\": 78.64}}, {\"size\": 2097152}]}",
        "log.json");
    EXPECT_EQ(log.test, NcclTest::kAllGather);
    ASSERT_EQ(log.rows.size(), 1u);
    EXPECT_NEAR(log.rows[0].time.us(), 10.0, 1e-9);
    EXPECT_EQ(log.skipped.size(), 1u);
  }
}

TEST(NcclLog, ReadsTheJsonListOfRcclTests) {
  const NcclLog log = parse_nccl_log(
      R"([{"name": "all_reduce_perf", "size": 1048576, "inPlace": 0, "time": 10.0, "algBw": 104.86, "busBw": 157.29},
          {"name": "all_reduce_perf", "size": 1048576, "inPlace": 1, "time": 11.0, "algBw": 95.3, "busBw": 142.9}])",
      "log.json");
  EXPECT_EQ(log.test, NcclTest::kAllReduce);
  EXPECT_EQ(log.rows.size(), 1u);
}

}  // namespace
}  // namespace moeplan::sim
