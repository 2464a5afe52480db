#include "cli/replay_command.h"

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/document.h"
#include "base/files.h"
#include "sim/workload/plan.h"
#include "tests/support/corpus.h"
#include "tests/support/schema_checker.h"

namespace moeplan::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct Outcome {
  int code = 0;
  std::string out;
  std::string err;
};

/// tiny-moe on one node, EP 8, and a load of 6 iterations whose hot expert changes after the third.
class ReplayCommand : public ::testing::Test {
 protected:
  ReplayCommand() {
    std::string text = "layer";
    for (int e = 0; e < 16; ++e) text += ",e" + std::to_string(e);
    text += "\n";
    for (int l = 0; l < 3; ++l) {
      for (const int hot : {2, 2, 2, 9, 9, 9}) {
        text += std::to_string(l);
        for (int e = 0; e < 16; ++e) text += e == hot ? ",600" : ",60";
        text += "\n";
      }
    }
    load_ = write("load.csv", text);
    run_ = write("run.yaml", "name: small\nglobal_batch: 32\nseq_len: 1024\nprecision: {gemm: bf16}\n");
    sim::PlanSpec plan;
    plan.name = "mine";
    plan.layout.dp = plan.layout.ep = 8;
    plan_ = write("plan.yaml", sim::write_plan(plan));
  }
  Outcome run(std::vector<std::string> arguments, const std::string& load = "",
              const std::string& model = "tiny-moe") const {
    const std::vector<std::string> job = {"moeplan", "replay", "--cluster", "hgx-h100-1n",
                                          "--model", model,    "--run",     run_,
                                          "--plan",  plan_,    "--load",    load.empty() ? load_ : load};
    arguments.insert(arguments.begin(), job.begin(), job.end());
    std::vector<const char*> argv;
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    std::ostringstream out;
    std::ostringstream err;
    const int code = run_program(static_cast<int>(argv.size()), argv.data(), Console{out, err});
    return {code, out.str(), err.str()};
  }
  void expect_refused(const std::vector<std::string>& arguments, const std::string& message,
                      const std::string& load = "") const {
    const Outcome outcome = run(arguments, load);
    EXPECT_EQ(outcome.code, kBadInput) << message;
    EXPECT_EQ(outcome.out, "");
    EXPECT_THAT(outcome.err, HasSubstr(message));
  }
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  std::string write(const std::string& name, const std::string& text) const {
    base::write_file_atomically(path(name), text);
    return path(name);
  }
  test::TemporaryFolder folder_;
  std::string load_, run_, plan_;
};

TEST_F(ReplayCommand, PrintsPoliciesBesideStaticPlacementsAndTheOracle) {
  const Outcome outcome =
      run({"--policy", "every:2", "--policy", "trigger:1.2", "--slots-per-gpu", "3", "--warm-up", "2"});
  ASSERT_EQ(outcome.code, kOk) << outcome.err;
  EXPECT_THAT(
      outcome.out,
      HasSubstr("3 layers in 24 slots on 8 GPUs, 4 micro-batches a step; iterations 2 to 5 are scored"));
  for (const char* row : {"contiguous", "planned", "every:2", "trigger:1.2", "oracle"})
    EXPECT_THAT(outcome.out, HasSubstr(std::string("\n") + row));
}

TEST_F(ReplayCommand, JsonKeepsItsSchemaAndIsTheSameForAnyThreads) {
  const std::vector<std::string> arguments = {"--policy",        "every:1", "--policy",  "gain",
                                              "--slots-per-gpu", "3",       "--warm-up", "2",
                                              "--stride",        "10",      "--json"};
  std::vector<std::string> threads = arguments;
  threads.insert(threads.end(), {"--threads", "3", "--stats", path("stats.json"), "--quiet"});
  const Outcome one = run(arguments);
  ASSERT_EQ(one.code, kOk) << one.err;
  const base::Node schema =
      base::load_document((test::source_root() / "docs" / "schema" / "replay.json").string()).root;
  EXPECT_EQ(test::find_schema_fault(schema, base::parse_json(one.out, "out").root), "");
  EXPECT_EQ(one.out, run(threads).out);
  EXPECT_THAT(base::read_text_file(path("stats.json")), HasSubstr("\"seconds\""));
  EXPECT_THAT(one.out, Not(HasSubstr("seconds")));
}

TEST_F(ReplayCommand, WritesEveryIteration) {
  const std::string policy =
      write("p.yaml", "name: \"mine, all\"\nreplan: every\nperiod: 1\npredictor: last\n");
  const Outcome outcome =
      run({"--policy", policy, "--slots-per-gpu", "3", "--warm-up", "2", "-o", path("out.csv")});
  ASSERT_EQ(outcome.code, kOk) << outcome.err;
  const std::string csv = base::read_text_file(path("out.csv"));
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 1 + 4 * 4);  // four tracks of four iterations
  EXPECT_THAT(csv, HasSubstr("policy,iteration,max_over_mean,layer_time_s"));
  EXPECT_THAT(csv, HasSubstr("\"mine, all\",4,"));
}

// Mixtral-8x7B has 45 G expert parameters: on 8 GPUs 5.6 G each, of 18 bytes with gradients and optimizer
// state.
TEST_F(ReplayCommand, SaysWhereThePlanDoesNotFit) {
  std::string text = "layer,e0,e1,e2,e3,e4,e5,e6,e7\n";
  for (int l = 0; l < 32; ++l) {
    for (int i = 0; i < 2; ++i) text += std::to_string(l) + ",2,1,1,1,1,1,1,1\n";
  }
  const Outcome outcome =
      run({"--policy", "every:1", "--warm-up", "1", "--json"}, write("mixtral.csv", text), "mixtral-8x7b");
  EXPECT_EQ(outcome.code, kInfeasible);
  EXPECT_THAT(outcome.out, HasSubstr("\"status\": \"infeasible\""));
  EXPECT_THAT(outcome.err, HasSubstr("the plan with its slots does not fit: stage 0 needs "));
}

TEST_F(ReplayCommand, RefusesWhatItCannotPlay) {
  expect_refused({"--policy", "often:3"}, "policy \"often:3\": no such rule and no such file");
  expect_refused({"--policy", "gain", "--policy", "gain"}, "a second one with the name gain");
  expect_refused({"--policy", write("o.yaml", "name: oracle\nreplan: gain\n")},
                 "a second one with the name oracle");
  expect_refused({"--policy", "gain"},
                 "warm-up of 10 iterations, expected 1 to 5: the load has 6 iterations");
  expect_refused({"--policy", "gain", "--warm-up", "2", "--slots-per-gpu", "1"},
                 "16 experts do not fit into 8 slots");
  expect_refused({"--policy", "gain", "--warm-up", "2"},
                 "the load has one iteration: a replay needs a trace of at least two", "uniform");
  expect_refused({"--policy", "gain", "--warm-up", "2", "--sharing", "window"}, "window");
  expect_refused({}, "--policy is required");
}

}  // namespace
}  // namespace moeplan::cli
