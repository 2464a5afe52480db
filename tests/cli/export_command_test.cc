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
  static std::string schema_fault(const std::string& json, const char* name = "export.json") {
    const base::Node schema =
        base::load_document((test::source_root() / "docs" / "schema" / name).string()).root;
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

/// tiny-moe's 16 experts in 20 slots on 4 GPUs, three MoE layers.
const char* const kReplicated =
    "placement:\n  algorithm: eplb\n  slots:\n"
    "    - {layers: \"0-1\", experts: \"0-4 1 5-8 2 9-12 3 13-15 0\"}\n"
    "    - {layers: \"2\", experts: \"15 14 13 12 11 10 9 8 7 6 5 4 3 2 1 0 12 11 10 9\"}\n";

TEST_F(ExportCommandTest, EveryExpertMapComesBackAsTheSamePlan) {
  const std::string file =
      write("plan.yaml", "name: mine\nlayout: {dp: 4, ep: 4}\n" + std::string(kReplicated));
  for (const char* name :
       {"sglang/expert-location.json", "vllm/expert-map.json", "vllm-ascend/expert-map.json",
        "trtllm/moe-load-balancer.yaml", "eplb/eplb.json", "eplb/phy2log.npy"}) {
    const std::string target = fs::path(name).parent_path().string();
    const Outcome out = run({"export", file, "--to", target, "--model", "tiny-moe", "-o", path(target)});
    EXPECT_EQ(out.code, kOk) << out.err;
    const Outcome in = run(
        {"import", "placement", path(name), "--model", "tiny-moe", "--plan", file, "-o", path("back.yaml")});
    EXPECT_EQ(in.code, kOk) << in.err;
    sim::PlanSpec want = sim::load_plan(file);
    want.placement.algorithm = "imported";
    EXPECT_EQ(sim::load_plan(path("back.yaml")), want) << name;
  }
}

TEST_F(ExportCommandTest, ImportedPlacementAsJsonKeepsItsSchema) {
  const std::string map = write("map.json", "[[1, 0, 2, 3], [3, 2, 1, 0]]\n");
  const Outcome json = run({"import", "placement", map, "--ep", "2", "--json"});
  EXPECT_EQ(json.code, kOk) << json.err;
  EXPECT_EQ(schema_fault(json.out, "import.json"), "") << json.out;
  const Outcome text = run({"import", "placement", map});
  EXPECT_THAT(text.out, HasSubstr("placement:\n  algorithm: \"imported\""));
  EXPECT_THAT(text.err, HasSubstr("vllm: 4 experts in 4 slots of 2 layers\nnote: 4 experts, as the highest"));
  EXPECT_EQ(run({"import", "placement", map, "--ep", "3"}).code, kBadInput);
}

TEST_F(ExportCommandTest, ADeepSpeedConfigComesBackAsThePlan) {
  const std::string file = write("plan.yaml",
                                 "name: mine\nlayout: {dp: 8, ep: 4}\nmicro_batch: 2\ndata_parallel: zero2\n"
                                 "overlap_param_gather: false\n");
  const Outcome out = run(
      {"export", file, "--to", "deepspeed", "--model", "tiny-moe", "--run", "pretrain-4k", "-o", path("ds")});
  EXPECT_EQ(out.code, kOk) << out.err;
  const Outcome in =
      run({"import", "plan", path("ds/ds_config.json"), "--model", "tiny-moe", "-o", path("back.yaml")});
  EXPECT_EQ(in.code, kOk) << in.err;
  sim::PlanSpec want = sim::load_plan(file);
  want.name = "ds_config";
  want.framework = "deepspeed";
  EXPECT_EQ(sim::load_plan(path("back.yaml")), want);
  EXPECT_EQ(schema_fault(run({"import", "plan", path("ds/ds_config.json"), "--json"}).out, "import.json"),
            "");
}

TEST_F(ExportCommandTest, FastMoeTakesALoadAndTaMoeACluster) {
  const std::string file = write("plan.yaml", "name: mine\nlayout: {dp: 4, ep: 4}\nmicro_batch: 1\n");
  const std::string small = write("run.yaml", "name: small\nglobal_batch: 8\nseq_len: 512\n");
  const Outcome fast = run({"export", file, "--to", "fastmoe", "--model", "tiny-moe", "--run", small,
                            "--load", "zipf:1.0", "-o", path("f")});
  EXPECT_EQ(fast.code, kOk) << fast.err;
  EXPECT_EQ(run({"show", "load", path("f/gate-tables")}).code, kOk);
  EXPECT_EQ(
      run({"import", "placement", path("f/smartmoe-mapping.json"), "--model", "tiny-moe", "--plan", file})
          .code,
      kOk);
  const Outcome near = run(
      {"export", file, "--to", "tamoe", "--model", "tiny-moe", "--cluster", "hgx-h100-1n", "-o", path("t")});
  EXPECT_EQ(near.code, kOk) << near.err;
  EXPECT_EQ(text("t/topology.txt"), "1 1 1 1\n1 1 1 1\n1 1 1 1\n1 1 1 1\n");
  EXPECT_EQ(run({"export", file, "--to", "tamoe", "--model", "tiny-moe", "-o", path("u")}).err,
            "error: export to tamoe needs --cluster: traces, times and distances depend on it\n");
  EXPECT_EQ(run({"export", file, "--to", "json", "--load", "uniform", "-o", path("u")}).err,
            "error: --load: export to json holds no loads\n");
}

TEST_F(ExportCommandTest, ChakraTracesAndACapacityTableAreSimulated) {
  const std::string file = write("plan.yaml", "name: mine\nlayout: {dp: 4, ep: 4}\nmicro_batch: 1\n");
  const std::string small = write("run.yaml", "name: small\nglobal_batch: 8\nseq_len: 512\n");
  const auto to = [&](const std::string& target, std::vector<std::string> more) {
    std::vector<std::string> arguments = {"export",    file,          "--to",  target,
                                          "--model",   "tiny-moe",    "--run", small,
                                          "--cluster", "hgx-h100-1n", "-o",    path(target)};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  };
  EXPECT_EQ(to("chakra", {}).code, kOk);
  EXPECT_TRUE(fs::exists(path("chakra/trace.3.et")));
  EXPECT_FALSE(fs::exists(path("chakra/trace.4.et")));
  EXPECT_EQ(to("tutel", {"--load", "uniform"}).code, kOk);
  EXPECT_THAT(text("tutel/tutel.json"), HasSubstr("\"step_time_s\""));
}

TEST_F(ExportCommandTest, ALaunchBundleNeedsItsHosts) {
  const std::string file = plan();
  EXPECT_EQ(
      run({"export", file, "--to", "launch", "-o", path("out")}).err,
      "error: export to launch needs --hosts FILE: a host a line, in the order of the cluster's nodes\n");
  const std::string hosts = write("hosts", "b\na\n");
  EXPECT_EQ(run({"export", file, "--to", "json", "--hosts", hosts, "-o", path("out")}).err,
            "error: --hosts: export to json names no hosts\n");
  EXPECT_EQ(run({"export", file, "--to", "json", "--gpus-per-node", "4", "-o", path("out")}).err,
            "error: --gpus-per-node: export to json starts nothing\n");
  EXPECT_FALSE(fs::exists(path("out")));
  const Outcome outcome =
      run({"export", file, "--to", "launch", "--hosts", hosts, "--gpus-per-node", "4", "-o", path("out")});
  EXPECT_EQ(outcome.code, kOk) << outcome.err;
  EXPECT_EQ(text("out/hostfile"), "b slots=4\na slots=4\n");
  EXPECT_THAT(outcome.out,
              HasSubstr("not expressed: schedule (1f1b), micro_batch (1), data_parallel (zero1)"));
}

TEST_F(ExportCommandTest, WhatAnEngineWouldFailOnIsNotWritten) {
  const Outcome outcome =
      run({"export", plan(), "--to", "trtllm", "--model", "gpt-oss-120b", "-o", path("out")});
  EXPECT_EQ(outcome.code, kBadInput);
  EXPECT_THAT(outcome.err, HasSubstr("[architecture]"));
  EXPECT_FALSE(fs::exists(path("out")));
}

}  // namespace
}  // namespace moeplan::cli
