// Logs and tables of communication: what becomes a sample, and what is refused in which words.
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/csv.h"
#include "base/diagnostics.h"
#include "base/random.h"
#include "calibrate/import/import.h"
#include "calibrate/import/log_banner.h"
#include "tests/support/corpus.h"

namespace moeplan::calibrate {
namespace {

using ::testing::HasSubstr;

// 8 ranks on two nodes: all-gather of S = 64 MiB in 4,000 us is 16.78 GB/s, of which 7/8 are bus bandwidth.
constexpr const char* kRanks =
    "# nccl-tests version 2.17.8 nccl-headers=22902 nccl-library=22902\n"
    "# Collective test starting: all_gather_perf\n"
    "# Using devices\n"
    "#  Rank  0 Group  0 Pid  1 on   node-a device  0 [0000:04:00] NVIDIA H100 80GB HBM3\n"
    "#  Rank  1 Group  0 Pid  2 on   node-a device  1 [0000:05:00] NVIDIA H100 80GB HBM3\n"
    "#  Rank  2 Group  0 Pid  3 on   node-b device  0 [0000:04:00] NVIDIA H100 80GB HBM3\n"
    "#  Rank  3 Group  0 Pid  4 on   node-b device  1 [0000:05:00] NVIDIA H100 80GB HBM3\n";
constexpr const char* kTable =
    "#       size         count      type   redop    root     time   algbw   busbw #wrong\n"
    "#        (B)    (elements)                               (us)  (GB/s)  (GB/s)\n"
    "    67108864       8388608    double    none      -1  4000.00   16.78   12.58       0\n"
    "   134217728      16777216    double    none      -1  8000.00   16.78   12.58       0\n";

GpuNames names() {
  GpuNames gpus;
  gpus.add("h100-sxm", "NVIDIA H100 80GB HBM3");
  gpus.add("a100-sxm", "NVIDIA A100-SXM4-80GB");
  gpus.add("gb200", "NVIDIA GB200");
  return gpus;
}

ImportFacts facts() {
  ImportFacts facts;
  facts.gpus = names();
  return facts;
}

ImportResult import(const std::string& text, const ImportFacts& known) {
  ImportResult result;
  import_text(text, "all_gather.log", known, result);
  return result;
}

std::string fault_of(const std::string& text, const ImportFacts& known) {
  try {
    import(text, known);
  } catch (const base::InputError& error) {
    return error.what();
  }
  return "";
}

TEST(CollectiveImport, ALogsOwnListOfRanksTellsGpuNodesAndVersion) {
  const ImportResult result = import(std::string(kRanks) + kTable, facts());
  ASSERT_EQ(result.samples.size(), 2U);
  const Sample& sample = result.samples.front();
  EXPECT_EQ(sample.gpu, "h100-sxm");
  EXPECT_EQ(sample.software, "NCCL 2.29.2");
  EXPECT_EQ(sample.line, 10);
  EXPECT_DOUBLE_EQ(sample.time.us(), 4000.0);
  const auto& shape = std::get<CollectiveShape>(sample.shape);
  EXPECT_EQ(shape.test, sim::NcclTest::kAllGather);
  EXPECT_EQ(shape.group.nodes, 2);
  EXPECT_EQ(shape.group.local, 2);
  EXPECT_FALSE(shape.nic);
  EXPECT_EQ(result.kinds.at("all_gather.log"), "log of all_gather, 2 x 2 GPUs");
}

TEST(CollectiveImport, FlagsTellWhatALogDoesNot) {
  ImportFacts known = facts();
  known.gpu = "H100";
  known.log.test = sim::NcclTest::kAllGather;
  known.log.nodes = 2;  // GPUs of a node follow from busbw / algbw = 3/4: four ranks
  known.log.nic = base::BytesPerSecond::from_gb_per_s(50);
  const ImportResult result = import(kTable, known);
  ASSERT_EQ(result.samples.size(), 2U);
  const auto& shape = std::get<CollectiveShape>(result.samples.front().shape);
  EXPECT_EQ(result.samples.front().gpu, "h100-sxm");
  EXPECT_EQ(shape.group.local, 2);
  EXPECT_DOUBLE_EQ(shape.nic->gb_per_s(), 50.0);
}

TEST(CollectiveImport, RefusesALogThatItsFactsContradict) {
  ImportFacts known = facts();
  known.log.nodes = 4;
  EXPECT_EQ(
      fault_of(std::string(kRanks) + kTable, known),
      "all_gather.log:1:1: error: found nodes 2 by its list of ranks and 4 by the flags, expected the same");
  known = facts();
  known.log.test = sim::NcclTest::kAllReduce;
  EXPECT_THAT(fault_of(std::string(kRanks) + kTable, known),
              HasSubstr("found a log of all_gather, expected one of all_reduce"));
}

TEST(CollectiveImport, AsksForWhatNobodySays) {
  ImportFacts known = facts();
  EXPECT_THAT(fault_of(kTable, known), HasSubstr("found no GPU of this log, expected to be told"));
  known.gpu = "h100-sxm";
  EXPECT_THAT(fault_of(kTable, known),
              HasSubstr("expected to be told the collective\n    hint: --collective"));
  known.log.test = sim::NcclTest::kAllGather;
  EXPECT_THAT(fault_of(kTable, known), HasSubstr("found no number of nodes, expected to be told"));
}

TEST(CollectiveImport, RefusesNodesOfUnequalSize) {
  const std::string odd =
      std::string(kRanks) +
      "#  Rank  4 Group  0 Pid  4 on   node-b device  2 [0000:05:00] NVIDIA H100 80GB HBM3\n" + kTable;
  EXPECT_THAT(fault_of(odd, facts()), HasSubstr("found 2 ranks on node-a and 3 on node-b"));
}

TEST(LogIndex, GivesFactsByFileAndNicsByCluster) {
  ImportFacts known = facts();
  known.index.add(
      base::parse_csv("file,gpu,nodes,gpus_per_node,collective,cluster_id,source\n"
                      "all_gather.log,H100-SXM-80GB,2,2,all_gather,here,we\n"
                      "other.log,H100-SXM-80GB,1,8,all_reduce,,we\n",
                      "logs/index.csv"));
  known.index.add(base::parse_csv("cluster_id,gpus_per_node,nics_per_node,nic_Gbps\nhere,8,4,400\nno,8,0,\n",
                                  "clusters.csv"));
  const ImportResult result = import(kTable, known);
  const auto& shape = std::get<CollectiveShape>(result.samples.front().shape);
  EXPECT_EQ(shape.cluster, "here");
  EXPECT_DOUBLE_EQ(shape.nic->gb_per_s(), 25.0);  // 4 x 400 Gb/s for 8 GPUs
  EXPECT_EQ(result.samples.front().citation, "we");
  ASSERT_EQ(known.index.files().size(), 2U);
  EXPECT_EQ(known.index.files()[1].path, "logs/other.log");
}

TEST(LogIndex, LeavesOutALogWhoseSourceCallsTheLinksFaulty) {
  ImportFacts known = facts();
  known.index.add(
      base::parse_csv("file,gpu,nodes,gpus_per_node,collective,notes\n"
                      "all_gather.log,H100-SXM,2,2,all_gather,outlier pair\n",
                      "index.csv"));
  const ImportResult result = import(kTable, known);
  EXPECT_TRUE(result.samples.empty());
  ASSERT_EQ(result.skipped.size(), 1U);
  EXPECT_EQ(result.skipped[0].why, "the whole log: the source says that a link is faulty (index.csv:2)");
}

TEST(LogIndex, RefusesCellsThatAreNoFacts) {
  LogIndex index;
  try {
    index.add(base::parse_csv("file,nodes,collective\na.log,two,all_gathre\n", "index.csv"));
    FAIL();
  } catch (const base::InputError& error) {
    const std::string text = error.what();
    EXPECT_THAT(text, HasSubstr("index.csv:2:7: error: found \"two\", expected a whole number from 1 up"));
    EXPECT_THAT(
        text, HasSubstr("index.csv:2:11: error: found \"all_gathre\", expected a collective of nccl-tests"));
    EXPECT_THAT(text, HasSubstr("did you mean \"all_gather\"?"));
  }
}

TEST(CollectivePoints, EveryRunIsASampleAndRepeatsAreCounted) {
  ImportResult result;
  import_text(
      "system,nccl_version,op,dtype,num_gpus,size_bytes,latency_us\n"
      "h100_sxm,2.27.3,all_gather,half,4,1024,10\n"
      "h100_sxm,2.27.3,all_gather,half,4,1024,12\n"
      "h100_sxm,2.27.3,all_gather,half,4,1024,nan\n"
      "h100_sxm,2.27.3,all_gather,half,1,1024,9\n"
      "h100_sxm,2.27.3,gossip,half,4,1024,9\n",
      "points.csv", facts(), result);
  EXPECT_EQ(result.samples.size(), 2U);
  EXPECT_EQ(result.repeats, 1);
  EXPECT_EQ(result.samples.front().software, "NCCL 2.27.3");
  ASSERT_EQ(result.skipped.size(), 3U);
  EXPECT_EQ(result.skipped[0].why, "latency_us is \"nan\", expected a number above 0");
  EXPECT_EQ(result.skipped[1].why, "num_gpus is 1: nothing is sent");
  EXPECT_EQ(result.skipped[2].why, "op is \"gossip\", which is no collective of nccl-tests");
}

TEST(ExpertParallelImport, ReadsATableOfDeepEpAndNamesBadRows) {
  const std::string header =
      "system,sglang_version,node_num,hidden_size,num_token,num_topk,num_experts,dispatch_sms,"
      "dispatch_transmit_us,combine_sms,combine_transmit_us\n";
  ImportResult result;
  import_text(header +
                  "h100_sxm,0.5,1,7168,4096,8,256,24,600,24,1100\n"
                  "h100_sxm,0.5,1,7168,8192,8,256,24,-1,24,2200\n",
              "deepep.csv", facts(), result);
  EXPECT_EQ(result.kinds.at("deepep.csv"), "DeepEP normal kernels");
  EXPECT_EQ(result.samples.size(), 3U);
  EXPECT_EQ(result.samples.front().software, "sglang 0.5");
  ASSERT_EQ(result.skipped.size(), 1U);
  EXPECT_EQ(result.skipped[0].line, 3);
  EXPECT_EQ(result.skipped[0].why, "dispatch_transmit_us is \"-1\", expected a number above zero");
}

TEST(Samples, OfCommunicationReadBackAsTheyWereWritten) {
  ImportFacts known = facts();
  known.log.nic = base::BytesPerSecond::from_gb_per_s(12.5);
  known.log.cluster = "ours";
  ImportResult result = import(std::string(kRanks) + kTable, known);
  Sample ep = result.samples.front();
  sim::EpRow row;
  row.tokens = 128;
  row.hidden = 7168;
  row.experts = 256;
  row.top_k = 8;
  row.nodes = row.ranks = 8;
  row.limit = {8, 4};
  row.with_api = true;
  row.nvlink = base::BytesPerSecond::from_gb_per_s(200);
  ep.shape = ExpertParallelShape{row};
  result.samples.push_back(ep);
  const std::string text = write_samples(result.samples);
  EXPECT_THAT(text, HasSubstr("\"nic\": \"12.5 GB/s\""));
  EXPECT_EQ(write_samples(parse_samples(text, "s.jsonl")), text);
}

/// One byte changed, cut off, doubled or put elsewhere.
std::string mutated(std::string text, base::RandomStream& random) {
  static const std::string kBytes = "0123456789.-,#\n eE{}[]\"nan(us)";
  for (int changes = 1 + static_cast<int>(random.next() % 3); changes > 0 && !text.empty(); --changes) {
    const std::size_t at = random.next() % text.size();
    const std::size_t length = 1 + random.next() % 40;
    switch (random.next() % 4) {
      case 0:
        text[at] = kBytes[random.next() % kBytes.size()];
        break;
      case 1:
        text.erase(at, length);
        break;
      case 2:
        text.insert(at, text.substr(random.next() % text.size(), length));
        break;
      default:
        if (random.next() % 4 == 0) text.resize(at);
    }
  }
  return text;
}

TEST(Import, SpoiltMeasurementsAreImportedOrRefusedAndNothingElse) {
  const std::vector<std::string> files{
      std::string(kRanks) + kTable,
      R"({"version": 2, "args": ["all_gather_perf"], "nccl_version": 22902, "config": {"devices": [
        {"rank": 0, "hostname": "a", "device_info": "NVIDIA GB200"},
        {"rank": 1, "hostname": "a", "device_info": "NVIDIA GB200"}]}, "results": [
        {"size": 67108864, "redop": "none", "out_of_place": {"time": 400.0, "alg_bw": 167.77, "bus_bw": 83.89}}]})",
      "system,nccl_version,op,dtype,num_gpus,size_bytes,latency_us\nh100_sxm,2.27.3,all_gather,half,4,1024,"
      "10\n",
      "system,sglang_version,node_num,hidden_size,num_token,num_topk,num_experts,dispatch_sms,"
      "dispatch_transmit_us,combine_sms,combine_transmit_us\nh100_sxm,0.5,1,7168,4096,8,256,24,600,24,1100\n",
      "system,version,op_name,kernel_source,moe_dtype,num_tokens,hidden_size,topk,num_experts,moe_ep_size,"
      "distribution,latency_ms\ngb200,1,alltoall_dispatch,NVLinkTwoSided,fp8,64,7168,8,256,4,balanced,0."
      "02\n"};
  base::RandomStream random(test::test_seed(), "spoilt measurements");
  int imported = 0;
  for (int i = 0; i < 5000; ++i) {
    const std::string text = mutated(files[random.next() % files.size()], random);
    ImportFacts known = facts();
    known.gpu = random.next() % 2 == 0 ? "" : "h100-sxm";
    ImportResult result;
    try {
      import_text(text, "spoilt", known, result);
      const std::string written = write_samples(result.samples);
      if (!result.samples.empty()) {
        EXPECT_EQ(write_samples(parse_samples(written, "s.jsonl")), written) << text;
      }
      ++imported;
    } catch (const base::InputError& error) {
      EXPECT_FALSE(error.diagnostics().empty());
    }
  }
  EXPECT_GT(imported, 500);
}

TEST(GpuNames, KnowTheNamesThatToolsAndTablesGive) {
  const GpuNames gpus = names();
  for (const char* text : {"h100_sxm", "H100-SXM-80GB", "H100", "NVIDIA H100 80GB HBM3", "h100-sxm"})
    EXPECT_EQ(gpus.profile_of(text), "h100-sxm") << text;
  EXPECT_EQ(gpus.profile_of("A100-SXM4-40GB"), "a100-sxm");
  EXPECT_EQ(gpus.profile_of("NVIDIA H100 PCIe"), "h100-pcie");
  EXPECT_EQ(gpus.profile_of("GB200"), "gb200");
  EXPECT_EQ(gpus.profile_of("RTX6000D-PCIe"), "rtx6000d-pcie");
}

TEST(LogBanner, ReadsTheVersionsOfBothNumberings) {
  EXPECT_EQ(nccl_version_text(22902), "NCCL 2.29.2");
  EXPECT_EQ(nccl_version_text(2804), "NCCL 2.8.4");
}

TEST(LogBanner, ReadsTheRanksOfTheJson) {
  const LogBanner banner = read_log_banner(
      R"({"version": 2, "nccl_version": 22902, "config": {"devices": [
        {"rank": 0, "hostname": "a", "device_info": "NVIDIA GB200"},
        {"rank": 1, "hostname": "a", "device_info": "NVIDIA GB200"}]}, "results": []})",
      "log.json");
  EXPECT_EQ(banner.gpu, "NVIDIA GB200");
  EXPECT_EQ(banner.nodes, 1);
  EXPECT_EQ(banner.gpus_per_node, 2);
  EXPECT_EQ(banner.software, "NCCL 2.29.2");
}

}  // namespace
}  // namespace moeplan::calibrate
