#include "cli/place_command.h"

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

class PlaceCommand : public ::testing::Test {
 protected:
  static Outcome run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"moeplan", "place", "--cluster", "hgx-h100-4n"});
    std::vector<const char*> argv;
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    std::ostringstream out;
    std::ostringstream err;
    const int code = run_program(static_cast<int>(argv.size()), argv.data(), Console{out, err});
    return {code, out.str(), err.str()};
  }
  static void expect_refused(const std::vector<std::string>& arguments, const std::string& message) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.code, kBadInput) << message;
    EXPECT_EQ(outcome.out, "");
    EXPECT_THAT(outcome.err, HasSubstr(message));
  }
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  std::string write(const std::string& name, const std::string& text) const {
    base::write_file_atomically(path(name), text);
    return path(name);
  }
  static std::string schema_fault(const std::string& json) {
    const base::Node schema =
        base::load_document((test::source_root() / "docs" / "schema" / "place.json").string()).root;
    return test::find_schema_fault(schema, base::parse_json(json, "out").root);
  }
  test::TemporaryFolder folder_;
};

TEST_F(PlaceCommand, PrintsSolversAndTheirBound) {
  const Outcome outcome =
      run({"--load", "zipf:1.0", "--experts", "64", "--layers", "2", "--ep", "8", "--slots", "72"});
  EXPECT_EQ(outcome.code, kOk) << outcome.err;
  for (const char* solver :
       {"contiguous", "round_robin", "lpt", "eplb", "eplb_global", "moeplan", "lower bound"})
    EXPECT_THAT(outcome.out, HasSubstr(std::string("\n") + solver));
  EXPECT_THAT(outcome.out, HasSubstr("64 experts in 72 slots on 8 GPUs (8 a node); objective: load"));
}

TEST_F(PlaceCommand, NamesPublishedSystemsAndWhatTheyBelieved) {
  const Outcome all = run({"--load", "zipf:1.0", "--experts", "64", "--ep", "8", "--slots", "80"});
  ASSERT_EQ(all.code, kOk) << all.err;
  for (const char* solver : {"smartmoe", "fastermoe", "fastermoe_prototype", "fastermoe_fastmoe",
                             "fastermoe_smartmoe", "flexmoe", "laer", "pro_prophet"})
    EXPECT_THAT(all.out, HasSubstr(std::string("\n") + solver + " "));
  EXPECT_THAT(all.out, HasSubstr("a layer by the planner's own model, of its placement and without a plan:"));
  const Outcome one = run({"--load", "zipf:1.0", "--experts", "64", "--ep", "8", "--slots", "80",
                           "--algorithm", "fastermoe_smartmoe", "--no-compare", "--json"});
  ASSERT_EQ(one.code, kOk) << one.err;
  EXPECT_EQ(schema_fault(one.out), "");
  EXPECT_THAT(one.out, HasSubstr("\"solver\": \"fastermoe_smartmoe\""));
  EXPECT_THAT(one.out, HasSubstr("\"own_cost_unplanned_s\""));
}

TEST_F(PlaceCommand, RefusesASystemWhoseExpertsDoNotDivide) {
  expect_refused(
      {"--load", "zipf:1.0", "--experts", "60", "--ep", "8", "--slots", "80", "--algorithm", "smartmoe"},
      "--solver smartmoe: SmartMoE needs as many experts on each GPU: 60 on 8 do not divide");
}

TEST_F(PlaceCommand, JsonKeepsItsSchemaAndIsTheSameForAnyThreads) {
  const std::vector<std::string> arguments = {"--load", "zipf:1.0", "--experts", "64", "--layers", "3",
                                              "--ep",   "8",        "--slots",   "72", "--json"};
  std::vector<std::string> threads = arguments;
  threads.insert(threads.end(), {"--threads", "3", "--stats", path("stats.json")});
  const Outcome one = run(arguments);
  EXPECT_EQ(one.code, kOk) << one.err;
  EXPECT_EQ(schema_fault(one.out), "");
  EXPECT_EQ(one.out, run(threads).out);
  EXPECT_THAT(base::read_text_file(path("stats.json")), HasSubstr("\"moeplan\""));
  EXPECT_THAT(one.out, Not(HasSubstr("seconds")));
}

TEST_F(PlaceCommand, SimulatesLayerTimesAndKeepsTheSchema) {
  const Outcome outcome =
      run({"--load", "lognormal:1.35", "--model", "qwen3-30b-a3b", "--run", "pretrain-4k", "--ep", "16",
           "--slots-per-gpu", "9", "--objective", "layer_time", "--split", "locality", "--json"});
  ASSERT_EQ(outcome.code, kOk) << outcome.err;
  EXPECT_EQ(schema_fault(outcome.out), "");
  EXPECT_THAT(outcome.out, HasSubstr("\"objective\": \"layer_time\""));
  EXPECT_THAT(outcome.out, HasSubstr("moeplan_time"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("\"layer_time_s\": null")));
  EXPECT_THAT(outcome.out, Not(HasSubstr("\"moved_bytes\": null")));
}

TEST_F(PlaceCommand, WritesAPlacementThatAPlanTakesAndEplbsMaps) {
  sim::PlanSpec plan;
  plan.name = "mine";
  plan.layout.dp = plan.layout.ep = 8;
  const std::string file = write("plan.yaml", sim::write_plan(plan));
  const Outcome outcome =
      run({"--load", "zipf:1.0", "--experts", "64", "--slots", "72", "--plan", file, "-o", path("out.yaml")});
  ASSERT_EQ(outcome.code, kOk) << outcome.err;
  const sim::PlanSpec read = sim::load_plan(path("out.yaml"));
  EXPECT_EQ(read.placement.algorithm, "moeplan");
  ASSERT_EQ(read.placement.slots.size(), 1U);
  EXPECT_EQ(read.placement.slots[0].size(), 72U);
  EXPECT_THAT(base::read_text_file(path("out.eplb.json")), HasSubstr("\"phy2log\""));
  run({"--load", "zipf:1.0", "--experts", "64", "--slots", "72", "--ep", "8", "-o", path("alone.yaml")});
  EXPECT_EQ(base::read_text_file(path("alone.yaml")), sim::write_placement(read.placement));
}

TEST_F(PlaceCommand, ScoresOnOtherIterationsThanItPlansOn) {
  const std::string load =
      write("load.csv", "layer,e0,e1,e2,e3\n0,70,10,10,10\n0,10,70,10,10\n0,70,10,10,10\n0,10,70,10,10\n");
  const Outcome outcome = run({"--load", load, "--ep", "2", "--slots", "6", "--train-on", "0:1", "--score-on",
                               "1:2", "--roll", "2", "--no-compare"});
  ASSERT_EQ(outcome.code, kOk) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("planned on iterations 0:1, scored on 1:2, and so on: 2 windows"));
  // Planned: 0 twice and one more of 10 twice, all even. Scored: expert 1 with its one replica rules.
  EXPECT_THAT(outcome.out, HasSubstr("moeplan        1.0000"));
}

TEST_F(PlaceCommand, RefusesWhatCannotBePlaced) {
  const std::string load = write("load.csv", "layer,e0,e1,e2,e3\n0,1,2,3,4\n");
  expect_refused({"--load", load, "--ep", "2", "--slots-per-gpu", "1"},
                 "4 experts do not fit into 2 slots (2 GPUs x 1)");
  expect_refused({"--load", load, "--ep", "8"}, "4 slots do not divide over 8 GPUs");
  expect_refused({"--load", load, "--ep", "12", "--slots", "12"},
                 "--ep 12 is no whole number of nodes of 8 GPUs");
  expect_refused({"--load", load, "--ep", "64"}, "--ep 64 is more than the 32 GPUs of cluster");
  expect_refused({"--load", load, "--ep", "2", "--train-on", "0:2"},
                 "reaches beyond the load's 1 iterations");
  expect_refused({"--load", load, "--ep", "2", "--train-on", "3"}, "expected A:B");
  expect_refused({"--load", load, "--ep", "2", "--solver", "mine"}, "there is no solver \"mine\"");
  expect_refused({"--load", load, "--ep", "2", "--objective", "layer_time"}, "needs --model and --run");
  expect_refused({"--load", load, "--ep", "2", "--split", "locality"}, "are of simulated layer times");
  expect_refused({"--load", "zipf:1"}, "needs to know how many experts it draws for");
  expect_refused({"--load", "zipf:1", "--experts", "1000000"},
                 "found 1000000 experts, expected at most 65536");
  expect_refused({"--load", "zipf:1", "--experts", "64", "--slots-per-gpu", "2000000000"},
                 "are more than 1048576 slots");
  expect_refused({"--load", "zipf:1", "--experts", "64", "--solver", "exact"},
                 "too many for the exact search");
  expect_refused({"--load", write("zero.csv", "layer,e0,e1\n0,0,0\n"), "--ep", "2"}, "has no tokens");
  expect_refused({"--load", write("nan.csv", "layer,e0,e1\n0,nan,1\n"), "--ep", "2"},
                 "nan.csv:2:3: error: found \"nan\"");
}

TEST_F(PlaceCommand, TakesASingleGpu) {
  const std::string load = write("load.csv", "layer,e0,e1,e2,e3\n0,1,2,3,4\n");
  const Outcome outcome = run({"--load", load, "--ep", "1"});
  EXPECT_EQ(outcome.code, kOk) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("moeplan               1.0000"));
}

}  // namespace
}  // namespace moeplan::cli
