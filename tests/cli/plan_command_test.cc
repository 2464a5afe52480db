#include "cli/plan_command.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "base/config_files.h"
#include "base/diagnostics.h"
#include "base/document.h"
#include "base/files.h"
#include "base/quantity_text.h"
#include "cli/export_command.h"
#include "cli/import_command.h"
#include "cli/network_command.h"
#include "cli/simulate_command.h"
#include "cli/validate_command.h"
#include "planner/export/megatron_import.h"
#include "tests/support/schema_checker.h"
#include "tests/support/corpus.h"

namespace moeplan::cli {
namespace {

namespace fs = std::filesystem;

struct Answer {
  int code = 0;
  std::string out, err;
};

template <class Options>
Answer run(int (*verb)(const Options&, Console), const Options& options) {
  std::ostringstream out;
  std::ostringstream err;
  Answer result;
  result.code = verb(options, {out, err});
  result.out = out.str();
  result.err = err.str();
  return result;
}

const char* const kRunText = "name: small\nglobal_batch: 32\nseq_len: 1024\noptimizer: adam\n";

/// tiny-moe on one node of H100.
struct SmallCase {
  SmallCase() {
    base::write_file_atomically((folder.path() / "run.yaml").string(), kRunText);
    plan.job = {"hgx-h100-1n", "tiny-moe", (folder.path() / "run.yaml").string(), "zipf:1.0", "", {}, false};
    plan.budget = "16";
    plan.top = 3;
  }
  test::TemporaryFolder folder;
  PlanOptions plan;
};

base::Node schema(const std::string& name) {
  return base::load_document((test::source_root() / "docs" / "schema" / (name + ".json")).string()).root;
}

TEST(PlanCommand, JsonKeepsItsSchemaAndAddsUp) {
  SmallCase small;
  small.plan.common.json = true;
  const Answer result = run(run_plan, small.plan);
  EXPECT_EQ(result.code, kOk);
  const base::Node json = base::parse_json(result.out, "plan.json").root;
  EXPECT_EQ(test::find_schema_fault(schema("plan"), json), "");
  std::int64_t pruned = 0;
  for (const base::Member& rule : json.find("pruned")->members) pruned += *base::parse_integer(rule.value.text);
  EXPECT_EQ(*base::parse_integer(json.find("searched")->text), pruned + 16);
  EXPECT_EQ(json.find("plans")->items.size(), 3U);
}

TEST(PlanCommand, WritesTheSameBytesForAnyNumberOfThreads) {
  SmallCase small;
  small.plan.common.json = true;
  small.plan.common.threads = 1;
  const std::string one = run(run_plan, small.plan).out;
  small.plan.common.threads = 3;
  EXPECT_EQ(run(run_plan, small.plan).out, one);
}

TEST(PlanCommand, WritesPlansThatSimulateReadsToTheSameNumbers) {
  SmallCase small;
  small.plan.common.json = true;
  small.plan.common.output = (small.folder.path() / "out").string();
  const base::Node plans = base::parse_json(run(run_plan, small.plan).out, "plan.json").root;
  for (const char* file : {"plan-1.yaml", "plan-2.yaml", "plan-3.yaml", "report.html", "trace-1.json", "megatron-1.args", "megatron-1.sh"}) {
    EXPECT_TRUE(fs::exists(small.folder.path() / "out" / file)) << file;
  }
  SimulateVerbOptions simulate;
  simulate.common.json = true;
  simulate.job = small.plan.job;
  simulate.plan = (small.folder.path() / "out" / "plan-1.yaml").string();
  const Answer again = run(run_simulate, simulate);
  const base::Node step = base::parse_json(again.out, "step.json").root;
  EXPECT_EQ(test::find_schema_fault(schema("simulate"), step), "");
  const base::Node& first = plans.find("plans")->items.front();
  EXPECT_EQ(first.find("step_time_s")->text, step.find("step_time_s")->text);
  EXPECT_EQ(first.find("memory")->find("peak_bytes")->text, step.find("memory")->find("peak_bytes")->text);
}

TEST(PlanCommand, ThePageHoldsEverythingItShows) {
  SmallCase small;
  small.plan.common.output = (small.folder.path() / "out").string();
  run(run_plan, small.plan);
  const std::string page = base::read_text_file((small.folder.path() / "out" / "report.html").string());
  EXPECT_EQ(page.find("<script src"), std::string::npos);
  EXPECT_EQ(page.find("<link"), std::string::npos);
  for (const char* part : {"Where the step goes", "Timeline of the pipeline", "What the step waits for",
                           "Memory, worst GPU", "Made from", "measurements"})
    EXPECT_NE(page.find(part), std::string::npos) << part;
  EXPECT_NE(page.find("<svg"), std::string::npos);
  EXPECT_NE(page.find("Account of the search"), std::string::npos);
}

TEST(PlanCommand, NothingIsWrittenOnBadInput) {
  SmallCase small;
  small.plan.common.output = (small.folder.path() / "out").string();
  small.plan.pins = {"tp=zero"};
  EXPECT_THROW(run(run_plan, small.plan), base::InputError);
  EXPECT_FALSE(fs::exists(small.folder.path() / "out"));
  small.plan.pins = {};
  for (const char* budget : {"0", "-3", "five", "5 GB"}) {
    small.plan.budget = budget;
    EXPECT_THROW(run(run_plan, small.plan), base::InputError) << budget;
  }
}

TEST(PlanCommand, AWallBudgetIsMarked) {
  SmallCase small;
  small.plan.common.json = true;
  small.plan.budget = "60s";
  const base::Node json = base::parse_json(run(run_plan, small.plan).out, "plan.json").root;
  EXPECT_EQ(json.find("deterministic")->text, "false");
}

// 2 sequences of 128 k tokens: CP wins, and what is written reads back to the same numbers.
TEST(PlanCommand, OpenedAxesAreSearchedAndWrittenOut) {
  SmallCase small;
  base::write_file_atomically(small.plan.job.run, "name: long\nglobal_batch: 2\nseq_len: 131072\noptimizer: adam\n");
  small.plan.common.json = true;
  small.plan.common.output = (small.folder.path() / "out").string();
  small.plan.open = {"cp", "sharding,overlap"};
  const Answer result = run(run_plan, small.plan);
  EXPECT_EQ(result.code, kOk);
  const base::Node json = base::parse_json(result.out, "plan.json").root;
  EXPECT_EQ(test::find_schema_fault(schema("plan"), json), "");
  const base::Node& first = json.find("plans")->items.front();
  EXPECT_GT(*base::parse_integer(first.find("plan")->find("layout")->find("cp")->text), 1);
  EXPECT_NE(base::read_text_file((small.folder.path() / "out" / "megatron-1.args").string()).find("--context-parallel-size"), std::string::npos);
  SimulateVerbOptions simulate;
  simulate.common.json = true;
  simulate.job = small.plan.job;
  simulate.plan = (small.folder.path() / "out" / "plan-1.yaml").string();
  const base::Node step = base::parse_json(run(run_simulate, simulate).out, "step.json").root;
  EXPECT_EQ(first.find("step_time_s")->text, step.find("step_time_s")->text);

  small.plan.common.threads = 1;
  const std::string one = run(run_plan, small.plan).out;
  small.plan.common.threads = 2;
  EXPECT_EQ(run(run_plan, small.plan).out, one);
}

TEST(PlanCommand, AxesThatAreNoneAreRefused) {
  SmallCase small;
  for (const std::vector<std::string>& open : {std::vector<std::string>{""}, {"cp,"}, {"cp", ""}, {"fsdp"}}) {
    small.plan.open = open;
    EXPECT_THROW(run(run_plan, small.plan), base::InputError) << open.front();
  }
}

TEST(PlanCommand, AnswersWhatPeopleAskNext) {
  SmallCase c;
  c.plan.job.load = "uniform";
  c.plan.questions.tokens = "300B";
  c.plan.questions.gpu_mtbf = "5000 h";
  c.plan.common.json = true;
  const Answer answer = run(run_plan, c.plan);
  ASSERT_EQ(answer.code, kOk);
  const base::Document json = base::parse_json(answer.out, "plan.json");
  EXPECT_EQ(test::find_schema_fault(schema("plan"), json.root), "");
  const base::Node& best = json.root.find("plans")->items.front();
  const double step = *base::parse_number(best.find("step_time_s")->text);
  const auto number = [](const base::Node& node, const char* key) { return *base::parse_number(node.find(key)->text); };
  const base::Node& training = *json.root.find("training");
  EXPECT_DOUBLE_EQ(number(training, "steps"), std::ceil(300e9 / (32.0 * 1024.0)));
  EXPECT_NEAR(number(training, "without_failures_s"), number(training, "steps") * step, 1e-6 * number(training, "steps") * step);
  EXPECT_GT(number(training, "total_s"), number(training, "without_failures_s"));
  // Every axis with several values has an answer, and none of them is faster than rank 1 by more than noise.
  EXPECT_GE(json.root.find("alternatives")->items.size(), 5U);
  for (const base::Node& one : json.root.find("alternatives")->items) {
    if (one.find("loss") == nullptr) continue;
    EXPECT_GT(number(one, "loss"), -0.03) << one.find("axis")->text;
  }
  ASSERT_EQ(json.root.find("skew")->items.size(), 4U);
  for (const base::Node& row : json.root.find("skew")->items)
    EXPECT_GE(*base::parse_number(row.find("step_times_s")->items.front().text), step) << row.find("load")->text;
  double chance = 0;
  for (const base::Node& one : json.root.find("chance_of_best")->items) chance += *base::parse_number(one.text);
  EXPECT_NEAR(chance, 1, 1e-9);
}

TEST(PlanCommand, OtherSizesOfTheClusterArePlannedFor) {
  SmallCase c;
  c.plan.job.cluster = "hgx-h100-4n";
  c.plan.questions.gpus = {16, 32};
  c.plan.common.json = true;
  const Answer answer = run(run_plan, c.plan);
  ASSERT_EQ(answer.code, kOk);
  const base::Document json = base::parse_json(answer.out, "plan.json");
  bool smaller = false;
  for (const base::Node& one : json.root.find("front")->items) smaller = smaller || one.find("gpus")->text == "16";
  EXPECT_TRUE(smaller);
  c.plan.questions.gpus = {12};
  EXPECT_THROW(run(run_plan, c.plan), base::InputError);
}

TEST(PlanCommand, QuestionsThatAreNoneAreRefused) {
  SmallCase c;
  c.plan.questions.tokens = "15X";
  EXPECT_THROW(run(run_plan, c.plan), base::InputError);
  c.plan.questions.tokens = "15T";
  c.plan.questions.restart = "soon";
  EXPECT_THROW(run(run_plan, c.plan), base::InputError);
  c.plan.questions.restart = "";
  c.plan.exhaustive = true;
  EXPECT_THROW(run(run_plan, c.plan), base::InputError);  // with a budget
}

TEST(PlanCommand, AnExhaustiveSearchOfASpaceFileLeavesNothing) {
  SmallCase c;
  const std::string space = (c.folder.path() / "space.yaml").string();
  base::write_file_atomically(space, "tp: [1, 2]\npp: {max: 2}\nmicro_batch: 1\nrecompute: none\nplacement: contiguous\n");
  c.plan.space = space;
  c.plan.budget = "";
  c.plan.exhaustive = true;
  c.plan.common.json = true;
  const Answer answer = run(run_plan, c.plan);
  ASSERT_EQ(answer.code, kOk);
  const base::Document json = base::parse_json(answer.out, "plan.json");
  EXPECT_EQ(json.root.find("unseen")->find("points")->text, "0");
  EXPECT_EQ(json.root.find("pruned")->find("budget"), nullptr);
  EXPECT_EQ(json.root.find("pruned")->find("estimate"), nullptr);
}

TEST(PlanCommand, RanksChangesToAPlanOneHas) {
  SmallCase small;
  const std::string mine = (small.folder.path() / "mine.yaml").string();
  base::write_file_atomically(mine, "name: mine\nframework: megatron\nlayout:\n  tp: 4\n  ep: 8\n  dp: 2\nmicro_batch: 1\nrecompute:\n  mode: full\n");
  small.plan.from = mine;
  const Answer result = run(run_plan, small.plan);
  EXPECT_EQ(result.code, kOk);
  EXPECT_NE(result.out.find("against the plan one has"), std::string::npos);
}

TEST(ExportCommand, WritesArgumentsThatImportReads) {
  SmallCase small;
  small.plan.common.output = small.folder.path().string();
  run(run_plan, small.plan);
  ExportOptions options;
  options.plan = (small.folder.path() / "plan-1.yaml").string();
  options.to = "megatron";
  options.model = small.plan.job.model;
  options.run = small.plan.job.run;
  options.common.output = (small.folder.path() / "export").string();
  EXPECT_EQ(run(run_export, options).code, kOk);
  EXPECT_EQ(base::read_text_file((small.folder.path() / "export" / "megatron.args").string()),
            base::read_text_file((small.folder.path() / "megatron-1.args").string()));
  ImportOptions back;
  back.kind = "plan";
  back.file = (small.folder.path() / "export" / "megatron.sh").string();
  back.model = small.plan.job.model;
  back.common.output = (small.folder.path() / "back.yaml").string();
  EXPECT_EQ(run(run_import, back).code, kOk);
  EXPECT_EQ(sim::load_plan(back.common.output).layout, sim::load_plan(options.plan).layout);
}

TEST(ExportCommand, UnknownTargetsAreRefused) {
  ExportOptions options;
  options.to = "deepspede";
  EXPECT_THROW(run(run_export, options), base::InputError);
}

TEST(ImportCommand, TheShippedExampleIsTheShippedPlan) {
  const fs::path examples = fs::path(base::configs_folder()) / "examples";
  ImportOptions options;
  options.kind = "plan";
  options.file = (examples / "qwen3-235b-256-h100.sh").string();
  options.model = "qwen3-235b-a22b";
  const Answer result = run(run_import, options);
  EXPECT_EQ(result.code, kOk);
  EXPECT_EQ(result.err.find("not modelled"), std::string::npos) << result.err;
  test::TemporaryFolder folder;
  const std::string written = (folder.path() / "plan.yaml").string();
  base::write_file_atomically(written, result.out);
  const sim::PlanSpec imported = sim::load_plan(written);
  const sim::PlanSpec shipped = sim::load_plan((examples / "qwen3-235b-256-h100.yaml").string());
  EXPECT_EQ(imported.layout, shipped.layout);
  EXPECT_EQ(imported.split, shipped.split);
  EXPECT_EQ(imported.recompute, shipped.recompute);
}

TEST(ImportCommand, ARunIsReadBesideItsPlan) {
  const fs::path examples = fs::path(base::configs_folder()) / "examples";
  ImportOptions options;
  options.kind = "run";
  options.file = (examples / "qwen3-235b-256-h100.sh").string();
  const Answer result = run(run_import, options);
  EXPECT_EQ(result.code, kOk);
  const sim::RunSpec imported = sim::parse_run(result.out, "run.yaml");
  EXPECT_EQ(imported.seq_len, 4096);
  EXPECT_EQ(imported.precision.gemm, sim::NumberFormat::kBf16);
  test::TemporaryFolder folder;
  options.common.output = (folder.path() / "run.yaml").string();
  options.common.json = true;
  const Answer again = run(run_import, options);
  EXPECT_EQ(sim::load_run(options.common.output), imported);
  EXPECT_EQ(base::parse_json(again.out, "import.json").root.find("kind")->text, "run");
}

TEST(ImportCommand, KindsOfLaterReleasesAreRefusedByName) {
  ImportOptions options;
  for (const char* kind : {"cluster", "load", "nonsense"}) {
    options.kind = kind;
    EXPECT_THROW(run(run_import, options), base::InputError) << kind;
  }
}

TEST(NetworkSchema, JsonKeepsIt) {
  NetworkOptions options;
  options.common.json = true;
  options.cluster = "hgx-h100-1n";
  options.traffic = "uniform:1000000";
  const Answer result = run(run_network, options);
  EXPECT_EQ(test::find_schema_fault(schema("network"), base::parse_json(result.out, "network.json").root), "");
}

TEST(ValidateSchema, JsonKeepsIt) {
  ValidateOptions options;
  options.common.json = true;
  options.only = {"max_min"};
  const Answer result = run(run_validate, options);
  EXPECT_EQ(test::find_schema_fault(schema("validate"), base::parse_json(result.out, "validate.json").root), "");
}

}  // namespace
}  // namespace moeplan::cli
