#include "cli/export_command.h"

#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/config_files.h"
#include "base/document.h"
#include "base/files.h"
#include "planner/export/export_target.h"
#include "sim/workload/plan.h"
#include "tests/support/corpus.h"
#include "tests/support/schema_checker.h"

namespace moeplan::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

struct Outcome {
  int code = 0;
  std::string out;
  std::string err;
};

class ExportCommandTest : public ::testing::Test {
 protected:
  static Outcome run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "moeplan");
    std::vector<const char*> argv;
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    std::ostringstream out;
    std::ostringstream err;
    const int code = run_program(static_cast<int>(argv.size()), argv.data(), Console{out, err});
    return {code, out.str(), err.str()};
  }
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  std::string write(const std::string& name, const std::string& text) const {
    base::write_file_atomically(path(name), text);
    return path(name);
  }
  std::string text(const std::string& name) const { return base::read_text_file(path(name)); }
  /// Two pipeline stages of tiny-moe on 8 GPUs.
  std::string plan() const {
    return write("plan.yaml", "name: mine\nlayout: {tp: 1, pp: 2, dp: 4, ep: 4}\nmicro_batch: 1\n");
  }
  static std::string schema_fault(const std::string& json) {
    const base::Node schema =
        base::load_document((test::source_root() / "docs" / "schema" / "export.json").string()).root;
    return test::find_schema_fault(schema, base::parse_json(json, "out").root);
  }
  test::TemporaryFolder folder_;
};

TEST_F(ExportCommandTest, HelpListsEveryTarget) {
  const Outcome help = run({"export", "--help"});
  EXPECT_EQ(help.code, kOk);
  for (const planner::ExportTarget& target : planner::export_targets())
    EXPECT_THAT(help.out, HasSubstr("\n  " + std::string(target.name) + " "));
}

TEST_F(ExportCommandTest, MegatronIsWrittenWithItsReport) {
  const Outcome outcome = run({"export", plan(), "--to", "megatron", "--model", "tiny-moe", "--run",
                               "pretrain-4k", "-o", path("out")});
  EXPECT_EQ(outcome.code, kOk) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr(path("out/megatron.args") + "\n" + path("out/megatron.sh") + "\n"));
  EXPECT_THAT(outcome.out, HasSubstr("next: give data, tokenizer"));
  EXPECT_THAT(text("out/export-report.txt"), HasSubstr("everything that the plan says is in these files"));
}

TEST_F(ExportCommandTest, JsonReportKeepsItsSchemaAndQuietSaysNothing) {
  const std::vector<std::string> arguments = {"export", plan(), "--to", "json", "-o", path("out")};
  std::vector<std::string> json = arguments;
  json.emplace_back("--json");
  const Outcome outcome = run(json);
  EXPECT_EQ(outcome.code, kOk) << outcome.err;
  EXPECT_EQ(schema_fault(outcome.out), "") << outcome.out;
  std::vector<std::string> quiet = arguments;
  quiet.emplace_back("-q");
  EXPECT_EQ(run(quiet).out, "");
  EXPECT_EQ(sim::load_plan(path("out/plan.json")), sim::load_plan(path("plan.yaml")));
}

TEST_F(ExportCommandTest, WhatIsMissingIsSaidAndNothingIsWritten) {
  const std::string file = plan();
  EXPECT_EQ(run({"export", file, "--to", "megatron", "-o", path("out")}).err,
            "error: export to megatron needs --model and --run: what it writes holds the model and the batch "
            "too\n");
  EXPECT_THAT(run({"export", file, "--to", "megatrn", "-o", path("out")}).err,
              HasSubstr("hint: did you mean \"megatron\"?"));
  EXPECT_FALSE(fs::exists(path("out")));
}

}  // namespace
}  // namespace moeplan::cli
