#include "cli/sweep_command.h"

#include <filesystem>
#include <map>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/document.h"
#include "base/files.h"
#include "cli/simulate_command.h"
#include "cli/sweep_part.h"
#include "tests/support/corpus.h"
#include "tests/support/input_error.h"
#include "tests/support/schema_checker.h"

namespace moeplan::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kAxes =
    "axes:\n"
    "  - load: [uniform, 'zipf:1.0']\n"
    "  - cluster.node.nvlink.bandwidth: [150 GB/s, 450 GB/s]\n"
    "  - run.global_batch: [8, 32]\n";

struct Sweep {
  explicit Sweep(const std::string& text = kAxes) {
    base::write_file_atomically(path("run.yaml"),
                                "name: small\nglobal_batch: 32\nseq_len: 1024\noptimizer: adam\n");
    base::write_file_atomically(path("plan.yaml"),
                                "name: p\nlayout: {tp: 1, pp: 2, ep: 4, dp: 4}\nmicro_batch: 1\n");
    write("base: {cluster: hgx-h100-1n, model: tiny-moe, run: run.yaml, plan: plan.yaml}\n" + text);
    options.file = path("sweep.yaml");
    options.common.output = path("out");
    options.common.quiet = true;
  }
  void write(const std::string& text) const {
    base::write_file_atomically(path("sweep.yaml"), "name: s\n" + text);
  }
  std::string path(const std::string& name) const { return (folder.path() / name).string(); }
  std::string read(const std::string& name) const { return base::read_text_file(path(name)); }
  std::string run() {
    std::ostringstream out, err;
    EXPECT_EQ(run_sweep(options, {out, err}), kOk);
    return out.str();
  }
  std::string refusal() {
    return test::input_error_of([&] {
      std::ostringstream out, err;
      run_sweep(options, {out, err});
    });
  }
  test::TemporaryFolder folder;
  SweepOptions options;
};

TEST(Sweep, PointsAreWhatSimulateSays) {
  Sweep sweep;
  sweep.options.common.json = true;
  const base::Node result = base::parse_json(sweep.run(), "out").root;
  const base::Node schema =
      base::load_document((test::source_root() / "docs/schema/sweep.json").string()).root;
  EXPECT_EQ(test::find_schema_fault(schema, result), "");
  const base::Node* points = result.find("points");
  ASSERT_EQ(points->items.size(), 8U);

  // Point 7: zipf:1.0, 450 GB/s (as the shipped cluster has), 32 (as the run file has).
  SimulateVerbOptions simulate;
  simulate.job = {"hgx-h100-1n", "tiny-moe", sweep.path("run.yaml"), "zipf:1.0", "", {}, false};
  simulate.plan = sweep.path("plan.yaml");
  simulate.no_what_if = true;
  simulate.common.json = true;
  std::ostringstream out, err;
  ASSERT_EQ(run_simulate(simulate, {out, err}), kOk);
  const base::Node one = base::parse_json(out.str(), "one").root;
  EXPECT_EQ(points->items[7].find("figures")->find("step_time_s")->text, one.find("step_time_s")->text);
  // Half the links, a longer step.
  const auto step = [&](std::size_t i) {
    return std::stod(points->items[i].find("figures")->find("step_time_s")->text);
  };
  EXPECT_GT(step(1), step(3));
}

TEST(Sweep, ThreadsAndPartsMakeTheSameBytes) {
  Sweep sweep;
  sweep.options.common.threads = 1;
  const std::string summary = sweep.run();
  EXPECT_THAT(summary, HasSubstr("8 points, 8 ok"));
  const std::string csv = sweep.read("out/points.csv");
  sweep.options.common.threads = 4;
  sweep.options.common.output = sweep.path("threads");
  sweep.run();
  EXPECT_EQ(sweep.read("threads/points.csv"), csv);
  sweep.options.common.output = sweep.path("parts");
  for (const char* part : {"2/3", "0/3", "1/3"}) {
    EXPECT_FALSE(fs::exists(sweep.path("parts/points.csv")));
    sweep.options.part = part;
    sweep.run();
  }
  EXPECT_EQ(sweep.read("parts/points.csv"), csv);
  EXPECT_EQ(sweep.read("parts/points.json"), sweep.read("out/points.json"));
  EXPECT_EQ(sweep.read("parts/sweep.html"), sweep.read("out/sweep.html"));
}

// What is finished is taken, by what it was made of and not by its number; what an input changed is worked
// out again.
TEST(Sweep, ResumeTakesWhatIsThere) {
  Sweep sweep;
  sweep.run();
  EXPECT_THAT(sweep.refusal(), HasSubstr("--resume goes on"));
  const auto shard = fs::path(sweep.path("out/shards/part-0-of-1.sqlite"));
  const std::string before = base::read_text_file(shard.string());
  sweep.options.resume = true;
  sweep.run();
  EXPECT_EQ(base::read_text_file(shard.string()).size(), before.size());
  const std::string csv = sweep.read("out/points.csv");
  base::write_file_atomically(sweep.path("run.yaml"),
                              "name: small\nglobal_batch: 32\nseq_len: 2048\noptimizer: adam\n");
  sweep.run();
  EXPECT_NE(sweep.read("out/points.csv"), csv);
}

TEST(Sweep, PointsThatCannotRunAreRows) {
  Sweep sweep("axes: [{plan.layout.ep: [4, 3, 8]}]\n");
  const std::string summary = sweep.run();
  EXPECT_THAT(summary, HasSubstr("2 refused"));
  EXPECT_THAT(sweep.read("out/points.csv"), HasSubstr("\n1,3,refused,"));
}

TEST(Sweep, SlipsOfThePenStopItBeforeItBegins) {
  Sweep sweep("axes: [{cluster.node.nvlnk.bandwidth: [1 GB/s]}]\n");
  EXPECT_THAT(sweep.refusal(), HasSubstr("did you mean \"nvlink\""));
  EXPECT_THAT(sweep.refusal(), HasSubstr("point 0: cluster.node.nvlnk.bandwidth 1 GB/s"));
  sweep.write(
      "base: {cluster: hgx-h100-1n, model: tiny-moe, run: run.yaml, plan: plan.yaml}\naxes: "
      "[{cluster.node.nvlink.bandwidth: [1 GBs]}]\n");
  EXPECT_THAT(sweep.refusal(), HasSubstr("GBs"));
  sweep.write(
      "base: {cluster: hgx-h100-1n, model: tiny-moe, run: run.yaml, plan: plan.yaml}\naxes: [{run.name.x: "
      "[1]}]\n");
  EXPECT_THAT(sweep.refusal(), HasSubstr("is no map"));
  sweep.write(
      "base: {cluster: nowhere, model: tiny-moe, run: run.yaml, plan: plan.yaml}\naxes: [{load: "
      "[uniform]}]\n");
  EXPECT_THAT(sweep.refusal(), HasSubstr("nowhere"));
  sweep.write(
      "base: {cluster: hgx-h100-1n, model: tiny-moe, run: run.yaml, plan: plan.yaml}\naxes: [{plan.layot.ep: "
      "[1, 2]}]\n");
  EXPECT_THAT(sweep.refusal(), HasSubstr("no point has a plan; the first: unknown key \"layot\""));
  EXPECT_FALSE(fs::exists(sweep.path("out")));
}

TEST(Sweep, PlansTheBestOfEachPoint) {
  Sweep sweep;
  sweep.write(
      "verb: plan\nbase: {cluster: hgx-h100-1n, model: tiny-moe, run: run.yaml}\nbudget: 8\naxes: [{load: "
      "[uniform, 'zipf:1.0']}]\n");
  EXPECT_THAT(sweep.run(), HasSubstr("2 points, 2 ok"));
  EXPECT_THAT(sweep.read("out/points.csv"), HasSubstr("TP"));
}

TEST(SweepPart, LaunchersAndArrays) {
  std::map<std::string, std::string> set;
  const Environment environment = [&](const char* name) { return set[name]; };
  const auto part = [&](const std::string& text = "") {
    const planner::SweepPart found = find_part(text, environment);
    return std::to_string(found.index) + "/" + std::to_string(found.count);
  };
  EXPECT_EQ(part(), "0/1");
  EXPECT_EQ(part("3/4"), "3/4");
  set = {{"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "2"}};
  EXPECT_EQ(part(), "1/2");
  set = {{"PMI_RANK", "5"}, {"PMI_SIZE", "8"}};
  EXPECT_EQ(part(), "5/8");
  set = {{"SLURM_PROCID", "0"},           {"SLURM_NTASKS", "1"},         {"SLURM_ARRAY_TASK_ID", "7"},
         {"SLURM_ARRAY_TASK_COUNT", "3"}, {"SLURM_ARRAY_TASK_MIN", "3"}, {"SLURM_ARRAY_TASK_MAX", "7"}};
  EXPECT_EQ(part(), "2/3");
  set["SLURM_ARRAY_TASK_MAX"] = "8";
  EXPECT_THAT(test::input_error_of([&] { part(); }), HasSubstr("has gaps"));
  EXPECT_THAT(test::input_error_of([&] { part("4/4"); }), HasSubstr("expected one of 0 to 3"));
  EXPECT_THAT(test::input_error_of([&] { part("4"); }), HasSubstr("expected I/N"));
}

}  // namespace
}  // namespace moeplan::cli
