// `moeplan calibrate gpu`: lists and comparisons that need no GPU, what a build or machine without one is
// told, and a run on a made device.
#include "cli/gpu_command.h"

#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/diagnostics.h"
#include "base/files.h"
#include "cli/gpu_device.h"
#include "tests/calibrate/measure/fake_device.h"
#include "tests/support/corpus.h"

namespace moeplan::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

struct Outcome {
  int code = 0;
  std::string out, err;
};

class GpuCommandTest : public ::testing::Test {
 protected:
  static Outcome run(const std::vector<std::string>& arguments) {
    std::vector<const char*> argv{"moeplan", "calibrate", "gpu"};
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    std::ostringstream out, err;
    const int code = run_program(static_cast<int>(argv.size()), argv.data(), Console{out, err});
    return {code, out.str(), err.str()};
  }
  std::string write(const std::string& name, const std::string& content) const {
    base::write_file_atomically((folder_.path() / name).string(), content);
    return (folder_.path() / name).string();
  }
  Outcome measure(CalibrateGpuOptions options) {
    options.common.output = out_;
    std::ostringstream out, err;
    const int code = measure_cases(device_, clock_, options, Console{out, err});
    return {code, out.str(), err.str()};
  }
  static std::string line(int rows, double us) {
    return fmt::format(
        "{{\"schema\": \"moeplan.measurement/1\", \"case\": \"memory op=add rows={0} cols=1024\", "
        "\"status\": \"measured\", \"kind\": \"memory\", \"seconds\": {1}, \"low\": {2}, \"high\": {3}}}\n",
        rows, us * 1e-6, (us - 0.5) * 1e-6, (us + 0.5) * 1e-6);
  }

  test::TemporaryFolder folder_;
  std::string out_ = (folder_.path() / "out.jsonl").string();
  calibrate::test::FakeClock clock_;
  calibrate::test::FakeDevice device_{clock_};
};

TEST_F(GpuCommandTest, the_cases_of_a_model_are_listed_without_a_gpu_and_read_back) {
  const Outcome all = run({"--for", "qwen3-235b-a22b", "--list"});
  EXPECT_EQ(all.code, 0) << all.err;
  EXPECT_THAT(all.out, StartsWith("gemm format=bf16 pass=forward m=4096 n=9216 k=4096 l2=cold\n"));
  EXPECT_THAT(all.out,
              HasSubstr("grouped_product kernel=per_expert format=bf16 pass=weight_gradient groups=16 "
                        "rows=2048 n=3072 k=4096 loads=balanced\n"));
  const Outcome again = run({"--shapes", write("shapes.txt", all.out), "--list"});
  EXPECT_EQ(again.out, all.out);
  const Outcome both = run({"--for", "qwen3-235b-a22b", "--for", "deepseek-v3", "--list"});
  EXPECT_THAT(both.out, AllOf(StartsWith(all.out), HasSubstr("n=7168")));
  const Outcome memory = run({"--for", "qwen3-235b-a22b", "--list", "--cases", "memory"});
  EXPECT_THAT(memory.out, StartsWith("memory op="));
  EXPECT_THAT(memory.out, Not(HasSubstr("gemm")));
}

TEST_F(GpuCommandTest, without_a_model_the_default_list_is_taken) {
  EXPECT_THAT(run({"--list"}).out, StartsWith("launch op=kernel_host\n"));
}

TEST_F(GpuCommandTest, bad_input_is_told_before_a_missing_gpu) {
  const std::string shapes = write("shapes.txt", "# a\nlaunch op=synk\n");
  const Outcome bad_case = run({"--shapes", shapes, "-o", out_});
  EXPECT_EQ(bad_case.code, 2);
  EXPECT_THAT(bad_case.err, StartsWith(shapes + ":2:11: error: op \"synk\" is unknown, expected one of "));
  const Outcome bad_kind = run({"--cases", "memory,gem", "-o", out_});
  EXPECT_EQ(bad_kind.code, 2);
  EXPECT_THAT(bad_kind.err, StartsWith("error: --cases: kind \"gem\" is unknown, expected one of gemm,"));
  EXPECT_EQ(run({"--shapes", write("none", "# nothing\n"), "--list"}).err,
            "error: found no case to measure, expected one at least\n");
  EXPECT_EQ(run({"--budget", "0", "-o", out_}).err,
            "error: --budget: found 0, expected a number above 0, at most 1000000000\n");
  EXPECT_EQ(run({"--precision", "nan", "-o", out_}).code, 2);
  EXPECT_EQ(run({"--for", "no-such-model", "--list"}).code, 2);
  EXPECT_EQ(run({}).err,
            "error: found nothing to do, expected -o FILE.jsonl\n"
            "    hint: or --list, --self-check, --compare OLD NEW\n");
  EXPECT_FALSE(fs::exists(out_));
}

TEST_F(GpuCommandTest, flags_that_would_be_ignored_are_refused) {
  const std::string file = write("a.jsonl", line(1, 10));
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"--list", "-o", out_},
                                             {"--list", "--budget", "5"},
                                             {"--self-check", "--for", "deepseek-v3"},
                                             {"--self-check", "--list"},
                                             {"--compare", file, file, "--cases", "gemm"},
                                             {"--compare", file, file, "-o", out_},
                                             {"--compare", file},
                                             {"--list", "--json"},
                                             {"-o", out_, "-v"}}) {
    EXPECT_EQ(run(arguments).code, 2) << testing::PrintToString(arguments);
  }
  EXPECT_FALSE(fs::exists(out_));
}

TEST_F(GpuCommandTest, a_build_without_cuda_says_how_to_get_one) {
  if (has_cuda_part()) GTEST_SKIP() << "this build has the CUDA part";
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"-o", out_}, {"--self-check"}}) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.code, 3);
    EXPECT_EQ(outcome.err,
              "error: this build has no CUDA part; configure with -DMOEPLAN_CUDA=ON "
              "(scripts/build_measure builds moeplan-measure alone)\n");
  }
  EXPECT_FALSE(fs::exists(out_));
}

TEST_F(GpuCommandTest, a_run_measures_the_chosen_cases_and_a_second_one_goes_on) {
  CalibrateGpuOptions options;
  options.shapes =
      write("shapes.txt", "launch op=sync\nmemory op=add rows=1024 cols=1024\nlaunch op=event_host\n");
  options.kinds = "launch";
  const Outcome first = measure(options);
  EXPECT_EQ(first.code, 0);
  EXPECT_THAT(first.err, HasSubstr("2 cases measured, 0 were there, 0 not supported, 0 failed, 0 left"));
  EXPECT_EQ(device_.prepared, (std::vector<std::string>{"launch op=sync", "launch op=event_host"}));
  options.kinds.clear();
  options.common.quiet = true;
  const Outcome second = measure(options);
  EXPECT_THAT(second.err, IsEmpty());
  EXPECT_EQ(device_.prepared.size(), 3u);
  EXPECT_THAT(base::read_text_file(out_), HasSubstr("\"case\": \"memory op=add rows=1024 cols=1024"));
}

TEST_F(GpuCommandTest, precision_and_budget_reach_the_run) {
  // Batches alternate by 4 %: half the interval is 2 % of the median, too wide for 0.5 %, narrow enough for 5
  // %.
  device_.batch = [](int run, int repetitions) { return (run % 2 == 0 ? 1e-4 : 1.04e-4) * repetitions; };
  CalibrateGpuOptions options;
  options.shapes = write("shapes.txt", "launch op=sync\n");
  options.precision = 5.0;
  EXPECT_EQ(measure(options).code, 0);
  EXPECT_THAT(base::read_text_file(out_), HasSubstr("\"batches\": 7,"));
  options.precision = 0.5;
  options.shapes = write("shapes.txt", "launch op=event_host\n");
  EXPECT_EQ(measure(options).code, 0);
  EXPECT_THAT(base::read_text_file(out_), HasSubstr("\"batches\": 100,"));
  options.shapes = write("shapes.txt", "sustained format=bf16 m=8 n=8 k=8 seconds=30\n");
  options.budget_s = 29.0;
  EXPECT_THAT(measure(options).err, HasSubstr("1 left for want of time"));
}

TEST_F(GpuCommandTest, a_wrong_result_ends_with_one_and_a_lost_gpu_with_three) {
  CalibrateGpuOptions options;
  options.shapes = write("shapes.txt", "launch op=sync\n");
  device_.fault = "poison";
  EXPECT_EQ(measure(options).code, 1);
  device_.on_prepare = [](const calibrate::Case&) { throw calibrate::DeviceLost("no more"); };
  try {
    measure(options);
    FAIL();
  } catch (const base::EnvironmentError& error) {
    EXPECT_STREQ(
        error.what(),
        "the GPU failed: no more\nwhat was measured before is kept; run again with the same -o to go on");
  }
}

TEST_F(GpuCommandTest, drift_between_two_files_is_told_worst_first) {
  std::string before, after;
  for (int i = 1; i <= 22; ++i) {
    before += line(i, 100);
    after += line(i, 100 + i);
  }
  const std::string old_file = write("old.jsonl", before), new_file = write("new.jsonl", after + line(99, 1));
  const Outcome table = run({"--compare", old_file, new_file});
  EXPECT_EQ(table.code, 0) << table.err;
  // 100 -+ 0.5 and 101 -+ 0.5 us touch; the others are apart. Changes 1 to 22 %: the median is 11.5 %, the
  // 21st of 22 magnitudes 21 %.
  EXPECT_THAT(table.out, HasSubstr("memory               22   +11.50 %          21.00 %     21\n"
                                   "  +22.00 %  memory op=add rows=22 cols=1024: 100.00 and 122.00 us\n"
                                   "  +21.00 %  memory op=add rows=21 "));
  EXPECT_THAT(table.out, HasSubstr("... and 1 more (-v names them)\n"));
  EXPECT_EQ(table.err, "0 cases are in " + old_file + " alone, 1 in " + new_file + "\n");
  EXPECT_THAT(run({"--compare", old_file, new_file, "-v"}).out,
              HasSubstr("   +2.00 %  memory op=add rows=2 cols=1024"));
  const Outcome json = run({"--compare", old_file, new_file, "--json", "-q"});
  EXPECT_THAT(json.err, IsEmpty());
  EXPECT_THAT(json.out, AllOf(HasSubstr("\"schema\": \"moeplan.calibrate_compare/1\""),
                              HasSubstr("\"only_new\": 1"), HasSubstr("\"apart\": 21")));
  EXPECT_EQ(run({"--compare", old_file, write("bad.jsonl", "hello\n")}).code, 2);
}

}  // namespace
}  // namespace moeplan::cli
