// `moeplan calibrate` through the same entry as main(): what bad measurements are told, which rows are left
// out and counted, and that logs become a profile.
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "cli/command.h"
#include "sim/collective/nccl_log.h"
#include "sim/collective/nccl_model.h"
#include "tests/support/corpus.h"

namespace moeplan::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Outcome {
  int code = 0;
  std::string out, err;
};

constexpr const char* kHead =
    "# nccl-tests version 2.17.8 nccl-headers=22902 nccl-library=22902\n"
    "# Collective test starting: all_gather_perf\n"
    "#       size         count      type   redop    root     time   algbw   busbw #wrong\n"
    "#        (B)    (elements)                               (us)  (GB/s)  (GB/s)\n";
// S/t = 67,108,864 B / 200 us = 335.54 GB/s; over 4 ranks 3/4 of it is bus bandwidth.
constexpr const char* kRow =
    "    67108864       8388608    double    none      -1   200.00  335.54  251.66       0\n";
constexpr const char* kNext =
    "   134217728      16777216    double    none      -1   400.00  335.54  251.66       0\n";

class CalibrateCommandTest : public ::testing::Test {
 protected:
  static Outcome run(const std::vector<std::string>& arguments) {
    std::vector<const char*> argv{"moeplan", "calibrate"};
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    std::ostringstream out, err;
    const int code = run_program(static_cast<int>(argv.size()), argv.data(), Console{out, err});
    return {code, out.str(), err.str()};
  }
  std::string write(const std::string& name, const std::string& content) const {
    base::write_file_atomically((folder_.path() / name).string(), content);
    return (folder_.path() / name).string();
  }
  /// `import FILE` as a log of 1 x 4 GPUs of an H100.
  Outcome import_log(const std::string& file, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments{"import",          file, "--gpu", "h100-sxm", "--nodes", "1",
                                       "--gpus-per-node", "4",  "-o",    out_};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }
  /// Exit 2, this message after the file's name, and nothing written.
  void expect_refused(const std::string& content, const std::string& message,
                      const std::vector<std::string>& more = {}) const {
    const std::string file = write("measured", content);
    const Outcome outcome = import_log(file, more);
    EXPECT_EQ(outcome.code, 2);
    EXPECT_THAT(outcome.err, ::testing::StartsWith(file + message));
    EXPECT_THAT(outcome.out, IsEmpty());
    EXPECT_FALSE(fs::exists(out_));
  }
  /// Exit 0 and one row left out with this reason.
  void expect_skipped(const std::string& content, const std::string& row) const {
    const std::string file = write("measured", content);
    const Outcome outcome = import_log(file);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(file + row));
    EXPECT_THAT(outcome.err, HasSubstr("1 samples, 1 rows skipped\n"));
  }

  test::TemporaryFolder folder_;
  std::string out_ = (folder_.path() / "out.jsonl").string();
};

TEST_F(CalibrateCommandTest, a_truncated_log_is_refused_or_its_cut_row_left_out) {
  const std::string head = kHead, row = kRow;
  expect_refused(head.substr(0, 120),
                 ":3:1: error: found no header, expected \"# size ... time algbw busbw\"\n");
  expect_refused(head, ":3:1: error: found no usable row, expected at least one size\n");
  expect_skipped(head + row + std::string(kNext).substr(0, 45),
                 ":6: row skipped: found 4 columns, expected 9: cut off\n");
}

TEST_F(CalibrateCommandTest, mixed_units_are_refused) {
  const std::string row = kRow;
  const std::string two =
      "# Collective test starting: all_gather_perf\n"
      "#  size   time   algbw   busbw   time  algbw  busbw\n"
      "#   (B)   (us)  (GB/s)  (GB/s)   (ms) (GB/s) (GB/s)\n"
      "67108864 200.0  335.54  251.66   0.2  335.54 251.66\n";
  expect_refused(two, ":3:1: error: found times in two units, expected one\n");
  std::string other = kHead + row;
  other.replace(other.find("(us)"), 4, "(ms)");
  expect_refused(other,
                 ":3:1: error: found times that contradict the bandwidths beside them\n"
                 "    hint: times in another unit than the header says?\n");
  expect_refused("system,op,num_gpus,size_bytes,latency_us,latency_ms\nh100_sxm,all_gather,4,1024,10,0.01\n",
                 ":1:1: error: found the columns latency_us and latency_ms, expected times in one unit\n");
}

TEST_F(CalibrateCommandTest, missing_columns_are_named) {
  expect_refused("system,op,num_gpus,latency_us\nh100_sxm,all_gather,4,10\n",
                 ":1:1: error: column \"size_bytes\" is missing\n");
  expect_refused(
      "system,node_num,num_token,dispatch_sms,dispatch_transmit_us,combine_transmit_us\nh100_sxm,1,1,8,1,1\n",
      ":1:1: error: column \"hidden_size\" is missing\n");
  expect_refused("# Collective test starting: all_gather_perf\n# size count\n# (B)\n1 1\n",
                 ":2:1: error: found neither a column \"time\" nor \"busbw\", expected one of them\n");
}

TEST_F(CalibrateCommandTest, a_size_that_stands_twice_counts_once) {
  expect_skipped(std::string(kHead) + kRow + kRow,
                 ":6: row skipped: size 67108864 stands twice, the first is kept\n");
}

TEST_F(CalibrateCommandTest, a_row_of_nan_is_left_out) {
  std::string row = kNext;
  row.replace(row.find("400.00"), 6, "   nan");
  expect_skipped(std::string(kHead) + kRow + row, ":6: row skipped: the time is not a number\n");
}

TEST_F(CalibrateCommandTest, a_log_of_another_collective_than_it_says_is_refused) {
  const std::string log = std::string(kHead) + kRow;
  expect_refused(log, ":1:1: error: found a log of all_gather, expected one of sendrecv\n",
                 {"--collective", "sendrecv"});
  std::string renamed = log;
  renamed.replace(renamed.find("all_gather_perf"), 15, "all_reduce_perf");
  expect_refused(renamed,
                 ":3:1: error: found no reduction in the redop column, expected a log of all_reduce\n");
  // busbw / algbw = 3/4 is a gather over 4 ranks, not one over 8.
  const std::string file = write("eight", log);
  const Outcome outcome =
      run({"import", file, "--gpu", "h100-sxm", "--nodes", "1", "--gpus-per-node", "8", "-o", out_});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err,
              HasSubstr(":3:1: error: found busbw/algbw = 0.750, expected 0.875 of all_gather over 8 ranks"));
}

TEST_F(CalibrateCommandTest, text_of_no_known_kind_is_told_with_the_kinds_that_are_known) {
  const std::string known =
      "    hint: known are, found by content: logs of nccl-tests and rccl-tests (text or JSON), lines of "
      "moeplan-measure, and CSV tables";
  expect_refused(
      "Dear all, the cluster is slow, please look\n",
      ":1:1: error: found a table of no known kind, its columns: \"Dear all\", \" the cluster is slow\", "
      "\" please look\"\n" +
          known);
  expect_refused("hello\n", ":1:1: error: found text of no known kind: \"hello\"\n" + known);
  expect_refused("{\"a\": 1}\n", ":1:1: error: found JSON of no known kind: no list \"results\"\n" + known);
}

TEST_F(CalibrateCommandTest, an_empty_file_and_bytes_that_are_no_text_are_refused) {
  expect_refused("", ":1:1: error: the file is empty, expected measurements\n");
  expect_refused("\n\n", ":1:1: error: the file is empty, expected measurements\n");
  expect_refused(std::string("# size\0\x01\xFF", 9),
                 ":1:7: error: found byte 0x00, expected text in UTF-8\n");
}

TEST_F(CalibrateCommandTest, tables_that_are_no_measurements_are_told_apart) {
  expect_refused("file,test,N,G,avg_bus_bw_GBs\na.log,alltoall_perf,2,1,13.5\n",
                 ":1:1: error: found bandwidths averaged over message sizes, expected a time of each size\n");
  expect_refused("file,collective,nodes\na.log,all_gather,2\n",
                 ":1:1: error: found a table about logs or clusters, expected measurements\n"
                 "    hint: name it with --index; the logs it names are imported with it\n");
  expect_refused("{\"schema\": \"moeplan.sample/1\"}\n",
                 ":1:1: error: found samples, expected measurements\n");
}

TEST_F(CalibrateCommandTest, faults_of_all_files_are_told_together_or_the_files_left_out_with_keep_going) {
  const std::string good = write("good.log", std::string(kHead) + kRow), prose = write("prose", "hello\n"),
                    empty = write("empty", "");
  std::vector<std::string> arguments{
      "import", good, prose, empty, "--gpu", "h100-sxm", "--nodes", "1", "--gpus-per-node", "4", "-o", out_};
  const Outcome refused = run(arguments);
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr(prose + ":1:1: error: found text of no known kind"));
  EXPECT_THAT(refused.err, HasSubstr(empty + ":1:1: error: the file is empty"));
  EXPECT_FALSE(fs::exists(out_));
  arguments.emplace_back("--keep-going");
  const Outcome kept = run(arguments);
  EXPECT_EQ(kept.code, 0);
  EXPECT_THAT(kept.err, HasSubstr(prose + ":1: row skipped: the whole file: found text of no known kind"));
  EXPECT_THAT(kept.err, HasSubstr("1 samples, 2 rows skipped\n"));
}

TEST_F(CalibrateCommandTest, samples_faster_than_their_links_are_refused) {
  // 251.66 GB/s of bus bandwidth fit the 450 GB/s of an H100, not the 150 GB/s of a V100.
  const std::string file = write("a.log", std::string(kHead) + kRow);
  EXPECT_EQ(run({"import", file, "--gpu", "V100", "--nodes", "1", "--gpus-per-node", "4", "-o", out_}).code,
            0);
  const Outcome fit = run({"fit", out_, "--base", "v100-sxm", "-o", (folder_.path() / "p.yaml").string()});
  EXPECT_EQ(fit.code, 2);
  EXPECT_EQ(fit.err,
            file +
                ": error: found an all-gather at 251.7 GB/s a GPU, expected at most the 150.0 GB/s of "
                "v100-sxm's NVLink\n    hint: are these samples of another GPU?\n");
}

TEST_F(CalibrateCommandTest, flags_that_say_nothing_are_refused) {
  const std::string file = write("a.log", std::string(kHead) + kRow);
  EXPECT_EQ(import_log(file, {"--nic", "400"}).err,
            "error: --nic: \"400\" has no unit, expected a data rate\n"
            "    hint: write \"400 Gb/s\" (bits) or \"50 GB/s\" (bytes)\n");
  EXPECT_THAT(import_log(file, {"--collective", "all_gathre"}).err,
              HasSubstr("error: --collective: found \"all_gathre\""));
  EXPECT_THAT(run({"import", "-o", out_}).err, HasSubstr("found no file to import"));
  EXPECT_FALSE(fs::exists(out_));
}

/// A log as nccl-tests prints it, of a machine that is exactly as `model` says.
std::string made_log(const sim::NcclModel& model, sim::NcclTest test, sim::NcclGroup group) {
  std::string text = fmt::format("# Collective test starting: {}_perf\n", sim::name(test)) +
                     "#  size  time  algbw  busbw\n#  (B)  (us)  (GB/s)  (GB/s)\n";
  for (int power = 10; power <= 32; ++power) {
    const std::int64_t size = std::int64_t{1} << power;
    const double seconds = model.idle_time(sim::collective_kind(test), group, base::Bytes::of(size)).s();
    const double rate = static_cast<double>(size) / seconds / 1e9;
    text += fmt::format("{} {:.6f} {:.2f} {:.2f}\n", size, seconds * 1e6, rate,
                        rate * sim::bus_factor(test, group.ranks()));
  }
  return text;
}

TEST_F(CalibrateCommandTest, an_index_of_logs_becomes_the_links_of_a_profile) {
  sim::NcclCost cost;
  cost.of(sim::NcclProtocol::kLl) = {base::Seconds::from_us(5), base::Seconds::from_us(0.8), 0.02};
  cost.of(sim::NcclProtocol::kLl128) = {base::Seconds::from_us(9), base::Seconds::from_us(1.5), 0.4};
  cost.of(sim::NcclProtocol::kSimple) = {base::Seconds::from_us(20), base::Seconds::from_us(5), 0.7};
  cost.channel_rate = base::BytesPerSecond::from_gb_per_s(20);
  cost.copy_rate = base::BytesPerSecond::from_gb_per_s(900);
  const auto model = sim::NcclModel::make(cost, 450e9, std::nullopt, 1);
  std::string index = "file,gpu,nodes,gpus_per_node,collective,source\n";
  for (const auto& [test, ranks] : {std::pair(sim::NcclTest::kAllGather, 2),
                                    {sim::NcclTest::kAllGather, 4},
                                    {sim::NcclTest::kSendRecv, 4},
                                    {sim::NcclTest::kReduceScatter, 8}}) {
    const std::string name = fmt::format("{}_{}.log", sim::name(test), ranks);
    write(name, made_log(model, test, {1, ranks}));
    index += fmt::format("{},H100-SXM,1,{},{},made\n", name, ranks, sim::name(test));
  }
  index += "gone.log,H100-SXM,1,8,all_reduce,made\n";
  const Outcome read = run({"import", "--index", write("index.csv", index), "-o", out_});
  EXPECT_EQ(read.code, 0) << read.err;
  EXPECT_THAT(read.err, HasSubstr("gone.log is not there"));
  EXPECT_THAT(read.err, HasSubstr("92 samples, 1 rows skipped"));
  const std::string profile = (folder_.path() / "p.yaml").string();
  const Outcome fit = run({"fit", out_, "--base", "h100-sxm", "--json", "-o", profile});
  EXPECT_EQ(fit.code, 0) << fit.err;
  EXPECT_THAT(fit.out, HasSubstr("\"schema\": \"moeplan.calibrate_fit/1\""));
  EXPECT_THAT(fit.out, HasSubstr("\"section\": \"links\""));
  EXPECT_THAT(fit.err, HasSubstr("links nvlink: 24 samples fitted (median error 0."));
  EXPECT_THAT(fit.err, HasSubstr("8 others predicted"));
  EXPECT_THAT(fit.err, HasSubstr("kept from h100-sxm: links nic"));
  EXPECT_THAT(base::read_text_file(profile), HasSubstr("fitted on all-gathers of 2 and 4 ranks on one node"));
}

TEST_F(CalibrateCommandTest, samples_that_no_section_can_use_are_told_why) {
  std::string log = std::string(kHead) + kRow;
  log.replace(log.find("all_gather_perf"), 15, "  alltoall_perf");
  EXPECT_EQ(import_log(write("a.log", log)).code, 0);
  const Outcome fit = run({"fit", out_, "--base", "h100-sxm", "-o", (folder_.path() / "p.yaml").string()});
  EXPECT_EQ(fit.code, 2);
  EXPECT_EQ(fit.err,
            "error: found no section of h100-sxm that these samples could fit\n"
            "    hint: links nvlink: 1 samples on one node, 0 of them all-gathers of 2 to 4 GPUs; at least 8 "
            "such are needed to fit on\n");
  EXPECT_EQ(run({"fit", out_, "--base", "b200-sxm", "-o", (folder_.path() / "p.yaml").string()}).err,
            "error: found no sample of b200-sxm, the samples are of h100-sxm\n");
}

TEST(ValidateCommand, takes_the_common_flag_quiet) {
  std::ostringstream out, err;
  const std::vector<const char*> argv{"moeplan", "validate", "--only", "max_min", "--quiet"};
  EXPECT_EQ(run_program(static_cast<int>(argv.size()), argv.data(), Console{out, err}), 0);
  EXPECT_THAT(err.str(), IsEmpty());
}

}  // namespace
}  // namespace moeplan::cli
